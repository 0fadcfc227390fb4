// Each class's part of the fingerprint: what it contributes to later behaviour, and nothing else.
#include "consensus/fingerprint.h"

#include "consensus/engine.h"

namespace synod::consensus {

namespace {

// A record is durable, or it is the n-th one that is not.
std::uint64_t from_durable(PersistNumber number, PersistNumber durable) {
  return number <= durable ? 0 : number - durable;
}

void add_value(Fingerprint& print, Checksum checksum, std::uint32_t body_bytes) {
  print.add(checksum);
  print.add(body_bytes);
}

}  // namespace

void Acceptor::fingerprint(Fingerprint& print) const {
  print.add(promised_);
  print.add(from_durable(promise_number_, durable_));
  print.add(from_durable(staged_, durable_));
  for (Slot slot = slots_.first(); slot <= slots_.last(); ++slot) {
    const AcceptedSlot& accepted = slots_[slot];
    print.add(accepted.ballot);
    if (!accepted.present()) continue;
    add_value(print, accepted.value.checksum, accepted.value.body_bytes);
    print.add(from_durable(accepted.number, durable_) << 1 | (accepted.chosen ? 1U : 0U));
  }
  print.add(held_.size());
  for (std::size_t i = 0; i < held_.size(); ++i) {
    const HeldReply& reply = held_[i];
    print.add(static_cast<std::uint64_t>(reply.kind));
    print.add(reply.to);
    print.add(from_durable(reply.number, durable_));
    print.add(reply.ballot);
    print.add(reply.slot);
    print.add(reply.checksum);
  }
}

void Proposer::fingerprint(Fingerprint& print) const {
  print.add(static_cast<std::uint64_t>(phase_));
  // The next ballot is above everything promised or seen; an old one of ours is as any other old one.
  if (phase_ == ProposerPhase::idle) return;
  print.add(ballot_);
  if (phase_ == ProposerPhase::promising) return;
  print.add(last_found_);
  if (phase_ == ProposerPhase::preparing) print.add(promises_);
  if (phase_ != ProposerPhase::preparing) print.add(next_slot_);
  // What phase 1 found matters until it is proposed.
  const Slot first_found = phase_ == ProposerPhase::preparing ? found_.first() : next_slot_;
  for (Slot slot = first_found; slot <= last_found_; ++slot) {
    const FoundSlot& found = found_[slot];
    print.add(found.ballot);
    add_value(print, found.checksum, found.body_bytes);
    print.add(found.reporters);
    print.add(found.fetched == no_body ? 0U : 1U);
  }
  if (phase_ == ProposerPhase::preparing) return;
  for (Slot slot = proposed_.first(); slot < next_slot_; ++slot) {
    // Once chosen a slot needs no more votes.
    const MemberSet votes = proposed_[slot].votes;
    print.add(configuration_.is_phase2_quorum(votes) ? MemberSet{} : votes);
  }
}

void Learner::fingerprint(Fingerprint& print, Ballot promised) const {
  print.add(commit_);
  // A watermark that has done its work, in a ballot that nobody below can follow any more.
  if (watermark_ <= commit_ && watermark_ballot_ <= promised) return print.add(0U);
  print.add(watermark_ballot_);
  print.add(watermark_ <= commit_ ? Slot{} : watermark_);
}

void Election::fingerprint(Fingerprint& print) const {
  print.add(suspecting_ ? 1U : 0U);
  if (suspecting_) print.add(lost_);
}

void Identity::fingerprint(Fingerprint& print) const {
  print.add(recorded_ ? 1U : 0U);
  for (std::size_t label = 0; label < configuration_.size(); ++label) print.add(open_counts_[print.member_at(label)]);
  // Once recorded, the uuids are those of the members for ever.
  if (recorded_) return;
  print.add(question_);
  for (std::size_t label = 0; label < configuration_.size(); ++label) {
    for (const std::byte byte : uuids_[print.member_at(label)].bytes) print.add(static_cast<std::uint64_t>(byte));
  }
}

void Doubt::fingerprint(Fingerprint& print) const {
  print.add(static_cast<std::uint64_t>(kind));
  if (kind != Kind::bounded) return;
  print.add(bound);
  print.add(last);
}

void Witness::fingerprint(Fingerprint& print) const {
  print.add(open_count_);
  print.add(claim_.open_count);
  print.add(claim_.sequence);
  print.add(announced());
  for (std::size_t label = 0; label < configuration_.size(); ++label) {
    const Position& heard = heard_[print.member_at(label)];
    print.add(heard.open_count);
    print.add(heard.sequence);
  }
  if (confirmed_) return print.add(1U);
  print.add(floor_);
  print.add(answered_);
  print.add(certain_);
  print.add(highest_ballot_);
  print.add(highest_slot_);
}

void Engine::fingerprint(Fingerprint& print, bool may_campaign, bool may_be_asked) const {
  acceptor_.fingerprint(print);
  proposer_.fingerprint(print);
  if (proposer_.phase() == ProposerPhase::reproposing || proposer_.phase() == ProposerPhase::leading) {
    receipts_.fingerprint(print, proposer_.next_slot());
  }
  learner_.fingerprint(print, promised());
  election_.fingerprint(print);
  identity_.fingerprint(print);
  // What was seen above our promise only lifts the round of our next ballot.
  print.add(may_campaign ? highest_seen_.round() : 0U);
  print.add(may_be_asked || doubt_.is_unbounded() ? highest_seen_ : Ballot{});
  print.add(may_be_asked || doubt_.is_unbounded() ? highest_slot_ : Slot{});
  print.add((members_staged_ ? 2U : 0U) | (voting_stopped_ ? 1U : 0U));
  witness_.fingerprint(print);
  // A doubt that is resolved stays so.
  (doubt_.is_resolved(acceptor_.slots()) ? Doubt{} : doubt_).fingerprint(print);
  print.add(static_cast<std::uint64_t>(repair_staged_));
  print.add(trim_);
}

}  // namespace synod::consensus
