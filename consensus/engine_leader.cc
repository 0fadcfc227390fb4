// What a candidate and a leader do: phase 1, re-proposal, phase 2, heartbeats and probes.
#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "consensus/engine.h"
#include "consensus/engine_send.h"

namespace synod::consensus {

namespace {

constexpr std::uint32_t resend_doublings_max = 3;

}  // namespace

void Engine::campaign(Effects& effects) {
  if (!acceptor_.can_hold() || !effects.may_stage_control()) return;
  ++counters_.elections;
  leader_ = ReplicaId{};
  const std::uint64_t round = std::max(promised().round(), highest_seen_.round()) + 1;
  // Above everything that we promised, and so above every ballot of our earlier incarnations (rule 2).
  const Ballot ballot(round, self_);
  highest_seen_ = ballot;
  election_.begin_campaign();
  proposer_.begin(ballot);
  acceptor_.promise(ballot, self_, effects);
  if (mutant(Mutant::prepare_before_own_promise)) count_own_promise(effects);
}

void Engine::count_own_promise(Effects& effects) {
  proposer_.own_promise_durable();
  election_.begin_campaign();
  const std::size_t count = acceptor_.report(effects.report);
  for (const wire::PromisedSlot& slot : std::span(effects.report).first(count)) CHECK(proposer_.report(place_, slot, effects));
  proposer_.count_promise(place_);
  send_prepares(effects);
}

void Engine::send_prepares(Effects& effects) {
  next_send_us_ = now_us_ + timeouts_.resend_us;
  for (std::size_t peer = 0; peer < configuration_.size(); ++peer) {
    if (peer != place_ && !proposer_.promises().has(peer)) {
      send(configuration_.member(peer), proposer_.ballot(), wire::Prepare{}, effects);
    }
  }
}

bool Engine::holds_value(Slot slot) const {
  const FoundSlot& found = proposer_.found()[slot];
  const AcceptedSlot& accepted = acceptor_.slots()[slot];
  if (accepted.chosen || !found.present() || found.body_bytes == 0 || found.fetched != no_body) return true;
  return accepted.present() && accepted.value.checksum == found.checksum;
}

void Engine::fetch_missing(Effects& effects) {
  for (Slot slot = commit() + 1; slot <= proposer_.last_found() && effects.sends.room() > members_max; ++slot) {
    if (holds_value(slot)) continue;
    const FoundSlot& found = proposer_.found()[slot];
    for (std::size_t peer = 0; peer < configuration_.size(); ++peer) {
      if (peer == place_ || !found.reporters.has(peer)) continue;
      send(configuration_.member(peer), proposer_.ballot(), wire::Fetch{slot, found.ballot, found.checksum}, effects);
    }
  }
}

bool Engine::is_overtaken() const {
  for (Slot slot = std::max(commit(), proposer_.last_found()) + 1; slot <= acceptor_.slots().last(); ++slot) {
    if (acceptor_.slots()[slot].chosen) return true;
  }
  return false;
}

void Engine::finish_phase1(Effects& effects) {
  if (!proposer_.has_promises()) return;
  // Whatever was chosen in a lower ballot is among what a phase-1 quorum reports. What is chosen beyond that was chosen in a
  // higher one, and we learned it by catch-up: this candidate comes too late.
  if (is_overtaken()) return step_down(effects);
  for (Slot slot = commit() + 1; slot <= proposer_.last_found(); ++slot) {
    if (!holds_value(slot)) return;  // asked for by tick_candidate
  }
  settled_slot_ = std::max(commit(), proposer_.last_found());
  proposer_.start_reproposing(commit());
  receipts_.begin(commit());
}

void Engine::repropose(Effects& effects) {
  while (proposer_.next_slot() <= proposer_.last_found()) {
    if (!has_room(effects) || !acceptor_.can_hold() || !effects.may_stage_vote()) return;
    const Slot slot = proposer_.next_slot();
    const FoundSlot& found = proposer_.found()[slot];
    const AcceptedSlot& accepted = acceptor_.slots()[slot];
    Value value;  // nobody reported one: a no-op fills the hole
    if (accepted.chosen || (mutant(Mutant::phase1_prefers_own_value) && accepted.present())) {
      value = accepted.value;
    } else if (found.present()) {
      value = {found.checksum, found.body_bytes, no_body};
      if (accepted.present() && accepted.value.checksum == found.checksum) {
        value.body = accepted.value.body;
      } else {
        value.body = proposer_.take_fetched(slot);
      }
    }
    stage_proposal(value, effects);
  }
  proposer_.start_leading();
  election_.begin_leading();
  answered_probes_.fill(Probe{});
  leader_ = self_;
  effects.leadership_changed = true;
  if (effects.sends.room() >= members_max) send_heartbeats(effects);
}

bool Engine::can_propose() const {
  return is_leader() && proposer_.next_slot() <= proposer_.proposed().last() && acceptor_.can_hold();
}

Slot Engine::propose(const Value& value, Effects& effects, wire::Asks asks) {
  CHECK(can_propose());
  CHECK(effects.may_stage_vote());
  const Slot slot = proposer_.next_slot();
  receipts_.ask(slot, asks);
  stage_proposal(value, effects);
  return slot;
}

void Engine::stage_proposal(const Value& value, Effects& effects) {
  const Slot slot = proposer_.next_slot();
  proposer_.propose(slot, now_us_);
  // Our own vote goes the way of every vote: it counts when its record is durable, and the peers do not wait for that.
  acceptor_.accept(proposer_.ballot(), slot, value, self_, effects);
  highest_slot_ = std::max(highest_slot_, slot);
  for (std::size_t peer = 0; peer < configuration_.size(); ++peer) {
    if (peer != place_) send_accept(slot, peer, effects);
  }
  if (mutant(Mutant::own_vote_before_durable)) count_vote(place_, proposer_.ballot(), slot, value.checksum);
}

void Engine::send_accept(Slot slot, std::size_t to, Effects& effects) {
  const AcceptedSlot& accepted = acceptor_.slots()[slot];
  send(configuration_.member(to), proposer_.ballot(),
       wire::Accept{{.header = record_header(slot, proposer_.ballot(), accepted.value), .body = {}}}, effects,
       accepted.value.body);
  effects.sends[effects.sends.size() - 1].probe = wire::probe_of(receipts_.asks(slot));
}

// Whether this is what we have proposed there, in our ballot.
bool Engine::is_proposed(Ballot ballot, Slot slot, Checksum checksum) {
  const bool proposing = proposer_.phase() == ProposerPhase::reproposing || proposer_.phase() == ProposerPhase::leading;
  if (!proposing || ballot != proposer_.ballot()) return false;
  if (!proposer_.proposed().covers(slot) || !proposer_.proposed()[slot].present) return false;
  if (acceptor_.slots()[slot].value.checksum == checksum) return true;
  ++counters_.conflicting_values;
  return false;
}

void Engine::count_vote(std::size_t member, Ballot ballot, Slot slot, Checksum checksum) {
  // A vote for what is committed already counts for `all`.
  if (is_leader() && ballot == proposer_.ballot() && slot < proposer_.next_slot()) receipts_.voted(member, slot);
  if (!is_proposed(ballot, slot, checksum)) return;
  if (proposer_.vote(member, slot)) acceptor_.mark_chosen(slot);
}

Slot Engine::reached(wire::AckLevel level) {
  if (level == wire::AckLevel::quorum) return commit();
  if (!is_leader()) return Slot{};
  if (wire::is_early(level)) return receipts_.reached(level, proposer_, configuration_, place_);
  if (mutant(Mutant::all_is_quorum)) return commit();
  return std::min(commit(), receipts_.durable_by_all(configuration_.size()));
}

Probe Engine::ask_probe() {
  if (!probe_waits_) {
    ++probe_;
    probe_waits_ = true;
  }
  return probe_;
}

Probe Engine::confirmed_probe() const {
  if (!is_leader()) return Probe{};
  Probe confirmed;
  for (const Probe candidate : answered_probes_) {
    MemberSet answered;
    for (std::size_t member = 0; member < configuration_.size(); ++member) {
      if (answered_probes_[member] >= candidate) answered.add(member);
    }
    if (configuration_.meets_every_phase1_quorum(answered)) confirmed = std::max(confirmed, candidate);
  }
  return confirmed;
}

void Engine::send_heartbeats(Effects& effects) {
  next_send_us_ = now_us_ + timeouts_.heartbeat_us;
  probe_waits_ = false;
  answered_probes_[place_] = probe_;
  const std::size_t first = effects.sends.size();
  send_to_peers(proposer_.ballot(), wire::Heartbeat{witness_.announced(), witness_.heard()}, effects);
  for (std::size_t i = first; i < effects.sends.size(); ++i) effects.sends[i].probe = probe_;
}

void Engine::resend_accepts(Effects& effects) {
  for (Slot slot = commit() + 1; slot < proposer_.next_slot(); ++slot) {
    if (effects.sends.room() < 2 * members_max) return;
    ProposedSlot& proposed = proposer_.proposed()[slot];
    // Ever more rarely: what is not answered is mostly not lost but waits for a disk, and a window of large bodies sent again at
    // a steady pace would fill the network.
    if (now_us_ - proposed.sent_us < timeouts_.resend_us << std::min(proposed.resends, resend_doublings_max)) continue;
    proposed.sent_us = now_us_;
    ++proposed.resends;
    for (std::size_t peer = 0; peer < configuration_.size(); ++peer) {
      if (peer == place_ || proposed.votes.has(peer)) continue;
      ++counters_.resends;
      send_accept(slot, peer, effects);
    }
  }
}

void Engine::step_down(Effects& effects) {
  CHECK(proposer_.phase() != ProposerPhase::idle);
  ++counters_.step_downs;
  if (is_leader()) effects.leadership_changed = true;
  if (leader_ == self_) leader_ = ReplicaId{};
  probe_waits_ = false;
  proposer_.stop(effects);
  election_.leader_heard();
  election_.back_off();
}

void Engine::tick_candidate(Effects& effects) {
  // Another ballot is not on the disk sooner than this one.
  if (proposer_.phase() == ProposerPhase::promising) return;
  if (election_.campaign_expired()) {
    election_.campaign_failed();
    return step_down(effects);
  }
  if (proposer_.phase() != ProposerPhase::preparing || now_us_ < next_send_us_) return;
  send_prepares(effects);
  if (proposer_.has_promises()) fetch_missing(effects);
}

void Engine::tick_leader(Effects& effects) {
  const MemberSet heard = election_.heard_members(place_, configuration_.size());
  const bool deaf = !configuration_.is_phase1_quorum(heard) || !configuration_.is_phase2_quorum(heard);
  if (deaf || is_stalled()) return step_down(effects);
  if (now_us_ >= next_send_us_) send_heartbeats(effects);
  resend_accepts(effects);
}

}  // namespace synod::consensus
