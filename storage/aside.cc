// Writes beside the chain: blocks over lost ones, and a superblock with a higher open count.
#include <algorithm>

#include "storage/journal_state.h"

namespace synod::storage {

namespace {

constexpr std::uint64_t open_count_max = UINT64_MAX - 2;  // a peer's word must not make it wrap

}  // namespace

void Journal::State::begin_aside(std::span<const std::uint64_t> offsets, std::uint64_t bytes) {
  std::ranges::copy(offsets, aside_offsets.begin());
  aside_bytes = bytes;
  aside_count = static_cast<std::uint32_t>(offsets.size());
  aside_done = 0;
  write_aside();
}

// One copy after the other, each durable: a torn copy leaves the others whole.
void Journal::State::write_aside() {
  device.write_durable(aside_offsets[aside_done], aside_buffer.bytes().first(aside_bytes), device_token(TokenKind::aside, 0));
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

// Blocks of the old count behind the durable ones would count as discarded: none is sent until the superblock is durable.
bool Journal::raise_open_count(std::uint64_t floor) {
  State& state = *state_;
  if (floor > open_count_max || is_writing_aside() || state.failed || state.sent_sequence != state.durable_sequence) return false;
  Superblock raised = state.superblock;
  ++raised.number;
  raised.open_count = std::max(raised.open_count, floor);
  raised.durable_sequence = state.durable_sequence;
  raised = seal(raised);
  state.told_sequence = 0;
  std::ranges::fill(state.aside_buffer.bytes(), std::byte{});
  store(state.aside_buffer.bytes(), raised);
  state.aside_superblock = raised;
  std::array<std::uint64_t, superblock_copies> offsets{};
  for (std::uint32_t i = 0; i < superblock_copies; ++i) offsets[i] = std::uint64_t{i} * device_block_bytes;
  state.begin_aside(offsets, device_block_bytes);
  return true;
}

namespace {

// Where one healed block can close a gap.
struct Patch {
  std::uint64_t from = 0;
  std::uint64_t to = 0;
};

// The block behind the gap lies in the segment of the last good one, or in the next one. In the next one, the chain reaches it
// over the start of that segment, and needs no block at the end of the old one; or it is the start itself, and needs one there.
std::optional<Patch> patch_of(const Gap& gap, const Geometry& geometry) {
  const std::uint32_t next_segment = geometry.segment_of(gap.next_offset);
  Patch patch{gap.offset, gap.next_offset};
  if (gap.segment != next_segment) {
    if (geometry.next(gap.segment) != next_segment) return std::nullopt;
    const std::uint64_t start = geometry.start_of(next_segment);
    patch = gap.next_offset == start ? Patch{gap.offset, geometry.end_of(gap.segment)} : Patch{start, gap.next_offset};
  }
  if (patch.to < patch.from + geometry.block_bytes(0)) return std::nullopt;
  return patch;
}

}  // namespace

bool Journal::heal(const Gap& gap) {
  State& state = *state_;
  const Geometry& geometry = state.geometry;
  if (is_writing_aside() || state.failed || !geometry.can_hold_block(gap.next_offset)) return false;
  const auto patch = patch_of(gap, geometry);
  if (!patch) return false;
  // Neither segment may be in use again.
  const std::uint32_t next_segment = geometry.segment_of(gap.next_offset);
  const std::uint32_t segment = geometry.segment_of(patch->from);
  const std::uint32_t generation = segment <= next_segment ? gap.next_generation : gap.next_generation - 1;
  const bool is_there =
      state.segments[next_segment].generation == gap.next_generation && state.segments[segment].generation == generation;
  if (!is_there) return false;
  // It is as the block behind it, but for its place in the chain. (Its open count lies between those of its neighbours.)
  const BlockHeader header{.kind = BlockKind::healed,
                           .cluster = state.superblock.cluster,
                           .disk = state.superblock.disk,
                           .open_count = std::max<std::uint64_t>(1, gap.open_count),
                           .offset = patch->from,
                           .segment = segment,
                           .generation = generation,
                           .sequence = gap.next_sequence - 1,
                           .durable_sequence = gap.next_sequence - 1,
                           .previous = gap.previous,
                           .promised = gap.bound.promised,
                           .commit = gap.bound.commit,
                           .highest = gap.bound.highest,
                           .written_s = state.now_s,
                           .payload_bytes = static_cast<std::uint32_t>(patch->to - patch->from - sizeof(BlockHeader)),
                           .first_segment = state.first_segment,
                           .unbounded = gap.is_unbounded ? 1U : 0U,
                           .heard = gap.bound.heard,
                           .next_previous = gap.next_previous,
                           .tail = gap.bound.tail};
  std::ranges::fill(state.aside_buffer.bytes(), std::byte{});
  store(state.aside_buffer.bytes(), seal(header));
  const std::array offsets{patch->from};
  state.begin_aside(offsets, geometry.block_bytes(0));
  return true;
}

}  // namespace synod::storage
