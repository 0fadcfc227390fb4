// Reading back what is durable: records for readers and peers, stretches of them ahead of readers, whole blocks for the scrub.
#include <algorithm>

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

bool Journal::fits_stretch(Location stretch) const {
  const Geometry& geometry = state_->geometry;
  return extent_of(stretch).bytes <= stretch_bytes &&
         geometry.segment_of(stretch.offset) == geometry.segment_of(stretch.offset + stretch.bytes - 1);
}

bool Journal::read_ahead(Location stretch) {
  State& state = *state_;
  check_location(stretch, state.geometry);
  Stretch* oldest = nullptr;
  for (Stretch& candidate : state.stretches) {
    if (!candidate.is_coming && (oldest == nullptr || candidate.used < oldest->used)) oldest = &candidate;
  }
  if (oldest == nullptr) return false;
  const Extent extent = extent_of(stretch);
  oldest->offset = extent.offset;
  oldest->bytes = extent.bytes;
  oldest->used = ++state.stretch_uses;
  oldest->is_coming = true;
  const auto index = static_cast<std::uint64_t>(oldest - state.stretches.data());
  state.device.read(extent.offset, oldest->buffer.first(extent.bytes), device_token(TokenKind::stretch, index));
  ++state.operations_in_flight;
  ++state.counters.stretches_read;
  return true;
}

// What cannot be read is not held. That it is unreadable is for a read of the record itself to say.
void Journal::State::finish_stretch(std::uint64_t index, std::int32_t error) {
  Stretch& stretch = stretches[index];
  stretch.is_coming = false;
  if (error != 0) stretch.bytes = 0;
}

Stretch* Journal::State::stretch_with(Location location) {
  const auto found =
      std::ranges::find_if(stretches, [&](const Stretch& stretch) { return !stretch.is_coming && stretch.covers(location); });
  return found == stretches.end() ? nullptr : &*found;
}

std::optional<wire::RecordView> Journal::held(Location location) {
  State& state = *state_;
  Stretch* stretch = state.stretch_with(location);
  if (stretch == nullptr) return std::nullopt;
  stretch->used = ++state.stretch_uses;
  const auto record = record_in(Bytes(stretch->buffer).subspan(extent_of(location).offset - stretch->offset), location);
  if (!record) drop_held(location);
  return record;
}

bool Journal::is_at_hand(Location location) const {
  return std::ranges::any_of(state_->stretches, [&](const Stretch& stretch) { return stretch.covers(location); });
}

void Journal::drop_held(Location location) {
  while (Stretch* stretch = state_->stretch_with(location)) *stretch = {.buffer = stretch->buffer};
}

bool Journal::read_blocks(Asker asker, std::uint64_t offset, std::uint64_t bytes) {
  State& state = *state_;
  if (state.blocks_state != State::BlocksState::idle) return false;
  const std::uint32_t unit = state.geometry.unit_bytes;
  CHECK(offset % unit == 0 && bytes % unit == 0 && bytes <= state.blocks_buffer.size());
  state.blocks_state = State::BlocksState::asked;
  state.blocks_asker = asker;
  state.blocks_offset = offset;
  state.blocks_bytes = bytes;
  state.device.read(offset, state.blocks_buffer.bytes().first(bytes), device_token(TokenKind::blocks, 0));
  ++state.operations_in_flight;
  return true;
}

std::optional<Journal::BlocksRead> Journal::take_blocks(Asker asker) {
  State& state = *state_;
  if (state.blocks_state != State::BlocksState::finished || state.blocks_asker != asker) return std::nullopt;
  state.blocks_state = State::BlocksState::idle;
  return BlocksRead{state.blocks_offset, Bytes(state.blocks_buffer.bytes()).first(state.blocks_bytes)};
}

}  // namespace synod::storage
