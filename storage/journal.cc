// Appending and reading. Opening is in recovery.cc.
#include "storage/journal.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/mutant.h"
#include "storage/journal_state.h"

namespace synod::storage {

namespace {

constexpr std::uint64_t reserve_bytes_max = 1U << 20;
constexpr std::chrono::seconds drain_wait_max{2};

constexpr bool is_control(wire::RecordKind kind) {
  return kind == wire::RecordKind::promise || kind == wire::RecordKind::members;
}

constexpr std::uint64_t padded_record_bytes(std::size_t body_bytes) {
  return align_up(sizeof(wire::RecordHeader) + body_bytes, 8);
}

}  // namespace

Journal::State::State(DeviceRef from_device, const JournalLimits& from_limits, const Superblock& from_superblock)
    : device(from_device),
      limits(from_limits),
      superblock(from_superblock),
      geometry(geometry_of(from_superblock)),
      block_memory(std::size_t{from_limits.block_bytes_max} * (from_limits.writes_in_flight + 2)),
      blocks(from_limits.writes_in_flight + 2),
      read_memory(read_buffer_bytes * from_limits.reads_in_flight),
      reads(from_limits.reads_in_flight),
      finished_reads(from_limits.reads_in_flight),
      read_now_buffer(read_buffer_bytes) {
  reserve_bytes = std::min(reserve_bytes_max, geometry.segment_bytes / 4) / device_block_bytes * device_block_bytes;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    blocks[i].buffer = block_memory.bytes().subspan(i * limits.block_bytes_max, limits.block_bytes_max);
  }
  for (std::uint32_t i = 0; i < limits.reads_in_flight; ++i) {
    reads[i].buffer = read_memory.bytes().subspan(i * read_buffer_bytes, read_buffer_bytes);
    free_reads.push_back(i);
  }
}

Journal::State::~State() {
  // The device may still read from these buffers. A device that does not answer in time keeps them for ever.
  const auto deadline = std::chrono::steady_clock::now() + drain_wait_max;
  while (operations_in_flight > 0 && std::chrono::steady_clock::now() < deadline) {
    const std::uint32_t before = operations_in_flight;
    device.submit();
    collect();
    if (operations_in_flight == before) ::sched_yield();
  }
  if (operations_in_flight == 0) return;
  block_memory.leak();
  read_memory.leak();
  read_now_buffer.leak();
}

const Block* Journal::State::open_block() const {
  if (last_sequence == sent_sequence) return nullptr;
  const Block& last = block(last_sequence);
  return last.state == BlockState::open ? &last : nullptr;
}

// The end of a segment for control records, or for votes, which stop before the reserve.
std::uint64_t Journal::State::segment_limit(std::uint32_t segment, bool control) const {
  const std::uint64_t end = geometry.start_of(segment + 1);
  if (end > device.ready_bytes()) return 0;  // still being zeroed
  return segment + 1 == geometry.segments && !control ? end - reserve_bytes : end;
}

bool Journal::State::fits_open_block(const Block& open, bool control, std::uint64_t record_bytes) const {
  const std::uint64_t used = open.used + record_bytes;
  return used <= limits.block_bytes_target &&
         align_up(open.offset + used, device_block_bytes) <= segment_limit(geometry.segment_of(open.offset), control);
}

// Where a block behind everything staged so far would start.
std::uint64_t Journal::State::end_offset() const {
  const Block* open = open_block();
  return open == nullptr ? next_offset : align_up(open->offset + open->used, device_block_bytes);
}

// Where a new block of `length` bytes goes: behind the last one, or at the start of the next segment if it does not fit there.
std::optional<std::uint64_t> Journal::State::place(bool control, std::uint64_t length) const {
  const std::uint64_t offset = end_offset();
  std::uint32_t segment = geometry.segment_of(offset);
  if (segment < geometry.segments && offset + length <= segment_limit(segment, control)) return offset;
  if (offset != geometry.start_of(segment)) ++segment;
  if (segment >= geometry.segments || geometry.start_of(segment) + length > segment_limit(segment, control)) return std::nullopt;
  return geometry.start_of(segment);
}

