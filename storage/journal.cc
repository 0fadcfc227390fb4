// Appending. Opening is in recovery.cc, the ring of segments in journal_ring.cc, reading in journal_reads.cc.
#include "storage/journal.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/mutant.h"
#include "storage/journal_state.h"

namespace synod::storage {

namespace {

constexpr std::uint64_t reserve_bytes_max = 1U << 20;
constexpr std::chrono::seconds drain_wait_max{2};

}  // namespace

Journal::State::State(DeviceRef from_device, const JournalLimits& from_limits, const Superblock& from_superblock)
    : device(from_device),
      ready_bytes(from_device.ready_bytes()),
      preparing_failed(from_device.preparing_failed()),
      limits(from_limits),
      superblock(from_superblock),
      geometry(geometry_of(from_superblock)),
      block_memory(std::size_t{from_limits.block_bytes_max} * (from_limits.writes_in_flight + from_limits.blocks_waiting)),
      blocks(from_limits.writes_in_flight + from_limits.blocks_waiting),
      segments(geometry.segments),
      read_memory(read_buffer_bytes * from_limits.reads_in_flight),
      reads(from_limits.reads_in_flight),
      finished_reads(from_limits.reads_in_flight),
      stretch_memory(read_buffer_bytes * from_limits.stretches),
      stretches(from_limits.stretches),
      blocks_buffer(block_bytes_limit),
      aside_buffer(device_block_bytes) {
  reserve_bytes = std::min(reserve_bytes_max, geometry.segment_bytes / 4) / device_block_bytes * device_block_bytes;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    free_buffers.push_back({block_memory.bytes().subspan(i * limits.block_bytes_max, limits.block_bytes_max)});
  }
  for (std::uint32_t i = 0; i < limits.reads_in_flight; ++i) {
    reads[i].buffer = read_memory.bytes().subspan(i * read_buffer_bytes, read_buffer_bytes);
    free_reads.push_back(i);
  }
  for (std::size_t i = 0; i < stretches.size(); ++i) {
    stretches[i].buffer = stretch_memory.bytes().subspan(i * read_buffer_bytes, read_buffer_bytes);
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
  stretch_memory.leak();
  blocks_buffer.leak();
  aside_buffer.leak();
}

const Block* Journal::State::open_block() const {
  if (last_sequence == sent_sequence) return nullptr;
  const Block& last = block(last_sequence);
  return last.state == BlockState::open ? &last : nullptr;
}

bool Journal::State::fits_open_block(const Block& open, Reserve reserve, std::uint64_t record_bytes) const {
  const std::uint64_t used = open.used + record_bytes;
  return used <= limits.block_bytes_target &&
         align_up(open.offset + used, geometry.unit_bytes) <= segment_limit(open.segment, reserve);
}

// Where a block behind everything staged so far would start.
std::uint64_t Journal::State::end_offset() const {
  const Block* open = open_block();
  return open == nullptr ? next_offset : align_up(open->offset + open->used, geometry.unit_bytes);
}

// Where a block that begins with such a record goes, if there is one to be had.
std::optional<Journal::State::Place> Journal::State::new_block(Reserve reserve, std::uint64_t record_bytes) const {
  const std::uint64_t length = geometry.block_bytes(record_bytes);
  if (length > limits.block_bytes_max || last_sequence - durable_sequence >= blocks.size()) return std::nullopt;
  return place(reserve, length, ready_bytes);
}

// The commit watermark is taken now and not when the block is sent: by then it may cover slots whose records lie in later blocks,
// and a recovery that finds this block and not those would miss them, or take a value that they replace for the committed one.
// (`watermarks` are those of the last flush, and what was staged before it lies in this block or before it.)
void Journal::State::close_open_block() {
  Block& last = block(last_sequence);
  last.commit = watermarks.commit;
  last.is_unbounded = is_unbounded;
  next_offset = align_up(last.offset + last.used, geometry.unit_bytes);
  last.state = BlockState::closed;
}

Block& Journal::State::begin_block(Place at) {
  ++last_sequence;
  CHECK_LE(last_sequence - durable_sequence, blocks.size());
  Block& begun = block(last_sequence);
  begun.buffer = free_buffers.back();
  free_buffers.pop_back();
  begun.offset = at.offset;
  begun.segment = segment = at.segment;
  begun.used = sizeof(BlockHeader);
  begun.record_count = 0;
  begun.checksum = 0;
  begun.state = BlockState::open;
  begun.last_number = staged_number;
  return begun;
}

// The record, sealed, behind those that the block holds.
Location Journal::State::put(Block& block, const wire::RecordHeader& header, Bytes body) {
  const std::uint64_t record_bytes = padded_record_bytes(body.size());
  const MutableBytes to = block.buffer.bytes.subspan(block.used, record_bytes);
  const wire::RecordHeader sealed = wire::seal(header);
  store(to, sealed);
  copy(to.subspan(sizeof(wire::RecordHeader)), body);
  const std::size_t bytes = sizeof(wire::RecordHeader) + body.size();
  std::memset(to.data() + bytes, 0, record_bytes - bytes);
  block.checksum = crc32c(bytes_of(sealed), block.checksum);
  block.checksum = crc32c_joined(block.checksum, header.body_checksum.value(), body.size());
  block.checksum = crc32c(to.subspan(bytes), block.checksum);
  const Location location{.offset = block.offset + block.used, .bytes = static_cast<std::uint32_t>(bytes)};
  block.used += static_cast<std::uint32_t>(record_bytes);
  ++block.record_count;
  return location;
}

// Writes the header and asks the device for the closed block behind the last sent one.
void Journal::State::send(Block& sent) {
  CHECK(sent.state == BlockState::closed);
  ++sent_sequence;
  announce_release(sent);
  const auto length = static_cast<std::uint32_t>(align_up(sent.used, geometry.unit_bytes));
  // All that its last use left there, at once: less would have to be cleared again in each small block behind a large one.
  BlockBuffer& buffer = sent.buffer;
  if (buffer.zero_from > sent.used) std::memset(buffer.bytes.data() + sent.used, 0, buffer.zero_from - sent.used);
  buffer.zero_from = sent.used;
  const bool begins_segment = sent.offset == geometry.start_of(sent.segment);
  BlockHeader header{.kind = std::exchange(next_kind, BlockKind::normal),
                     .cluster = superblock.cluster,
                     .disk = superblock.disk,
                     .open_count = superblock.open_count,
                     .offset = sent.offset,
                     .segment = sent.segment,
                     .generation = generation_of(sent),
                     .sequence = sent_sequence,
                     .durable_sequence = durable_sequence,
                     .previous = previous,
                     .promised = watermarks.promised,
                     .commit = sent.commit,
                     .highest = watermarks.highest,
                     .checkpoint_sequence = checkpoint.at.sequence,
                     .checkpoint_offset = checkpoint.at.offset,
                     .written_s = now_s,
                     .payload_bytes = static_cast<std::uint32_t>(sent.used - sizeof(BlockHeader)),
                     .record_count = sent.record_count,
                     .first_segment = announced_segment,
                     .unbounded = sent.is_unbounded ? 1U : 0U,
                     .tail = watermarks.tail,
                     .checkpoint_applied = checkpoint.at.applied,
                     .payload_checksum = sent.checksum};
  sent.is_told = watermarks.own_place != Watermarks::nobody;
  if (sent.is_told) watermarks.heard[watermarks.own_place] = {superblock.open_count, sent_sequence};
  header.heard = watermarks.heard;
  header = seal(header);
  store(buffer.bytes, header);
  if (begins_segment) begin_segment(sent.segment, header);
  previous = chain_value(header);
  sent.first_segment = announced_segment;
  sent.state = BlockState::in_flight;
  sent.asked_poll = polls;
  device.write_durable(sent.offset, buffer.bytes.first(length), device_token(TokenKind::write, sent_sequence));
  ++operations_in_flight;
  ++counters.blocks_written;
  counters.bytes_written += length;
  bytes_since_checkpoint += length;
}

// The durable prefix has reached this block.
void Journal::State::took_effect(const Block& durable) {
  free_buffers.push_back(durable.buffer);
  durable_number = std::max(durable_number, durable.last_number);
  first_segment = durable.first_segment;
  if (durable.is_told) told_sequence = durable_sequence;
  const bool is_whole = staged_checkpoint.last_number != PersistNumber{} && staged_checkpoint.last_number <= durable_number;
  if (is_whole && checkpoint.at.sequence < staged_checkpoint.at.sequence) checkpoint = staged_checkpoint;
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
    took_effect(block(durable_sequence));
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
    case TokenKind::blocks:
      blocks_state = BlocksState::finished;
      if (completion.error != 0) blocks_bytes = 0;
      return;
    case TokenKind::aside: finish_aside(completion.error); return;
    case TokenKind::stretch: finish_stretch(number, completion.error); return;
  }
  CHECK(false);
}

