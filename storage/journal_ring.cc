// The ring of segments: where blocks go, which segments may be used again, and when a checkpoint is due.
#include <algorithm>

#include "base/check.h"
#include "storage/journal_state.h"

namespace synod::storage {

namespace {

constexpr std::uint64_t trim_blocks = 2;       // of the reserve: the record, and another one where the first came too early
constexpr std::uint64_t checkpoint_share = 8;  // a checkpoint comes after so many times its bytes, at the earliest
constexpr std::uint64_t capacity_share = 8;    // or after this part of the journal: what lies behind it cannot be released before

}  // namespace

Reserve Journal::State::reserve_of(wire::RecordKind kind) const {
  switch (kind) {
    case wire::RecordKind::promise:
    case wire::RecordKind::members:
    case wire::RecordKind::repair: return Reserve::half;
    case wire::RecordKind::checkpoint:
    case wire::RecordKind::index: return checkpoint_needed ? Reserve::most : Reserve::none;
    case wire::RecordKind::trim: return Reserve::all;
    default: return Reserve::none;
  }
}

// The end of a segment: of the last free one, less what is reserved for others.
std::uint64_t Journal::State::segment_limit(std::uint32_t index, Reserve reserve) const {
  const std::uint64_t end = geometry.end_of(index);
  const bool is_last = geometry.next(index) == first_segment || is_last_ready(index);
  if (!is_last) return end;
  switch (reserve) {
    case Reserve::none: return end - reserve_bytes;
    case Reserve::half: return end - align_up(reserve_bytes / 2, device_block_bytes);
    case Reserve::most: return end - trim_blocks * device_block_bytes;
    case Reserve::all: return end;
  }
  CHECK(false);
}

// No segment behind it will be ready soon. (Those get ready in order, so until all are, the ring has not come round.)
bool Journal::State::is_last_ready(std::uint32_t index) const {
  return preparing_failed && geometry.end_of(index) >= ready_bytes;
}

// Where a new block of `length` bytes goes: behind the last one, or at the start of the next segment if it does not fit there and
// that one is free.
std::optional<Journal::State::Place> Journal::State::place(Reserve reserve, std::uint64_t length,
                                                           std::uint64_t usable_bytes) const {
  const std::uint64_t offset = end_offset();
  const std::uint64_t wanted = std::max<std::uint64_t>(length, device_block_bytes);  // see Geometry::can_hold_block
  if (offset + wanted <= segment_limit(segment, reserve)) return Place{segment, offset};
  const std::uint32_t next = geometry.next(segment);
  if (next == first_segment || offset == geometry.start_of(segment)) return std::nullopt;
  if (geometry.end_of(next) > usable_bytes || geometry.start_of(next) + wanted > segment_limit(next, reserve))
    return std::nullopt;
  return Place{next, geometry.start_of(next)};
}

// How many segments lie between the oldest needed one and this one.
std::uint32_t Journal::State::age_of(std::uint32_t index) const {
  return index >= first_segment ? index - first_segment : index + geometry.segments - first_segment;
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
                     .tail = first.tail,
                     .checkpoint = checkpoint_of(first)};
}

// The record that makes a trim durable, and the commit watermark that covers it, must be on the disk with the word that segments
// are free: a start that finds less must find the old records, too.
void Journal::State::announce_release(const Block& sent) {
  if (!release || sent.last_number < release->witness || sent.commit + 1 < release->below) return;
  announced_segment = release->first_segment;
  release.reset();
}

bool Journal::has_space() const {
  const State& state = *state_;
  // What is not ready yet counts: it will be, unless that has failed.
  const std::uint64_t ready = state.preparing_failed ? state.ready_bytes : UINT64_MAX;
  return !state.failed &&
         state.place(Reserve::none, state.geometry.block_bytes(padded_record_bytes(largest_body())), ready).has_value();
}

std::uint64_t Journal::bytes_free() const {
  const State& state = *state_;
  const std::uint64_t ready = state.ready_bytes;
  if (state.preparing_failed) return ready - std::min(ready, state.end_offset());
  return bytes_capacity() - bytes_used();
}

