// What this disk may have forgotten, and what it takes to be believed again (rule 6). See doubt.h and witness.h.
#include <algorithm>
#include <variant>

#include "base/check.h"
#include "consensus/engine.h"
#include "consensus/engine_send.h"

namespace synod::consensus {

// --- the others' disks ------------------------------------------------------------------------------------------------------

void Engine::hear_position(std::size_t from, const wire::PeerMessage& message) {
  std::visit(
      [&](const auto& payload) {
        if constexpr (requires { payload.sequence; }) {
          if (payload.sequence != 0) witness_.heard(from, {message.incarnation.open_count, payload.sequence});
        }
      },
      message.payload);
}

void Engine::answer_hello(std::size_t from, const wire::PeerMessage& message, Effects& effects) const {
  Position heard = witness_.heard()[from];
  // To have heard that a disk was opened more often than it says is to have heard of a later position.
  if (identity_.is_behind(from, message.incarnation)) heard = std::max(heard, Position{identity_.open_count(from), 0});
  const bool is_certain = identity_.recorded() && confirmed();
  send(configuration_.member(from), Ballot{},
       wire::Hello{.is_certain = static_cast<std::uint8_t>(is_certain),
                   .position = heard,
                   .highest_ballot = highest_seen_,
                   .highest_slot = highest_slot_},
       effects);
  effects.sends[effects.sends.size() - 1].probe = message.probe;
}

// --- our own ----------------------------------------------------------------------------------------------------------------

bool Engine::needs_witnesses() const {
  return !confirmed();
}

void Engine::ask_who(std::size_t peer, Effects& effects) const {
  send(configuration_.member(peer), Ballot{},
       wire::Hello{
           .wants_answer = 1, .position = witness_.claim(), .highest_ballot = highest_seen_, .highest_slot = highest_slot_},
       effects);
  effects.sends[effects.sends.size() - 1].probe = identity_.question();
}

void Engine::ask_witnesses(Effects& effects) {
  if (now_us_ < next_send_us_) return;
  next_send_us_ = now_us_ + timeouts_.resend_us;
  for (std::size_t peer = 0; peer < configuration_.size(); ++peer) {
    if (peer != place_ && !witness_.has_answered(peer)) ask_who(peer, effects);
  }
}

void Engine::hear_witness(std::size_t from, const wire::Hello& answer, Effects& effects) {
  highest_seen_ = std::max(highest_seen_, answer.highest_ballot);
  if (witness_.contradicts(answer.position)) find_stale(answer.position, effects);
  // Under an open count that is too low this process is nobody to the others: it asks again when it has a better one.
  if (witness_.open_count_floor() != 0) return;
  witness_.answered(from, answer);
  if (!doubt_.is_unbounded()) witness_.confirm(acceptor_.staged());
  settle_doubt(effects);
}

void Engine::find_stale(const Position& heard, Effects& effects) {
  witness_.contradicted(heard);
  if (!doubt_.is_unbounded()) {
    ++counters_.stale_found;
    // A bound of an earlier loss is kept in promised() and in highest_slot().
    doubt_ = Doubt::without_bound();
    repair_staged_ = RepairStaged::none;
    if (proposer_.phase() != ProposerPhase::idle) step_down(effects);
  }
  settle_doubt(effects);
}

// Without a bound -> every other member's word -> a durable bound. That there is none is made durable first: after a restart in
// between, a mere quorum could confirm what this disk was not to be trusted with.
void Engine::settle_doubt(Effects& effects) {
  if (!doubt_.is_unbounded()) return;
  effects.open_count_floor = witness_.open_count_floor();
  if (voting_stopped_ || !identity_.recorded() || !acceptor_.can_hold() || !effects.may_stage_control()) return;
  if (repair_staged_ == RepairStaged::none) {
    repair_staged_ = RepairStaged::unbounded;
    return acceptor_.persist_repair(Ballot{}, highest_slot_, effects);
  }
  const bool is_bounded = effects.open_count_floor == 0 && witness_.everybody_answered();
  if (repair_staged_ != RepairStaged::unbounded || !is_bounded) return;
  repair_staged_ = RepairStaged::bounded;
  // A ballot of round 0 is below every one that was ever used, and is not "none", which would mean that there is no bound.
  const Ballot bound = std::max({promised(), highest_seen_, witness_.highest_ballot(), Ballot(0, self_)});
  acceptor_.persist_repair(bound, std::max(highest_slot_, witness_.highest_slot()), effects);
}

void Engine::repaired(Ballot bound, Slot last) {
  if (bound.is_none() || !doubt_.is_unbounded()) return;
  if (repair_staged_ != RepairStaged::bounded) return;  // found to be staler still, meanwhile
  if (witness_.open_count_floor() != 0) {
    repair_staged_ = RepairStaged::unbounded;
    return;
  }
  repair_staged_ = RepairStaged::none;
  doubt_ = Doubt::below(bound, last);
  acceptor_.adopt(bound);
  highest_seen_ = std::max(highest_seen_, bound);
  highest_slot_ = std::max(highest_slot_, last);
  witness_.repaired(acceptor_.staged());
}

void Engine::raise_open_count(std::uint64_t open_count) {
  CHECK(!confirmed());
  witness_.raise_open_count(open_count);
  identity_.ask_again();
  next_send_us_ = 0;
}

// --- trim and checkpoints ---------------------------------------------------------------------------------------------------

void Engine::set_trim(Slot slot) {
  CHECK_LE(slot, commit() + 1);
  trim_ = std::max(trim_, slot);
}

void Engine::install(Slot slot, Effects& effects) {
  if (slot <= commit()) return;
  if (proposer_.phase() != ProposerPhase::idle) step_down(effects);
  acceptor_.install(slot, effects);
  proposer_.rebase(slot);
  receipts_.begin(slot);
  learner_.install(slot);
  highest_slot_ = std::max(highest_slot_, slot);
  behind_since_us_ = 0;
  catch_up_to_ = Slot{};
}

}  // namespace synod::consensus