bool Journal::State::collect() {
  ++polls;
  ready_bytes = device.ready_bytes();
  preparing_failed = device.preparing_failed();
  if (operations_in_flight == 0) return false;
  bool any = false;
  std::array<Completion, 16> finished;
  while (operations_in_flight > 0) {
    const std::size_t count = device.poll(finished);
    for (std::size_t i = 0; i < count; ++i) finish(finished[i]);
    any = any || count > 0;
    if (count < finished.size()) break;
  }
  return any;
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
  const Reserve reserve = state_->reserve_of(kind);
  const Block* open = state_->open_block();
  if (open != nullptr && state_->fits_open_block(*open, reserve, record_bytes)) return true;
  return state_->new_block(reserve, record_bytes).has_value();
}

// In the last free segment too, in front of the reserve.
std::size_t Journal::largest_body() const {
  const State& state = *state_;
  const std::uint64_t block =
      std::min<std::uint64_t>(state.limits.block_bytes_max, state.geometry.segment_bytes - state.reserve_bytes);
  return std::min<std::uint64_t>(body_bytes_max, block - sizeof(BlockHeader) - sizeof(wire::RecordHeader));
}

// Should this record be lost, the header of the block behind it must say no less.
void Journal::State::note_repair(const wire::RecordHeader& header) {
  is_unbounded = header.ballot.is_none();
  watermarks.promised = std::max(watermarks.promised, header.ballot);
  watermarks.highest = std::max(watermarks.highest, header.slot);
}