bool Journal::State::can_open_block(bool control, std::uint64_t record_bytes) const {
  const std::uint64_t length = block_bytes(record_bytes);
  return length <= limits.block_bytes_max && last_sequence - durable_sequence < blocks.size() &&
         place(control, length).has_value();
}

// The commit watermark is taken now and not when the block is sent: by then it may cover slots whose records lie in later blocks,
// and a recovery that finds this block and not those would miss them, or take a value that they replace for the committed one.
// (`watermarks` are those of the last flush, and what was staged before it lies in this block or before it.)
void Journal::State::close_open_block() {
  Block& last = block(last_sequence);
  last.commit = watermarks.commit;
  next_offset = align_up(last.offset + last.used, device_block_bytes);
  last.state = BlockState::closed;
}

Block& Journal::State::begin_block(std::uint64_t offset) {
  ++last_sequence;
  CHECK_LE(last_sequence - durable_sequence, blocks.size());
  Block& begun = block(last_sequence);
  begun.offset = offset;
  begun.used = sizeof(BlockHeader);
  begun.record_count = 0;
  begun.state = BlockState::open;
  begun.last_number = staged_number;
  return begun;
}

// Writes the header and asks the device for the closed block behind the last sent one.
void Journal::State::send(Block& sent) {
  CHECK(sent.state == BlockState::closed);
  ++sent_sequence;
  const std::uint64_t length = align_up(sent.used, device_block_bytes);
  std::memset(sent.buffer.data() + sent.used, 0, length - sent.used);
  const Bytes payload = sent.buffer.subspan(sizeof(BlockHeader), sent.used - sizeof(BlockHeader));
  const BlockHeader header = seal(BlockHeader{.cluster = superblock.cluster,
                                              .disk = superblock.disk,
                                              .open_count = superblock.open_count,
                                              .offset = sent.offset,
                                              .segment = geometry.segment_of(sent.offset),
                                              .sequence = sent_sequence,
                                              .durable_sequence = durable_sequence,
                                              .previous = previous,
                                              .promised = watermarks.promised,
                                              .commit = sent.commit,
                                              .payload_bytes = static_cast<std::uint32_t>(payload.size()),
                                              .record_count = sent.record_count,
                                              .payload_checksum = crc32c(payload)});
  store(sent.buffer, header);
  previous = chain_value(header);
  sent.state = BlockState::in_flight;
  sent.asked_poll = polls;
  device.write_durable(sent.offset, sent.buffer.first(length), device_token(TokenKind::write, sent_sequence));
  ++operations_in_flight;
  ++counters.blocks_written;
  counters.bytes_written += length;
}

void Journal::State::finish_write(std::uint64_t sequence, std::int32_t error) {
  CHECK_LE(sequence, sent_sequence);
  CHECK_GT(sequence, durable_sequence);
  if (error != 0) {
    if (!failed) failed = error;
    return;
  }
  block(sequence).state = BlockState::done;
  // After a failure nothing counts as durable any more: what the device says then is not to be trusted.
  if (mutant(Mutant::durable_by_completion_order)) durable_number = std::max(durable_number, block(sequence).last_number);
  while (!failed && durable_sequence < sent_sequence && block(durable_sequence + 1).state == BlockState::done) {
    ++durable_sequence;
    durable_number = std::max(durable_number, block(durable_sequence).last_number);
  }
}

void Journal::State::finish(const Completion& completion) {
  CHECK_GT(operations_in_flight, 0U);
  --operations_in_flight;
  const std::uint64_t number = completion.token & ((std::uint64_t{1} << 60) - 1);
  switch (static_cast<TokenKind>(completion.token >> 60)) {
    case TokenKind::write: finish_write(number, completion.error); return;
    case TokenKind::read:
      reads[number].error = completion.error;
      finished_reads.push(static_cast<std::uint32_t>(number));
      return;
    case TokenKind::read_now: read_now_error = completion.error; return;
  }
  CHECK(false);
}