std::uint32_t Journal::segments_ready() const {
  const State& state = *state_;
  const std::uint64_t ready = std::min(state.ready_bytes, state.geometry.end());
  return static_cast<std::uint32_t>((ready - state.geometry.start_of(0)) / state.geometry.segment_bytes);
}

std::optional<CheckpointAt> Journal::newest_checkpoint_below(Slot slot) const {
  const State& state = *state_;
  const CheckpointAt& newest = state.checkpoint.at;
  if (newest.sequence != 0 && newest.applied < slot) return newest;
  std::optional<CheckpointAt> found;
  for (std::uint32_t index = state.first_segment;; index = state.geometry.next(index)) {
    const CheckpointAt& named = state.segments[index].checkpoint;
    // (A segment that is used again names one of its former use until its first block is sent.)
    const bool is_there = named.sequence != 0 && named.sequence >= state.segments[state.announced_segment].first_sequence &&
                          state.is_kept(state.geometry.segment_of(named.offset));
    if (is_there && named.applied < slot && (!found || named.sequence > found->sequence)) found = named;
    if (index == state.segment) return found;
  }
}

bool Journal::keeps(const CheckpointAt& at) const {
  const Geometry& geometry = state_->geometry;
  return at.sequence != 0 && geometry.can_hold_block(at.offset) && state_->is_kept(geometry.segment_of(at.offset));
}

// Not announced as free: it is behind the oldest one that is needed.
bool Journal::State::is_kept(std::uint32_t index) const {
  const auto distance = [&](std::uint32_t to) {
    return to >= announced_segment ? to - announced_segment : to + geometry.segments - announced_segment;
  };
  return distance(index) <= distance(segment);
}

// A segment may go when all that was written before its successor's first block is below the trim, up to that in which the newest
// checkpoint below the trim begins.
std::uint32_t Journal::State::first_kept(Slot below, const std::optional<CheckpointAt>& base) const {
  const std::uint32_t last = base ? geometry.segment_of(base->offset) : announced_segment;
  std::uint32_t first = announced_segment;
  for (std::uint32_t index = first; index != last;) {
    index = geometry.next(index);
    const SegmentInfo& info = segments[index];
    if (info.first_sequence != 0 && info.highest >= below) break;
    if (info.first_sequence != 0) first = index;
  }
  return first;
}

void Journal::release(Slot below, PersistNumber witness) {
  State& state = *state_;
  const std::uint32_t first = state.first_kept(below, newest_checkpoint_below(below));
  if (first != state.announced_segment) state.release = PendingRelease{below, witness, first};
}

bool Journal::can_release(Slot below) const {
  return state_->first_kept(below, newest_checkpoint_below(below)) != state_->announced_segment;
}

bool Journal::release_lacks_checkpoint(Slot below) const {
  const State& state = *state_;
  if (state.checkpoint_needed || state.segment == state.staged_checkpoint.segment) return false;
  const auto base = newest_checkpoint_below(below);
  std::uint32_t index = base ? state.geometry.segment_of(base->offset) : state.announced_segment;
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

// Where the newest checkpoint begins, once all its parts are staged.
void Journal::State::note_checkpoint(const Block& block, Slot applied, Bytes body) {
  const auto part = load<CheckpointPart>(body);
  if (part.part == 0) {
    staged_checkpoint = {
        .at = {last_sequence, block.offset, applied}, .segment = block.segment, .bytes = part.bytes, .last_number = {}};
    bytes_since_checkpoint = 0;
    checkpoint_needed = checkpoint_wanted = false;
  }
  if (part.part + 1 == part.parts) staged_checkpoint.last_number = staged_number;
}

bool Journal::wants_checkpoint() const {
  const State& state = *state_;
  if (state.failed) return false;
  if (state.checkpoint_needed || state.checkpoint_wanted) return true;
  if (state.segment == state.staged_checkpoint.segment) return false;
  return state.bytes_since_checkpoint >=
         std::min(checkpoint_share * state.staged_checkpoint.bytes, state.geometry.bytes() / capacity_share);
}

void Journal::need_checkpoint() {
  state_->checkpoint_needed = true;
}

void Journal::want_checkpoint() {
  state_->checkpoint_wanted = true;
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

bool Journal::has_checkpoint_behind(std::uint64_t sequence) const {
  return state_->checkpoint.at.sequence > sequence;
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

}  // namespace synod::storage
