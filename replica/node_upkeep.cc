// What the journal needs and nobody waits for: pages of the index, checkpoints, trims.
#include <algorithm>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/mutant.h"
#include "replica/node.h"
#include "replica/trim_record.h"

namespace synod::replica {

namespace {

constexpr std::uint64_t trim_again_us = 100'000;  // each record takes space
constexpr std::uint64_t retain_interval_us = 1'000'000;
constexpr std::uint64_t upkeep_interval_us = 5'000;
constexpr std::uint64_t checkpoint_interval_us = 100'000;

}  // namespace

// A record that the engine knows nothing of. It counts its own; see engine_durable.
storage::Journal::Staged Node::stage_own(wire::RecordHeader header, Bytes body) {
  header.body_bytes = static_cast<std::uint32_t>(body.size());
  header.body_checksum = Checksum(body.empty() ? 0 : crc32c(body));
  room_.reset();
  disk_is_awaited_ = true;
  const storage::Journal::Staged staged = journal_->stage(header, body);
  own_records_.push(staged.number);
  return staged;
}

// How many of the engine's records are among the first `durable` ones.
PersistNumber Node::engine_durable(PersistNumber durable) {
  for (; !own_records_.empty() && own_records_.front() <= durable; own_records_.pop()) ++own_records_durable_;
  return durable - own_records_durable_;
}

storage::Watermarks Node::watermarks() const {
  storage::Watermarks marks{.promised = engine_.promised(),
                            .commit = engine_.commit(),
                            .highest = engine_.highest_slot(),
                            .tail = log_.tail(),
                            .heard = engine_.heard()};
  const std::size_t place = options_.configuration.place_of(options_.self);
  marks.heard[place] = engine_.claim();
  if (installing_from_) marks.commit = *installing_from_;
  if (engine_.confirmed()) marks.own_place = static_cast<std::uint8_t>(place);
  return marks;
}

void Node::upkeep() {
  if (failed_) return;
  keep_pages();
  keep_checkpoint();
  if (now_us_ - upkeep_us_ < upkeep_interval_us) return;
  upkeep_us_ = now_us_;
  keep_trim();
  keep_repairs();
  keep_transfer();
  keep_gaps();
}

void Node::keep_pages() {
  while (const auto page = index_->page_to_stage()) {
    if (own_records_.full() || !journal_->can_stage(wire::RecordKind::index, index_page_bytes)) return;
    index_->write_page(*page, page_body_);
    index_->staged(*page, stage_own({.slot = first_of_page(*page), .kind = wire::RecordKind::index}, page_body_));
  }
}

void Node::keep_checkpoint() {
  if (own_records_.full()) return;
  if (!checkpoint_.is_writing()) {
    // Where the pages of the index lie must be known.
    if (!journal_->wants_checkpoint() || index_->unstaged() > 0) return;
    // Where a full part has no place a smaller one may have one: its size is known when it is made, and that is not tried often.
    if (!journal_->can_stage(wire::RecordKind::accepted, checkpoint_.part_bytes())) {
      if (now_us_ - checkpoint_tried_us_ < checkpoint_interval_us) return;
      checkpoint_tried_us_ = now_us_;
    }
    begin_checkpoint(false);
    if (!can_stage_part()) return checkpoint_.abandon();
  }
  if (!can_stage_part()) return;
  stage_own({.slot = checkpoint_.applied(), .kind = wire::RecordKind::checkpoint}, checkpoint_.next_part());
  checkpoint_.part_taken();
  if (checkpoint_.is_writing()) return;
  installing_from_.reset();
  trim_is_stale_ = true;  // a start from this checkpoint does not see the record before it
}

// A large one keeps out of the reserve, as votes do.
bool Node::can_stage_part() const {
  const auto kind = checkpoint_.is_small() ? wire::RecordKind::checkpoint : wire::RecordKind::accepted;
  return journal_->can_stage(kind, checkpoint_.next_part_bytes());
}

void Node::begin_checkpoint(bool is_installed) {
  const consensus::Doubt& doubt = engine_.doubt();
  CheckpointHeader header{.trim = trim_slot_,
                          .promised = engine_.promised(),
                          .doubt_bound = doubt.bound,
                          .doubt_last = doubt.last,
                          .doubt_kind = static_cast<std::uint16_t>(doubt.kind),
                          .is_installed = static_cast<std::uint16_t>(is_installed),
                          .first_lsn = first_lsn_};
  FixedVector<OpenSlot, window_slots_max> open;
  for (Slot slot = engine_.commit() + 1; slot <= engine_.commit() + options_.window_slots; ++slot) {
    const consensus::AcceptedSlot* accepted = engine_.open_slot(slot);
    if (accepted == nullptr) continue;
    const storage::Location& location = staged_[slot.value() % staged_.size()].location;
    const auto kind = accepted->chosen ? wire::RecordKind::chosen : wire::RecordKind::accepted;
    open.push_back({.slot = slot,
                    .ballot = accepted->ballot,
                    .offset = location.offset,
                    .bytes = location.bytes,
                    .checksum = accepted->value.checksum,
                    .kind = static_cast<std::uint32_t>(kind)});
  }
  FixedVector<wire::MemberUuid, members_max> members;
  if (engine_.members_recorded()) members = engine_.member_uuids();
  checkpoint_.begin(header, std::span(members.begin(), members.size()), std::span(open.begin(), open.size()), *index_, log_);
}

// The slot that the log's trim falls into, once its page of the index is here.
std::optional<Slot> Node::find_trim_slot() {
  if (log_.trim() >= log_.tail() || index_->commit() < index_->first()) return log_.applied() + 1;
  const std::uint64_t page = index_->page_with(log_.trim());
  if (!reads_.has_page(page)) return std::nullopt;
  return index_->find(log_.trim());
}

void Node::stage_trim() {
  if (own_records_.full() || !journal_->can_stage(wire::RecordKind::trim, sizeof(TrimRecord))) return;
  // From the reserve, only a trim that brings space back. (The log itself knows of the others.)
  const bool takes_reserve = !journal_->can_stage(wire::RecordKind::accepted, sizeof(TrimRecord));
  if (takes_reserve && !journal_->can_release(trim_slot_)) return;
  trim_staged_us_ = now_us_;
  trim_is_stale_ = false;
  const TrimRecord record{.trimmed = trimmed_, .base_sequence = trim_base_.sequence, .base_offset = trim_base_.offset};
  trim_record_ = stage_own({.slot = trim_slot_, .kind = wire::RecordKind::trim}, bytes_of(record)).number;
}

// Slots below the trim go up to the newest checkpoint below it, and no further: a peer that is farther behind gets that state,
// and behind it every slot, so it never lets go of a vote for what is not trimmed.
void Node::let_go() {
  if (trim_target_ <= trim_slot_) return;
  const Slot below = mutant(Mutant::trim_lets_go_too_far) ? Slot(UINT64_MAX) : trim_target_;
  const auto base = journal_->newest_checkpoint_below(below);
  if (!base || base->applied + 1 <= trim_slot_) return;
  trim_slot_ = base->applied + 1;
  trim_base_ = *base;
  trim_record_ = {};  // the one before says less
  stage_trim();
  engine_.set_trim(trim_slot_);
  index_->trim(trim_slot_);
  repairs_.trim(trim_slot_);
}

// The journal finds newer checkpoints by itself, and this one only until another of its segment is newer. Where nothing was
// committed meanwhile a newer one ends in front of the same slot: then that one is kept, and segments up to it are released.
void Node::pin_base() {
  const auto base = journal_->newest_checkpoint_below(trim_slot_);
  if (!base || base->applied + 1 != trim_slot_ || base->sequence <= trim_base_.sequence) return;
  trim_base_ = *base;
  trim_is_stale_ = true;
}

void Node::keep_trim() {
  if (installing_from_) return;  // blocks do not carry the watermark yet that would free anything
  if (log_.trim() > trimmed_) {
    const auto slot = find_trim_slot();
    if (!slot) return;
    trimmed_ = log_.trim();
    trim_target_ = std::max(trim_target_, *slot);
  }
  let_go();
  if (trim_slot_ == Slot{}) return;
  pin_base();
  // Its record could not be staged then, or no block is on its way that could say that segments are free.
  const bool is_stuck = journal_->is_releasing() && journal_->idle() && now_us_ - trim_staged_us_ >= trim_again_us;
  // One that only says where the state lies takes no reserve: a few of them would leave none for the trim that brings space back.
  const bool may_say_again = trim_is_stale_ && journal_->can_stage(wire::RecordKind::accepted, sizeof(TrimRecord));
  if (trim_record_ == PersistNumber{} || is_stuck || may_say_again) stage_trim();
  if (trim_record_ != PersistNumber{}) journal_->release(trim_slot_, trim_record_);
  // Checkpoints come rarely, and where appends are refused for want of space nothing brings on the next one.
  const bool is_short = journal_->bytes_used() >= journal_->bytes_capacity() / 4;
  const bool would_serve = log_.applied() < trim_target_;
  if (is_short && would_serve && journal_->release_lacks_checkpoint(trim_target_)) journal_->need_checkpoint();
}

// Retention by size or age, where it is asked for: the leader puts a trim into its batch.
void Node::retain() {
  if (!options_.retention.is_on() || !engine_.is_leader() || now_us_ - retained_us_ < retain_interval_us) return;
  retained_us_ = now_us_;
  const std::span<const storage::SegmentInfo> segments = journal_->segments();
  segment_facts_.clear();
  for (std::uint32_t index = journal_->first_segment();; index = index + 1 == segments.size() ? 0 : index + 1) {
    segment_facts_.push_back({segments[index].tail, segments[index].written_s, journal_->segment_bytes()});
    if (index == journal_->current_segment()) break;
  }
  const RetentionFacts facts{now_s_, segment_facts_};
  const auto first_kept = trim_for_retention(options_.retention, facts, intake_.proposed().trim());
  // A batch without room: in a second again.
  if (first_kept && !intake_.is_closed()) (void)intake_.trim(*first_kept);
}

// This disk is an old copy, and the others know a later open of it: they take nothing from an earlier one. The engine asks until
// it is done.
void Node::raise_open_count(std::uint64_t floor) {
  const std::uint64_t open_count = journal_->recovered().identity.open_count;
  if (open_count < floor) {
    (void)journal_->raise_open_count(floor);
    return;
  }
  messenger_.set_open_count(open_count);
  engine_.raise_open_count(open_count);
}

}  // namespace synod::replica
