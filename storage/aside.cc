// Writes beside the chain: blocks over lost ones, and a superblock with a higher open count.
#include <algorithm>

#include "storage/journal_state.h"

namespace synod::storage {

void Journal::State::begin_aside(std::span<const std::uint64_t> offsets) {
  std::ranges::copy(offsets, aside_offsets.begin());
  aside_count = static_cast<std::uint32_t>(offsets.size());
  aside_done = 0;
  write_aside();
}

// One copy after the other, each durable: a torn copy leaves the others whole.
void Journal::State::write_aside() {
  device.write_durable(aside_offsets[aside_done], aside_buffer.bytes(), device_token(TokenKind::aside, 0));
  ++operations_in_flight;
}

void Journal::State::finish_aside(std::int32_t error) {
  if (error != 0) {
    if (!failed) failed = error;
    aside_count = 0;
    return;
  }
  if (++aside_done < aside_count) return write_aside();
  aside_count = 0;
  if (!aside_superblock) return;
  superblock = *aside_superblock;
  aside_superblock.reset();
  recovered.identity.open_count = superblock.open_count;
}

bool Journal::is_writing_aside() const {
  return state_->aside_count > 0;
}

bool Journal::raise_open_count(std::uint64_t floor) {
  State& state = *state_;
  if (is_writing_aside() || state.failed) return false;
  Superblock raised = state.superblock;
  ++raised.number;
  raised.open_count = std::max(raised.open_count, floor);
  raised = seal(raised);
  std::ranges::fill(state.aside_buffer.bytes(), std::byte{});
  store(state.aside_buffer.bytes(), raised);
  state.aside_superblock = raised;
  std::array<std::uint64_t, superblock_copies> offsets{};
  for (std::uint32_t i = 0; i < superblock_copies; ++i) offsets[i] = std::uint64_t{i} * device_block_bytes;
  state.begin_aside(offsets);
  return true;
}

bool Journal::heal(const Gap& gap) {
  State& state = *state_;
  const Geometry& geometry = state.geometry;
  if (is_writing_aside()) return false;
  std::uint32_t next_segment = geometry.segment_of(gap.next_offset);
  std::uint64_t from = gap.offset;
  std::uint64_t to = gap.next_offset;
  if (gap.offset == segments_offset + geometry.bytes() || geometry.segment_of(gap.offset) != next_segment) {
    // The chain crosses into another segment within the gap. Where something is lost there, that is covered, and what is lost at
    // the end of the old one needs no cover then: a start looks for the next block at both places.
    from = geometry.start_of(next_segment);
    if (gap.next_offset == from && gap.offset % geometry.segment_bytes != segments_offset % geometry.segment_bytes) {
      next_segment = geometry.segment_of(gap.offset);
      from = gap.offset;
      to = geometry.end_of(next_segment);
    }
  }
  if (to < from + device_block_bytes) return false;
  BlockHeader header{.kind = BlockKind::healed,
                     .cluster = state.superblock.cluster,
                     .disk = state.superblock.disk,
                     .open_count = state.superblock.open_count,
                     .offset = from,
                     .segment = next_segment,
                     .generation = std::max(1U, state.segments[next_segment].generation),
                     .sequence = gap.next_sequence - 1,
                     .durable_sequence = gap.next_sequence - 1,
                     .previous = gap.previous,
                     .promised = gap.bound.promised,
                     .commit = gap.bound.commit,
                     .highest = gap.bound.highest,
                     .written_s = state.now_s,
                     .payload_bytes = static_cast<std::uint32_t>(to - from - sizeof(BlockHeader)),
                     .first_segment = state.first_segment,
                     .heard = gap.bound.heard,
                     .next_previous = gap.next_previous,
                     .tail = gap.bound.tail};
  std::ranges::fill(state.aside_buffer.bytes(), std::byte{});
  store(state.aside_buffer.bytes(), seal(header));
  const std::array offsets{from};
  state.begin_aside(offsets);
  return true;
}

}  // namespace synod::storage
