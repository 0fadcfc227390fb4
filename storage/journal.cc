// Appending and reading. Opening is in recovery.cc.
#include "storage/journal.h"

#include <fmt/format.h>
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

constexpr std::uint64_t checkpoint_share = 16;  // a checkpoint comes after so many times its bytes, at the earliest
constexpr std::uint64_t capacity_share = 4;  // or after this part of the journal: what lies behind it cannot be released before

// What may use the reserve. (Checkpoints and index pages may not: they are large.)
constexpr bool is_control(wire::RecordKind kind) {
  return kind == wire::RecordKind::promise || kind == wire::RecordKind::members || kind == wire::RecordKind::trim ||
         kind == wire::RecordKind::repair;
}

}  // namespace

Journal::State::State(DeviceRef from_device, const JournalLimits& from_limits, const Superblock& from_superblock)
    : device(from_device),
      limits(from_limits),
      superblock(from_superblock),
      geometry(geometry_of(from_superblock)),
      block_memory(std::size_t{from_limits.block_bytes_max} * (from_limits.writes_in_flight + 2)),
      blocks(from_limits.writes_in_flight + 2),
      segments(geometry.segments),
      read_memory(read_buffer_bytes * from_limits.reads_in_flight),
      reads(from_limits.reads_in_flight),
      finished_reads(from_limits.reads_in_flight),
      read_now_buffer(read_buffer_bytes),
      blocks_buffer(block_bytes_limit),
      aside_buffer(device_block_bytes) {
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
  blocks_buffer.leak();
  aside_buffer.leak();
}

const Block* Journal::State::open_block() const {
  if (last_sequence == sent_sequence) return nullptr;
  const Block& last = block(last_sequence);
  return last.state == BlockState::open ? &last : nullptr;
}

// The end of a segment for control records, or for votes, which stop before the reserve at the end of the last free segment.
std::uint64_t Journal::State::segment_limit(std::uint32_t index, bool control) const {
  const bool is_last = geometry.next(index) == first_segment;
  return is_last && !control ? geometry.end_of(index) - reserve_bytes : geometry.end_of(index);
}

bool Journal::State::fits_open_block(const Block& open, bool control, std::uint64_t record_bytes) const {
  const std::uint64_t used = open.used + record_bytes;
  return used <= limits.block_bytes_target &&
         align_up(open.offset + used, device_block_bytes) <= segment_limit(open.segment, control);
}

// Where a block behind everything staged so far would start.
std::uint64_t Journal::State::end_offset() const {
  const Block* open = open_block();
  return open == nullptr ? next_offset : align_up(open->offset + open->used, device_block_bytes);
}

// Where a new block of `length` bytes goes: behind the last one, or at the start of the next segment if it does not fit there and
// that one is free.
std::optional<Journal::State::Place> Journal::State::place(bool control, std::uint64_t length, std::uint64_t ready_bytes) const {
  const std::uint64_t offset = end_offset();
  if (offset + length <= segment_limit(segment, control)) return Place{segment, offset};
  const std::uint32_t next = geometry.next(segment);
  if (next == first_segment || offset == geometry.start_of(segment)) return std::nullopt;
  if (geometry.end_of(next) > ready_bytes || geometry.start_of(next) + length > segment_limit(next, control)) return std::nullopt;
  return Place{next, geometry.start_of(next)};
}

bool Journal::State::can_open_block(bool control, std::uint64_t record_bytes) const {
  const std::uint64_t length = block_bytes(record_bytes);
  return length <= limits.block_bytes_max && last_sequence - durable_sequence < blocks.size() &&
         place(control, length, device.ready_bytes()).has_value();
}

// How many segments lie between the oldest needed one and this one.
std::uint32_t Journal::State::age_of(std::uint32_t index) const {
  return index >= first_segment ? index - first_segment : index + geometry.segments - first_segment;
}

// The commit watermark is taken now and not when the block is sent: by then it may cover slots whose records lie in later blocks,
// and a recovery that finds this block and not those would miss them, or take a value that they replace for the committed one.
// (`watermarks` are those of the last flush, and what was staged before it lies in this block or before it.)
void Journal::State::close_open_block() {
  Block& last = block(last_sequence);
  last.commit = watermarks.commit;
  last.is_unbounded = is_unbounded;
  next_offset = align_up(last.offset + last.used, device_block_bytes);
  last.state = BlockState::closed;
}

Block& Journal::State::begin_block(Place at) {
  ++last_sequence;
  CHECK_LE(last_sequence - durable_sequence, blocks.size());
  Block& begun = block(last_sequence);
  begun.offset = at.offset;
  begun.segment = segment = at.segment;
  begun.used = sizeof(BlockHeader);
  begun.record_count = 0;
  begun.state = BlockState::open;
  begun.last_number = staged_number;
  return begun;
}

// One more than in the lap before. Known from the segment before this one, since this one's own blocks may have been lost.
std::uint32_t Journal::State::generation_of(const Block& sent) const {
  if (sent.offset != geometry.start_of(sent.segment)) return segments[sent.segment].generation;
  return sent.segment == 0 ? segments.back().generation + 1 : segments[sent.segment - 1].generation;
}