void Journal::State::collect() {
  ++polls;
  std::array<Completion, 16> finished;
  while (operations_in_flight > 0) {
    const std::size_t count = device.poll(finished);
    for (std::size_t i = 0; i < count; ++i) finish(finished[i]);
    if (count < finished.size()) return;
  }
}

void Journal::State::wait_for_block(std::uint64_t sequence) {
  while (durable_sequence < sequence && !failed) {
    device.submit();
    collect();
    if (durable_sequence < sequence) ::sched_yield();
  }
}

Journal::Journal(std::unique_ptr<State> state) : state_(std::move(state)) {}
Journal::~Journal() = default;

const Recovered& Journal::recovered() const {
  return state_->recovered;
}

bool Journal::can_stage(wire::RecordKind kind, std::size_t body_bytes) const {
  if (state_->failed || body_bytes > body_bytes_max) return false;
  const std::uint64_t record_bytes = padded_record_bytes(body_bytes);
  const Block* open = state_->open_block();
  if (open != nullptr && state_->fits_open_block(*open, is_control(kind), record_bytes)) return true;
  return state_->can_open_block(is_control(kind), record_bytes);
}

bool Journal::has_space() const {
  const std::uint64_t largest = block_bytes(padded_record_bytes(body_bytes_max));
  return !state_->failed && state_->place(false, std::min<std::uint64_t>(largest, state_->limits.block_bytes_max)).has_value();
}

Journal::Staged Journal::stage(const wire::RecordHeader& header, Bytes body) {
  CHECK(can_stage(header.kind, body.size()));
  CHECK_EQ(header.body_bytes, body.size());
  State& state = *state_;
  const bool control = is_control(header.kind);
  const std::uint64_t record_bytes = padded_record_bytes(body.size());
  const Block* open = state.open_block();
  if (open == nullptr || !state.fits_open_block(*open, control, record_bytes)) {
    const std::uint64_t offset = *state.place(control, block_bytes(record_bytes));
    if (open != nullptr) state.close_open_block();
    state.begin_block(offset);
  }
  Block& block = state.block(state.last_sequence);
  const MutableBytes to = block.buffer.subspan(block.used, record_bytes);
  store(to, wire::seal(header));
  copy(to.subspan(sizeof(wire::RecordHeader)), body);
  const std::size_t bytes = sizeof(wire::RecordHeader) + body.size();
  std::memset(to.data() + bytes, 0, record_bytes - bytes);
  const Location location{.offset = block.offset + block.used, .bytes = static_cast<std::uint32_t>(bytes)};
  block.used += static_cast<std::uint32_t>(record_bytes);
  ++block.record_count;
  block.last_number = ++state.staged_number;
  ++state.counters.records;
  return {.number = state.staged_number, .location = location};
}

void Journal::flush(const Watermarks& watermarks) {
  State& state = *state_;
  state.watermarks.promised = std::max(state.watermarks.promised, watermarks.promised);
  state.watermarks.commit = std::max(state.watermarks.commit, watermarks.commit);
  while (!state.failed && state.sent_sequence < state.last_sequence &&
         state.sent_sequence - state.durable_sequence < state.limits.writes_in_flight) {
    Block& next = state.block(state.sent_sequence + 1);
    if (next.state == BlockState::open) state.close_open_block();
    state.send(next);
  }
}

void Journal::submit() {
  // Whether or not something new was asked for: the kernel may have refused the last submit for want of memory.
  if (state_->operations_in_flight > 0) state_->device.submit();
}

void Journal::collect() {
  state_->collect();
}

PersistNumber Journal::durable() const {
  return state_->durable_number;
}

