// Reading back what is durable: records for readers and peers, whole blocks for the scrub.
#include "base/check.h"
#include "storage/journal_state.h"

namespace synod::storage {

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

}  // namespace synod::storage
