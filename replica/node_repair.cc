// Making whole again what this replica's disk has lost, from the peers (rule 6): the scrub finds gaps in the chain of blocks; the
// sweep finds which slots lay in them, and asks for each; when nothing that is needed lies there any more, the gap is closed.
#include <algorithm>

#include "base/check.h"
#include "replica/node.h"
#include "wire/message.h"

namespace synod::replica {

namespace {

constexpr std::size_t pages_per_upkeep = 2;
constexpr std::uint64_t wait_for_trimmed_us = 1'000'000;

}  // namespace

void Node::keep_repairs() {
  while (const auto unreadable = reads_.next_unreadable()) {
    if (unreadable->slot < first_wanted()) continue;
    const std::uint64_t page = page_of(unreadable->slot);
    if (!unreadable->is_page) {
      repairs_.ask(unreadable->slot);
    } else if (first_of_page(page) >= first_wanted()) {
      const SlotIndex::Entry entry = index_->directory(page);
      (void)repairs_.ask_page(page, entry.base, entry.chain);
    }
  }
  const auto question = repairs_.next_question(now_us_);
  if (!question) return;
  const std::size_t members = options_.configuration.size();
  const std::size_t place = question->turn % members;
  const ReplicaId peer = options_.configuration.member(place);
  if (peer == options_.self) return;
  const consensus::Send asked{.to = peer,
                              .ballot = engine_.promised(),
                              .commit = engine_.commit(),
                              .payload = wire::CatchUp{question->from, question->to}};
  (void)send({&asked, 1});
}

// A chosen value of a slot that is committed here. True: it was wanted, and is used.
bool Node::repair(const wire::RecordView& record) {
  const Slot slot = record.header.slot;
  if (slot > log_.applied() || slot < index_->first() || failed_) return false;
  const bool for_page = repairs_.wants_for_page(slot);
  if (!for_page && !repairs_.wants(slot)) return false;
  const auto body = wire::BodyView::decode(record.body);
  if (!body) return false;
  if (!for_page && (!reads_.has_page(page_of(slot)) || (*index_)[slot].checksum != record.header.body_checksum)) return false;
  if (own_records_.full() || !journal_->can_stage(wire::RecordKind::chosen, record.body.size())) return false;
  wire::RecordHeader header{.slot = slot, .ballot = record.header.ballot, .kind = wire::RecordKind::chosen};
  const storage::Journal::Staged staged = stage_own(header, record.body);
  if (for_page) {
    repairs_.add_to_page(record, *body, staged);
    finish_page();
  } else {
    index_->moved(slot, staged);
    repairs_.repaired(slot);
  }
  return true;
}

void Node::finish_page() {
  const auto built = repairs_.finished_page();
  if (!built) return;
  // What the next page says, or the log itself where there is none yet.
  const bool is_last = first_of_page(built->page + 1) > log_.applied();
  const Lsn base = is_last ? log_.tail() : index_->directory(built->page + 1).base;
  const wire::Chain chain = is_last ? log_.chain() : index_->directory(built->page + 1).chain;
  const bool is_right = built->base == base && built->chain == chain;
  if (is_right && !index_->is_resident(built->page)) index_->rebuilt(built->page, repairs_.page_slots());
  repairs_.drop_page(is_right);
}

void Node::keep_gaps() {
  if (const auto gap = scrub_.step(now_us_); gap && !closing_) add_gap(*gap);
  if (!closing_) drop_readable_gaps();
  if (const auto healed = scrub_.take_healed(); healed && !healed_.full()) {
    healed_.push_back(*healed);
    begin_sweep();
  }
  if (closing_) return close_gaps();
  if (gaps_.empty() && healed_.empty()) return;
  repairs_.trim(first_wanted());
  if (index_->commit() < index_->first()) return finish_sweep();  // nothing is indexed that could lie there
  for (std::size_t i = 0; i < pages_per_upkeep; ++i) {
    sweep_page_ = std::max(sweep_page_, index_->first_page());
    if (sweep_page_ > page_of(index_->commit())) return finish_sweep();
    if (!sweep_page(sweep_page_)) return;
    ++sweep_page_;
  }
}

Slot Node::first_wanted() const {
  const bool waits = gaps_.empty() || now_us_ - gap_found_us_ < wait_for_trimmed_us;
  return waits ? index_->first() : first_needed();
}

void Node::add_gap(const storage::Gap& gap) {
  const std::uint64_t pass = scrub_.progress().passes;
  for (OpenGap& known : gaps_) {
    if (known.gap.offset != gap.offset) continue;
    known.pass = pass;
    return;
  }
  // More than fit are found again by the next pass.
  if (!gaps_.full()) gaps_.push_back({gap, pass});
  gap_found_us_ = now_us_;
  if (!is_behind(gap)) moved_by_.reset();
  begin_sweep();
}

// The newest checkpoint lies behind the gap, and nothing has happened since that another one would say. A place that is lost
// again and again, or that cannot be closed, would else fill the journal with them.
bool Node::is_behind(const storage::Gap& gap) const {
  const auto newest = journal_->newest_checkpoint_below(Slot(UINT64_MAX));
  return newest && newest->sequence > gap.next_sequence && newest->applied == log_.applied();
}

// What a whole pass of the scrub has come by without seeing can be read again. What the peers were asked for may lie there after
// all; whoever misses it asks again.
void Node::drop_readable_gaps() {
  const std::uint64_t passes = scrub_.progress().passes;
  for (std::size_t i = gaps_.size(); i-- > 0;) {
    if (passes < gaps_[i].pass + 2) continue;
    gaps_[i] = gaps_[gaps_.size() - 1];
    gaps_.pop_back();
    repairs_.forget();
    begin_sweep();
  }
}

void Node::begin_sweep() {
  sweep_page_ = 0;
  sweep_is_clean_ = true;
}

// In the place of lost blocks. It is closed behind a checkpoint that points elsewhere, but a start may have had to begin before
// it.
bool Node::lies_in_gap(const storage::Location& location) const {
  if (location.offset == 0) return false;
  const auto is_in_gap = [&](const OpenGap& open) { return journal_->lies_in(open.gap, location.offset); };
  const auto is_in_healed = [&](const storage::Location& healed) {
    return location.offset >= healed.offset && location.offset < healed.offset + healed.bytes;
  };
  return std::ranges::any_of(gaps_, is_in_gap) || std::ranges::any_of(healed_, is_in_healed);
}

// Asks for what lay in a gap. False: the page is not here yet.
bool Node::sweep_page(std::uint64_t page) {
  if (first_of_page(page + 1) <= first_wanted()) return true;
  if (page < index_->open_page() && lies_in_gap(index_->location_of(page))) {
    sweep_is_clean_ = false;
    if (index_->is_resident(page)) index_->restage(page);
  }
  if (!reads_.has_page(page)) return false;
  const Slot last = std::min(index_->commit(), first_of_page(page) + (index_page_slots - 1));
  for (Slot slot = std::max(first_wanted(), first_of_page(page)); slot <= last; ++slot) {
    if (!lies_in_gap((*index_)[slot].location)) continue;
    repairs_.ask(slot);
    sweep_is_clean_ = false;
  }
  return true;
}

// Once a sweep has found nothing any more in the gaps, nothing is in doubt for their sake, and the next start reads nothing
// before all that, they are closed. (A start that came by would take the old places of what was moved for good, and would miss
// what is trimmed and lost everywhere: there is no gap any more that tells it why.)
void Node::finish_sweep() {
  for (Slot slot = engine_.commit() + 1; slot <= engine_.commit() + options_.window_slots; ++slot) {
    const bool is_open = engine_.open_slot(slot) != nullptr;
    if (is_open && lies_in_gap(staged_[slot.value() % staged_.size()].location)) sweep_is_clean_ = false;
  }
  const bool is_clean = sweep_is_clean_;
  begin_sweep();
  if (!is_clean) return moved_by_.reset();
  healed_.clear();
  const bool is_settled = repairs_.is_idle() && index_->unstaged() == 0 && engine_.may_promise() && journal_->idle();
  if (gaps_.empty() || !is_settled) return;
  if (!moved_by_) {
    moved_by_ = journal_->durable_sequence();
    journal_->want_checkpoint();
  }
  closing_ = journal_->has_checkpoint_behind(*moved_by_);
}

// One after the other. A gap that cannot be closed does no harm.
void Node::close_gaps() {
  if (journal_->is_writing_aside()) return;
  if (gaps_.empty()) {
    closing_ = false;
    return;
  }
  if (journal_->heal(gaps_[gaps_.size() - 1].gap)) ++counters_.gaps_closed;
  gaps_.pop_back();
}

}  // namespace synod::replica