Journal::Staged Journal::stage(const wire::RecordHeader& header, Bytes body) {
  State& state = *state_;
  CHECK(!state.failed);
  CHECK_LE(body.size(), body_bytes_max);
  CHECK_EQ(header.body_bytes, body.size());
  const Reserve reserve = state.reserve_of(header.kind);
  const std::uint64_t record_bytes = padded_record_bytes(body.size());
  const Block* open = state.open_block();
  if (open == nullptr || !state.fits_open_block(*open, reserve, record_bytes)) {
    const auto place = state.new_block(reserve, record_bytes);
    CHECK(place.has_value());  // the caller has asked can_stage
    if (open != nullptr) state.close_open_block();
    state.begin_block(*place);
  }
  Block& block = state.block(state.last_sequence);
  const Location location = State::put(block, header, body);
  block.last_number = ++state.staged_number;
  if (header.kind == wire::RecordKind::checkpoint) state.note_checkpoint(block, header.slot, body);
  if (header.kind == wire::RecordKind::repair) state.note_repair(header);
  ++state.counters.records;
  return {.number = state.staged_number, .location = location};
}

void Journal::flush(const Watermarks& watermarks, bool at_leisure) {
  State& state = *state_;
  state.watermarks.promised = std::max(state.watermarks.promised, watermarks.promised);
  state.watermarks.commit = std::max(state.watermarks.commit, watermarks.commit);
  state.watermarks.highest = std::max(state.watermarks.highest, watermarks.highest);
  state.watermarks.tail = std::max(state.watermarks.tail, watermarks.tail);
  for (std::size_t i = 0; i < members_max; ++i) {
    state.watermarks.heard[i] = std::max(state.watermarks.heard[i], watermarks.heard[i]);
  }
  state.watermarks.own_place = watermarks.own_place;
  while (!state.failed && !state.aside_superblock && state.sent_sequence < state.last_sequence &&
         state.sent_sequence - state.durable_sequence < state.limits.writes_in_flight) {
    Block& next = state.block(state.sent_sequence + 1);
    const bool is_open = next.state == BlockState::open;
    if (is_open && at_leisure) return;
    if (is_open) state.close_open_block();
    state.send(next);
  }
}

bool Journal::is_flushed() const {
  return state_->sent_sequence == state_->last_sequence;
}

void Journal::submit() {
  // Whether or not something new was asked for: the kernel may have refused the last submit for want of memory.
  if (state_->operations_in_flight > 0) state_->device.submit();
}

bool Journal::collect() {
  return state_->collect();
}

PersistNumber Journal::durable() const {
  return state_->durable_number;
}

bool Journal::idle() const {
  return state_->last_sequence == state_->durable_sequence && state_->operations_in_flight == 0;
}

bool Journal::is_at_work() const {
  return state_->operations_in_flight > 0;
}

std::uint64_t Journal::oldest_write_polls() const {
  const State& state = *state_;
  if (state.durable_sequence == state.sent_sequence) return 0;
  return state.polls - state.block(state.durable_sequence + 1).asked_poll;
}

std::optional<int> Journal::failed() const {
  return state_->failed;
}

std::uint64_t Journal::durable_sequence() const {
  return state_->durable_sequence;
}

void Journal::set_time(std::uint64_t now_s) {
  state_->now_s = now_s;
}

std::uint64_t Journal::told_sequence() const {
  return state_->told_sequence;
}

const JournalCounters& Journal::counters() const {
  return state_->counters;
}

bool Journal::preparing_failed() const {
  return state_->preparing_failed;
}

const DeviceInfo& Journal::device_info() const {
  return state_->device.info();
}

}  // namespace synod::storage