void Journal::State::begin_segment(std::uint32_t index, const BlockHeader& first) {
  segments[index] = {.first_sequence = first.sequence,
                     .generation = first.generation,
                     .written_s = first.written_s,
                     .commit = first.commit,
                     .highest = first.highest,
                     .tail = first.tail};
}

// The record that makes a trim durable, and the commit watermark that covers it, must be on the disk with the word that segments
// are free: a start that finds less must find the old records, too.
void Journal::State::announce_release(const Block& sent) {
  if (!release || sent.last_number < release->witness || sent.commit + 1 < release->below) return;
  announced_segment = release->first_segment;
  release.reset();
}

// Writes the header and asks the device for the closed block behind the last sent one.
void Journal::State::send(Block& sent) {
  CHECK(sent.state == BlockState::closed);
  ++sent_sequence;
  announce_release(sent);
  const std::uint64_t length = align_up(sent.used, device_block_bytes);
  std::memset(sent.buffer.data() + sent.used, 0, length - sent.used);
  const Bytes payload = sent.buffer.subspan(sizeof(BlockHeader), sent.used - sizeof(BlockHeader));
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
                     .checkpoint_sequence = checkpoint.sequence,
                     .checkpoint_offset = checkpoint.offset,
                     .written_s = now_s,
                     .payload_bytes = static_cast<std::uint32_t>(payload.size()),
                     .record_count = sent.record_count,
                     .first_segment = announced_segment,
                     .unbounded = sent.is_unbounded ? 1U : 0U,
                     .tail = watermarks.tail,
                     .payload_checksum = crc32c(payload)};
  sent.is_told = watermarks.own_place != Watermarks::nobody;
  if (sent.is_told) watermarks.heard[watermarks.own_place] = {superblock.open_count, sent_sequence};
  header.heard = watermarks.heard;
  header = seal(header);
  store(sent.buffer, header);
  if (begins_segment) begin_segment(sent.segment, header);
  previous = chain_value(header);
  sent.first_segment = announced_segment;
  sent.state = BlockState::in_flight;
  sent.asked_poll = polls;
  device.write_durable(sent.offset, sent.buffer.first(length), device_token(TokenKind::write, sent_sequence));
  ++operations_in_flight;
  ++counters.blocks_written;
  counters.bytes_written += length;
  bytes_since_checkpoint += length;
}

