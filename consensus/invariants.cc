// The engine's invariants as code: run after every simulated step, and once a second in production.
#include <algorithm>

#include "base/check.h"
#include "consensus/engine.h"

namespace synod::consensus {

void Engine::check_now() const {
  acceptor_.check_now(commit());
  proposer_.check_now(commit());
  CHECK_EQ(receipts_.first(), commit() + 1);
  CHECK_LE(promised(), highest_seen_);
  CHECK_LE(commit(), highest_slot_);
  CHECK_LE(trim_, commit() + 1);
  // Rule 6: below the bound nothing is voted for; and only a replica that may promise proposes, for its own promise counts.
  CHECK_LE(doubt_.bound, promised());
  CHECK(!doubt_.is_unbounded() || !witness_.is_confirmed());
  const ProposerPhase phase = proposer_.phase();
  if (phase == ProposerPhase::idle) return;
  CHECK(confirmed() && doubt_.is_resolved(acceptor_.slots()));
  // A proposer whose acceptor promised somebody else has stepped down (rule 2: the ballot is ours, of this incarnation).
  CHECK_EQ(proposer_.ballot(), promised());
  CHECK_EQ(proposer_.ballot().replica(), self_);
  if (phase != ProposerPhase::reproposing && phase != ProposerPhase::leading) return;
  // Nothing lies where the next proposal goes.
  for (Slot slot = std::max(proposer_.next_slot(), proposer_.last_found() + 1); slot <= acceptor_.slots().last(); ++slot) {
    CHECK(!acceptor_.slots()[slot].present());
  }
  for (Slot slot = commit() + 1; slot < proposer_.next_slot(); ++slot) {
    const AcceptedSlot& accepted = acceptor_.slots()[slot];
    CHECK(accepted.present());
    const MemberSet votes = proposer_.proposed()[slot].votes;
    // Our own vote counts only once durable.
    if (votes.has(place_)) CHECK(acceptor_.is_durable(accepted));
    CHECK(!configuration_.is_phase2_quorum(votes) || accepted.chosen);
  }
}

void Engine::check_doubt(const Engine& before, const Engine& after) {
  CHECK_GE(after.highest_slot_, before.highest_slot_);
  CHECK_GE(after.trim_, before.trim_);
  for (std::size_t member = 0; member < members_max; ++member) CHECK(after.heard()[member] >= before.heard()[member]);
  // Whoever is not believed promises nothing; a bound that was found is above everything promised before.
  if (!before.confirmed() && !after.confirmed()) CHECK_EQ(after.promised(), before.promised());
  if (before.doubt_.is_unbounded() && !after.doubt_.is_unbounded()) {
    CHECK(after.doubt_.kind == Doubt::Kind::bounded);
    CHECK_GE(after.doubt_.bound, before.promised());
  }
  // What is resolved stays resolved.
  if (before.doubt_ == after.doubt_ && before.doubt_.is_resolved(before.acceptor_.slots())) {
    CHECK(after.doubt_.is_resolved(after.acceptor_.slots()));
  }
  if (!before.doubt_.is_resolved(before.acceptor_.slots()) && !after.doubt_.is_resolved(after.acceptor_.slots())) {
    CHECK(after.proposer_.phase() == ProposerPhase::idle);
  }
}

void Engine::check_delta(const Engine& before, const Engine& after) {
  CHECK_GE(after.promised(), before.promised());
  CHECK_GE(after.commit(), before.commit());
  CHECK_GE(after.acceptor_.staged(), before.acceptor_.staged());
  CHECK_GE(after.acceptor_.durable(), before.acceptor_.durable());
  CHECK_GE(after.highest_seen_, before.highest_seen_);
  CHECK(after.identity_.recorded() || !before.identity_.recorded());
  check_doubt(before, after);
  for (Slot slot = after.commit() + 1; slot <= before.acceptor_.slots().last(); ++slot) {
    const AcceptedSlot& old_slot = before.acceptor_.slots()[slot];
    const AcceptedSlot& new_slot = after.acceptor_.slots()[slot];
    if (!old_slot.present()) continue;
    CHECK(new_slot.present());
    // An accepted value is replaced only by one of a higher ballot, or by the chosen one; a chosen value is never replaced.
    if (old_slot.chosen) {
      CHECK(new_slot.chosen);
      CHECK_EQ(new_slot.value.checksum, old_slot.value.checksum);
    }
    CHECK(new_slot.ballot >= old_slot.ballot || new_slot.chosen);
    if (new_slot.ballot == old_slot.ballot && !new_slot.chosen) {
      CHECK_EQ(new_slot.value.checksum, old_slot.value.checksum);
    }
  }
}

}  // namespace synod::consensus