bool Journal::idle() const {
  return state_->last_sequence == state_->durable_sequence && state_->operations_in_flight == 0;
}

std::uint64_t Journal::oldest_write_polls() const {
  const State& state = *state_;
  if (state.durable_sequence == state.sent_sequence) return 0;
  return state.polls - state.block(state.durable_sequence + 1).asked_poll;
}

namespace {

// The whole device blocks around a record.
struct Extent {
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
};

Extent extent_of(Location location) {
  const std::uint64_t offset = location.offset / device_block_bytes * device_block_bytes;
  return {.offset = offset, .bytes = align_up(location.offset + location.bytes, device_block_bytes) - offset};
}

std::optional<wire::RecordView> record_in(Bytes blocks, Location location) {
  const Bytes bytes = blocks.subspan(location.offset % device_block_bytes, location.bytes);
  const auto record = wire::decode_record(bytes);
  if (!record || record->bytes() != location.bytes) return std::nullopt;
  return *record;
}

void check_location(Location location, const Geometry& geometry) {
  CHECK_GE(location.bytes, sizeof(wire::RecordHeader));
  CHECK_LE(location.bytes, record_bytes_max);
  CHECK_GE(location.offset, segments_offset);
  CHECK_LE(location.offset + location.bytes, geometry.end());
}

}  // namespace

bool Journal::read(Location location, std::uint64_t token) {
  State& state = *state_;
  check_location(location, state.geometry);
  if (state.free_reads.empty()) return false;
  const std::uint32_t index = state.free_reads.back();
  state.free_reads.pop_back();
  ReadSlot& slot = state.reads[index];
  slot.location = location;
  slot.token = token;
  const Extent extent = extent_of(location);
  state.device.read(extent.offset, slot.buffer.first(extent.bytes), device_token(TokenKind::read, index));
  ++state.operations_in_flight;
  ++state.counters.reads;
  return true;
}

std::optional<ReadResult> Journal::next_read_result() {
  State& state = *state_;
  if (state.shown_read) state.free_reads.push_back(*state.shown_read);
  state.shown_read.reset();
  if (state.finished_reads.empty()) return std::nullopt;
  const std::uint32_t index = state.finished_reads.front();
  state.finished_reads.pop();
  state.shown_read = index;
  const ReadSlot& slot = state.reads[index];
  ReadResult result{.token = slot.token, .record = std::nullopt};
  if (slot.error == 0) result.record = record_in(slot.buffer, slot.location);
  if (!result.record) ++state.counters.reads_failed;
  return result;
}

Result<wire::RecordView> Journal::read_now(Location location) {
  State& state = *state_;
  check_location(location, state.geometry);
  const Extent extent = extent_of(location);
  state.read_now_error.reset();
  state.device.read(extent.offset, state.read_now_buffer.bytes().first(extent.bytes), device_token(TokenKind::read_now, 0));
  ++state.operations_in_flight;
  ++state.counters.reads;
  while (!state.read_now_error) {
    state.device.submit();
    state.collect();
    if (!state.read_now_error) ::sched_yield();
  }
  if (*state.read_now_error == 0) {
    if (const auto record = record_in(state.read_now_buffer.bytes(), location)) return *record;
  }
  ++state.counters.reads_failed;
  return fail(fmt::format("the record at offset {} of the journal cannot be read back ({}): this replica must not serve it",
                          location.offset, *state.read_now_error == 0 ? "checksum" : std::strerror(*state.read_now_error)));
}

std::optional<int> Journal::failed() const {
  return state_->failed;
}

std::uint64_t Journal::bytes_used() const {
  return state_->end_offset() - segments_offset;
}

std::uint64_t Journal::bytes_capacity() const {
  return state_->geometry.bytes();
}

const JournalCounters& Journal::counters() const {
  return state_->counters;
}

const DeviceInfo& Journal::device_info() const {
  return state_->device.info();
}

}  // namespace synod::storage