// The durable prefix has reached this block.
void Journal::State::took_effect(const Block& durable) {
  durable_number = std::max(durable_number, durable.last_number);
  first_segment = durable.first_segment;
  if (durable.is_told) told_sequence = durable_sequence;
  const bool is_whole = staged_checkpoint.last_number != PersistNumber{} && staged_checkpoint.last_number <= durable_number;
  if (is_whole && checkpoint.sequence < staged_checkpoint.sequence) checkpoint = staged_checkpoint;
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
    case TokenKind::read_now: read_now_error = completion.error; return;
    case TokenKind::blocks:
      blocks_state = BlocksState::finished;
      if (completion.error != 0) blocks_bytes = 0;
      return;
    case TokenKind::aside: finish_aside(completion.error); return;
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

// In the last free segment too, in front of the reserve.
std::size_t Journal::largest_body() const {
  const State& state = *state_;
  const std::uint64_t block =
      std::min<std::uint64_t>(state.limits.block_bytes_max, state.geometry.segment_bytes - state.reserve_bytes);
  return std::min<std::uint64_t>(body_bytes_max, block - sizeof(BlockHeader) - sizeof(wire::RecordHeader));
}

bool Journal::has_space() const {
  const State& state = *state_;
  // What is not ready yet counts: it will be.
  return !state.failed && state.place(false, block_bytes(padded_record_bytes(largest_body())), UINT64_MAX).has_value();
}

// Where the newest checkpoint begins, once all its parts are staged.
void Journal::State::note_checkpoint(const Block& block, Bytes body) {
  const auto part = load<CheckpointPart>(body);
  if (part.part == 0) {
    staged_checkpoint = {
        .sequence = last_sequence, .offset = block.offset, .segment = block.segment, .bytes = part.bytes, .last_number = {}};
    bytes_since_checkpoint = 0;
    checkpoint_needed = false;
  }
  if (part.part + 1 == part.parts) staged_checkpoint.last_number = staged_number;
}

// Should this record be lost, the header of the block behind it must say no less.
void Journal::State::note_repair(const wire::RecordHeader& header) {
  is_unbounded = header.ballot.is_none();
  watermarks.promised = std::max(watermarks.promised, header.ballot);
  watermarks.highest = std::max(watermarks.highest, header.slot);
}

Journal::Staged Journal::stage(const wire::RecordHeader& header, Bytes body) {
  CHECK(can_stage(header.kind, body.size()));
  CHECK_EQ(header.body_bytes, body.size());
  State& state = *state_;
  const bool control = is_control(header.kind);
  const std::uint64_t record_bytes = padded_record_bytes(body.size());
  const Block* open = state.open_block();
  if (open == nullptr || !state.fits_open_block(*open, control, record_bytes)) {
    const State::Place place = *state.place(control, block_bytes(record_bytes), state.device.ready_bytes());
    if (open != nullptr) state.close_open_block();
    state.begin_block(place);
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
  if (header.kind == wire::RecordKind::checkpoint) state.note_checkpoint(block, body);
  if (header.kind == wire::RecordKind::repair) state.note_repair(header);
  ++state.counters.records;
  return {.number = state.staged_number, .location = location};
}

void Journal::flush(const Watermarks& watermarks) {
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

bool Journal::read_blocks(std::uint64_t offset, std::uint64_t bytes) {
  State& state = *state_;
  if (state.blocks_state != State::BlocksState::idle) return false;
  CHECK(offset % device_block_bytes == 0 && bytes % device_block_bytes == 0 && bytes <= state.blocks_buffer.size());
  state.blocks_state = State::BlocksState::asked;
  state.blocks_offset = offset;
  state.blocks_bytes = bytes;
  state.device.read(offset, state.blocks_buffer.bytes().first(bytes), device_token(TokenKind::blocks, 0));
  ++state.operations_in_flight;
  return true;
}

std::optional<Journal::BlocksRead> Journal::take_blocks() {
  State& state = *state_;
  if (state.blocks_state != State::BlocksState::finished) return std::nullopt;
  state.blocks_state = State::BlocksState::idle;
  return BlocksRead{state.blocks_offset, Bytes(state.blocks_buffer.bytes()).first(state.blocks_bytes)};
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

void Journal::release(Slot below, PersistNumber witness) {
  State& state = *state_;
  // A segment may go when all that was written before its successor's first block is below the trim, up to the newest
  // checkpoint's.
  const std::uint32_t newest = state.checkpoint.sequence == 0 ? state.first_segment : state.checkpoint.segment;
  std::uint32_t first = state.announced_segment;
  for (std::uint32_t index = first; index != newest;) {
    index = state.geometry.next(index);
    const SegmentInfo& segment = state.segments[index];
    if (segment.first_sequence != 0 && segment.highest >= below) break;
    if (segment.first_sequence != 0) first = index;
  }
  if (first != state.announced_segment) state.release = PendingRelease{below, witness, first};
}

bool Journal::release_lacks_checkpoint(Slot below) const {
  const State& state = *state_;
  if (state.checkpoint_needed || state.segment == state.staged_checkpoint.segment) return false;
  std::uint32_t index = state.checkpoint.sequence == 0 ? state.first_segment : state.checkpoint.segment;
  while (index != state.segment) {
    index = state.geometry.next(index);
    const SegmentInfo& segment = state.segments[index];
    if (segment.first_sequence != 0) return segment.highest < below;
  }
  return false;
}

bool Journal::is_releasing() const {
  return state_->release.has_value();
}

bool Journal::wants_checkpoint() const {
  const State& state = *state_;
  if (state.failed) return false;
  if (state.checkpoint_needed) return true;
  if (state.segment == state.staged_checkpoint.segment) return false;
  return state.bytes_since_checkpoint >=
         std::min(checkpoint_share * state.staged_checkpoint.bytes, state.geometry.bytes() / capacity_share);
}

void Journal::need_checkpoint() {
  state_->checkpoint_needed = true;
}

bool Journal::lies_in(const Gap& gap, std::uint64_t offset) const {
  const Geometry& geometry = state_->geometry;
  const std::uint32_t last = geometry.segment_of(gap.next_offset);
  const std::uint32_t first = gap.segment;
  const std::uint32_t segment = geometry.segment_of(offset);
  if (first == last) return offset >= gap.offset && offset < gap.next_offset;
  if (segment == first) return offset >= gap.offset;
  if (segment == last) return offset < gap.next_offset;
  for (std::uint32_t between = geometry.next(first); between != last; between = geometry.next(between)) {
    if (between == segment) return true;
  }
  return false;
}

bool Journal::has_checkpoint_in(const Gap& gap) const {
  return state_->checkpoint.sequence != 0 && lies_in(gap, state_->checkpoint.offset);
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

std::uint64_t Journal::bytes_used() const {
  const State& state = *state_;
  return state.age_of(state.segment) * state.geometry.segment_bytes +
         (state.end_offset() - state.geometry.start_of(state.segment));
}

std::span<const SegmentInfo> Journal::segments() const {
  return state_->segments;
}

std::uint32_t Journal::first_segment() const {
  return state_->first_segment;
}

std::uint32_t Journal::segments_free() const {
  return state_->geometry.segments - 1 - state_->age_of(state_->segment);
}

std::uint64_t Journal::segment_bytes() const {
  return state_->geometry.segment_bytes;
}

std::uint32_t Journal::current_segment() const {
  return state_->segment;
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
