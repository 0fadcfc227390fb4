#include "consensus/proposer.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/mutant.h"

namespace synod::consensus {

Proposer::Proposer(const Configuration& configuration, std::size_t window_slots, Slot commit)
    : configuration_(configuration), found_(window_slots), proposed_(window_slots) {
  found_.reset(commit);
  proposed_.reset(commit);
}

void Proposer::begin(Ballot ballot) {
  CHECK(phase_ == ProposerPhase::idle);
  CHECK_GT(ballot, ballot_);
  phase_ = ProposerPhase::promising;
  ballot_ = ballot;
  promises_.clear();
  last_found_ = Slot{};
}

void Proposer::own_promise_durable() {
  CHECK(phase_ == ProposerPhase::promising);
  phase_ = ProposerPhase::preparing;
}

bool Proposer::report(std::size_t member, const wire::PromisedSlot& slot, Effects& effects) {
  CHECK(phase_ == ProposerPhase::preparing);
  if (!found_.covers(slot.slot)) return true;  // committed here meanwhile
  FoundSlot& found = found_[slot.slot];
  if (slot.ballot == found.ballot) {
    if (slot.checksum != found.checksum) return false;
    found.reporters.add(member);
    return true;
  }
  if (slot.ballot < found.ballot && !mutant(Mutant::phase1_takes_lower_ballot)) return true;
  if (found.fetched != no_body) effects.releases.push_back(found.fetched);
  found = {slot.ballot, slot.checksum, slot.body_bytes, MemberSet{}, no_body};
  found.reporters.add(member);
  last_found_ = std::max(last_found_, slot.slot);
  return true;
}

void Proposer::count_promise(std::size_t member) {
  CHECK(phase_ == ProposerPhase::preparing);
  promises_.add(member);
}

void Proposer::fetched(Slot slot, BodyHandle body) {
  CHECK(found_[slot].present());
  CHECK(found_[slot].fetched == no_body);
  found_[slot].fetched = body;
}

void Proposer::start_reproposing(Slot commit) {
  CHECK(phase_ == ProposerPhase::preparing);
  CHECK(has_promises());
  phase_ = ProposerPhase::reproposing;
  next_slot_ = commit + 1;
  proposed_.reset(commit);
}

BodyHandle Proposer::take_fetched(Slot slot) {
  return std::exchange(found_[slot].fetched, no_body);
}

void Proposer::start_leading() {
  CHECK(phase_ == ProposerPhase::reproposing);
  CHECK_GT(next_slot_, last_found_);
  phase_ = ProposerPhase::leading;
}

void Proposer::propose(Slot slot, std::uint64_t now_us) {
  CHECK(phase_ == ProposerPhase::reproposing || phase_ == ProposerPhase::leading);
  CHECK_EQ(slot, next_slot_);
  ProposedSlot& proposed = proposed_[slot];
  CHECK(!proposed.present);
  proposed = {.present = true, .votes = {}, .sent_us = now_us};
  ++next_slot_;
}

bool Proposer::vote(std::size_t member, Slot slot) {
  ProposedSlot& proposed = proposed_[slot];
  CHECK(proposed.present);
  const bool was_chosen = configuration_.is_phase2_quorum(proposed.votes);
  if (mutant(Mutant::vote_counted_twice) && proposed.votes.has(member)) member = (member + 1) % configuration_.size();
  proposed.votes.add(member);
  return !was_chosen && configuration_.is_phase2_quorum(proposed.votes);
}

void Proposer::advance(Effects& effects) {
  const BodyHandle body = take_fetched(found_.first());
  if (body != no_body) effects.releases.push_back(body);
  found_.advance();
  proposed_.advance();
  // A slot that was committed by catch-up while phase 1 was running is not proposed any more.
  if (phase_ != ProposerPhase::idle) next_slot_ = std::max(next_slot_, found_.first());
}

void Proposer::stop(Effects& effects) {
  const Slot commit = found_.first() - 1;
  for (Slot slot = found_.first(); slot <= found_.last(); ++slot) {
    if (found_[slot].fetched != no_body) effects.releases.push_back(found_[slot].fetched);
  }
  found_.reset(commit);
  proposed_.reset(commit);
  promises_.clear();
  phase_ = ProposerPhase::idle;
}

void Proposer::rebase(Slot commit) {
  CHECK(phase_ == ProposerPhase::idle);
  found_.reset(commit);
  proposed_.reset(commit);
}

void Proposer::check_now(Slot commit) const {
  CHECK_EQ(found_.first(), commit + 1);
  CHECK_EQ(proposed_.first(), commit + 1);
  if (phase_ == ProposerPhase::idle) return;
  CHECK(!ballot_.is_none());
  if (phase_ == ProposerPhase::reproposing || phase_ == ProposerPhase::leading) {
    CHECK(configuration_.is_phase1_quorum(promises_));
    CHECK_GT(next_slot_, commit);
    CHECK_LE(next_slot_, proposed_.last() + 1);
    for (Slot slot = proposed_.first(); slot <= proposed_.last(); ++slot) {
      CHECK_EQ(proposed_[slot].present, slot < next_slot_);
    }
  }
}

}  // namespace synod::consensus
