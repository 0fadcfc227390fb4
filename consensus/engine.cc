#include "consensus/engine.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "base/check.h"
#include "base/mutant.h"
#include "consensus/engine_send.h"

namespace synod::consensus {

namespace {

void release(BodyHandle body, Effects& effects) {
  if (body != no_body) effects.releases.push_back(body);
}

Value value_of(const wire::RecordHeader& record, BodyHandle body) {
  return {record.body_checksum, record.body_bytes, body};
}

}  // namespace

Engine::Engine(const EngineOptions& options, const Restored& restored)
    : configuration_(options.configuration),
      self_(options.self),
      place_(configuration_.place_of(options.self)),
      timeouts_(options.timeouts),
      acceptor_(options.window_slots, std::max(restored.promised, restored.doubt.bound), restored.commit),
      proposer_(configuration_, options.window_slots, restored.commit),
      receipts_(options.window_slots, restored.commit),
      learner_(restored.commit),
      election_(options.timeouts, options.seed),
      identity_(configuration_, place_, options.incarnation, restored.members, options.seed),
      witness_(configuration_, place_, options.incarnation.open_count, restored.claim, restored.heard),
      doubt_(mutant(Mutant::nack_unreadable) ? Doubt{} : restored.doubt),
      highest_slot_(std::max({restored.highest_slot, restored.commit, restored.doubt.last})),
      trim_(restored.trim),
      highest_seen_(acceptor_.promised()) {
  CHECK_NE(place_, Configuration::not_a_member);
  CHECK_LE(options.window_slots, window_slots_max);
  if (doubt_.is_unbounded()) witness_.distrust();
  if (!identity_.recorded()) return;
  for (std::size_t member = 0; member < configuration_.size(); ++member) {
    identity_.opened(member, restored.heard[member].open_count);
  }
}

void Engine::restore(Slot slot, Ballot ballot, const Value& value, bool chosen) {
  acceptor_.restore(slot, ballot, value, chosen);
  highest_slot_ = std::max(highest_slot_, slot);
}

const AcceptedSlot* Engine::open_slot(Slot slot) const {
  if (!acceptor_.slots().covers(slot)) return nullptr;
  const AcceptedSlot& accepted = acceptor_.slots()[slot];
  return accepted.present() ? &accepted : nullptr;
}

wire::Role Engine::role() const {
  switch (proposer_.phase()) {
    case ProposerPhase::idle: return wire::Role::follower;
    case ProposerPhase::leading: return wire::Role::leader;
    default: return wire::Role::candidate;
  }
}

// --- messages ---------------------------------------------------------------------------------------------------------------

bool Engine::admit(const wire::PeerMessage& message, std::size_t from) {
  if (from == Configuration::not_a_member || from == place_) {
    ++counters_.refused_not_member;
    return false;
  }
  const bool is_hello = std::holds_alternative<wire::Hello>(message.payload);
  // Before all uuids are on stable storage this replica takes part in nothing but introductions (rule 5).
  if (!is_hello && !identity_.recorded()) return false;
  const bool is_answer = is_hello && std::get<wire::Hello>(message.payload).wants_answer == 0;
  const bool admitted = is_hello ? identity_.hello(from, message.incarnation, is_answer, message.probe)
                                 : identity_.admit(from, message.incarnation);
  if (!admitted) ++counters_.refused_identity;
  return admitted;
}

bool Engine::admits(ReplicaId from, const Incarnation& incarnation) {
  const std::size_t place = configuration_.place_of(from);
  if (place == Configuration::not_a_member || place == place_) {
    ++counters_.refused_not_member;
    return false;
  }
  if (!identity_.recorded()) return false;
  const bool admitted = identity_.admit(place, incarnation);
  if (!admitted) ++counters_.refused_identity;
  return admitted;
}

void Engine::on_message(const wire::PeerMessage& message, BodyHandle body, Effects& effects) {
  const std::size_t from = configuration_.place_of(message.from);
  // An old image of a disk counts its opens again: it is told what was heard of it, and nothing else.
  const auto* hello = std::get_if<wire::Hello>(&message.payload);
  if (hello != nullptr && hello->wants_answer != 0 && from < configuration_.size() && from != place_ &&
      identity_.is_behind(from, message.incarnation)) {
    return answer_hello(from, message, effects);
  }
  if (!admit(message, from)) return release(body, effects);
  hear_position(from, message);
  learner_.heard(from, message.commit);
  highest_seen_ = std::max(highest_seen_, message.ballot);
  if (message.ballot == proposer_.ballot()) election_.peer_heard(from);
  std::visit([&](const auto& payload) { handle(from, message, payload, body, effects); }, message.payload);
}

bool Engine::wants_body(const wire::PeerMessage& message) const {
  if (const auto* accept = std::get_if<wire::Accept>(&message.payload)) {
    return may_vote() && judge(accept->record.header) == AcceptVerdict::vote;
  }
  if (const auto* chosen = std::get_if<wire::Chosen>(&message.payload)) return wants_chosen(chosen->record.header);
  if (const auto* value = std::get_if<wire::Value>(&message.payload)) return wants_value(message, value->record.header);
  return false;
}

void Engine::handle(std::size_t from, const wire::PeerMessage& message, const wire::Hello& hello, BodyHandle, Effects& effects) {
  if (hello.wants_answer != 0) return answer_hello(from, message, effects);
  if (message.probe == identity_.question()) hear_witness(from, hello, effects);
}

void Engine::handle(std::size_t from, const wire::PeerMessage& message, const wire::Suspect&, BodyHandle, Effects& effects) {
  // One that is behind would have to catch up before it can lead: let the one ahead try.
  // And while we campaign ourselves we are not lost: two proposers must not outbid each other.
  const bool lost = election_.lost() && proposer_.phase() == ProposerPhase::idle && message.commit >= commit();
  send(configuration_.member(from), highest_seen_, wire::SuspectAnswer{static_cast<std::uint8_t>(lost)}, effects);
}

void Engine::handle(std::size_t from, const wire::PeerMessage&, const wire::SuspectAnswer& answer, BodyHandle, Effects& effects) {
  if (answer.lost != 0) leader_gone(configuration_.member(from));  // it has been started again, and leads no more
  if (!election_.suspecting() || answer.lost == 0 || !may_promise()) return;
  election_.also_lost(from);
  if (configuration_.is_phase1_quorum(election_.lost_members())) campaign(effects);
}

void Engine::handle(std::size_t from, const wire::PeerMessage& message, const wire::Prepare&, BodyHandle, Effects& effects) {
  if (!may_vote()) return;
  const ReplicaId candidate = configuration_.member(from);
  if (message.ballot < promised() || message.ballot.replica() != candidate) {
    return send_nack(candidate, message.ballot, effects);
  }
  // What a promise would leave out may be a chosen value. No refusal either: nothing higher was promised. It will ask again.
  if (!may_promise()) return;
  if (message.ballot == promised()) {
    if (acceptor_.can_repeat_promise()) send_promise(candidate, message.ballot, effects);
    return;
  }
  if (!acceptor_.can_hold() || !effects.may_stage_control()) return;  // it will ask again
  if (proposer_.phase() != ProposerPhase::idle) step_down(effects);
  acceptor_.promise(message.ballot, candidate, effects);
  election_.leader_heard();  // give it time
}

void Engine::handle(std::size_t from, const wire::PeerMessage& message, const wire::Promise& promise, BodyHandle,
                    Effects& effects) {
  if (proposer_.phase() != ProposerPhase::preparing || message.ballot != proposer_.ballot()) return;
  if (proposer_.promises().has(from)) return;
  // Rule 4: below a promise's watermarks we propose nothing; we catch up first, and ask this peer again.
  const bool below_trim = promise.trim > commit() + 1;
  const bool behind = (message.commit > commit() || below_trim) && !(below_trim && mutant(Mutant::noop_over_trimmed));
  if (behind && !mutant(Mutant::behind_candidate_leads)) return ask_catch_up(effects);
  for (const wire::PromisedSlot& slot : promise.slots) {
    if (!proposer_.report(from, slot, effects)) {
      ++counters_.conflicting_values;
      return step_down(effects);
    }
  }
  proposer_.count_promise(from);
  if (proposer_.has_promises()) next_send_us_ = 0;  // fetch what is missing with the next tick
}

bool Engine::is_below_promise(Ballot ballot) const {
  return ballot < promised() && !mutant(Mutant::accept_below_promise);
}

Engine::AcceptVerdict Engine::judge(const wire::RecordHeader& record) const {
  if (is_below_promise(record.ballot) || !acceptor_.slots().covers(record.slot)) return AcceptVerdict::ignore;
  const AcceptedSlot& accepted = acceptor_.slots()[record.slot];
  if (!accepted.present()) return acceptor_.can_hold() ? AcceptVerdict::vote : AcceptVerdict::ignore;
  const bool same_value = accepted.value.checksum == record.body_checksum;
  // (A learned record may carry a ballot above the promised one: that was no vote of ours.)
  if (accepted.ballot == record.ballot) {
    if (!same_value) return AcceptVerdict::conflict;
    if (record.ballot == promised()) return AcceptVerdict::repeat_vote;
  }
  // Another value than the chosen one is nobody's bug: it comes from a leader that was deposed before that one was chosen.
  if (accepted.chosen && !same_value) return AcceptVerdict::ignore;
  return acceptor_.can_hold() ? AcceptVerdict::vote : AcceptVerdict::ignore;
}

void Engine::handle(std::size_t from, const wire::PeerMessage& message, const wire::Accept& accept, BodyHandle body,
                    Effects& effects) {
  const wire::RecordHeader& record = accept.record.header;
  if (record.ballot != message.ballot || !may_vote() || !follow(from, message, effects)) return release(body, effects);
  const AcceptVerdict verdict = judge(record);
  const bool asks_received = message.probe != Probe{};
  const auto say_received = [&] {
    if (asks_received) send(message.from, record.ballot, wire::Received{record.slot, record.body_checksum}, effects);
  };
  if (mutant(Mutant::received_before_staging)) say_received();
  // A value whose body we were not given (no room in the pool), or that the journal has no room for, waits for the next attempt.
  if (verdict == AcceptVerdict::vote && (record.body_bytes == 0) == (body == no_body) && effects.may_stage_vote()) {
    acceptor_.accept(record.ballot, record.slot, value_of(record, body), message.from, effects);
    highest_slot_ = std::max(highest_slot_, record.slot);
    if (mutant(Mutant::reply_before_durable)) {
      send(message.from, record.ballot, wire::Accepted{record.slot, record.body_checksum}, effects);
    }
    // Rule 10: after the ballot check, and staged. The vote follows when it is durable.
    say_received();
    return;
  }
  release(body, effects);
  if (verdict == AcceptVerdict::conflict) ++counters_.conflicting_values;
  if (verdict != AcceptVerdict::repeat_vote) return;
  // Rule 1: a duplicate is answered again only once durable; before that the held reply stands for it.
  if (!acceptor_.is_durable(acceptor_.slots()[record.slot])) {
    say_received();
  } else {
    send(message.from, record.ballot, wire::Accepted{record.slot, record.body_checksum, witness_.announced()}, effects);
  }
}

void Engine::handle(std::size_t from, const wire::PeerMessage& message, const wire::Accepted& accepted, BodyHandle, Effects&) {
  count_vote(from, message.ballot, accepted.slot, accepted.checksum);
}

void Engine::handle(std::size_t from, const wire::PeerMessage& message, const wire::Received& received, BodyHandle, Effects&) {
  if (mutant(Mutant::receipt_is_vote)) return count_vote(from, message.ballot, received.slot, received.checksum);
  // No vote: see receipts.h.
  if (is_proposed(message.ballot, received.slot, received.checksum)) receipts_.receive(from, received.slot);
}

void Engine::handle(std::size_t, const wire::PeerMessage& message, const wire::Nack& nack, BodyHandle, Effects& effects) {
  if (proposer_.phase() == ProposerPhase::idle || nack.refused != proposer_.ballot() || message.ballot <= nack.refused) return;
  step_down(effects);
}

void Engine::leader_gone(ReplicaId leader) {
  if (leader == leader_ && proposer_.phase() == ProposerPhase::idle) election_.leader_gone();
}

bool Engine::follow(std::size_t from, const wire::PeerMessage& message, Effects& effects) {
  const ReplicaId leader = configuration_.member(from);
  if (message.ballot.replica() != leader || is_below_promise(message.ballot)) {
    send_nack(leader, message.ballot, effects);
    return false;
  }
  if (proposer_.phase() != ProposerPhase::idle && message.ballot > proposer_.ballot()) step_down(effects);
  leader_ = leader;
  election_.leader_heard();
  learner_.leader_watermark(message.ballot, message.commit);
  return true;
}

void Engine::handle(std::size_t from, const wire::PeerMessage& message, const wire::Heartbeat& heartbeat, BodyHandle,
                    Effects& effects) {
  witness_.heard(heartbeat.heard);
  if (witness_.contradicts(heartbeat.heard[place_])) find_stale(heartbeat.heard[place_], effects);
  if (!follow(from, message, effects)) return;
  // Says "I have promised nothing above this ballot"; it is no promise itself and so waits for no disk. A replica that may have
  // forgotten a promise says only that it lives.
  send(message.from, message.ballot, wire::HeartbeatAnswer{witness_.announced(), durable_slot_, first_lsn_}, effects);
  if (confirmed()) effects.sends[effects.sends.size() - 1].probe = message.probe;
}

void Engine::handle(std::size_t from, const wire::PeerMessage& message, const wire::HeartbeatAnswer& answer, BodyHandle,
                    Effects&) {
  if (message.ballot != proposer_.ballot() || !is_leader()) return;
  receipts_.durable_to(from, answer.durable, answer.first);
  answered_probes_[from] = std::max(answered_probes_[from], message.probe);
}

void Engine::handle(std::size_t, const wire::PeerMessage& message, const wire::Fetch& fetch, BodyHandle, Effects& effects) {
  if (fetch.slot <= commit()) {
    // Chosen meanwhile: then that is what the candidate needs.
    if (fetch.slot != Slot{}) effects.serves.push_back({message.from, fetch.slot, fetch.slot});
    return;
  }
  const AcceptedSlot* accepted = open_slot(fetch.slot);
  if (accepted == nullptr || accepted->value.checksum != fetch.checksum) return;
  send(message.from, message.ballot,
       wire::Value{{.header = record_header(fetch.slot, accepted->ballot, accepted->value), .body = {}}}, effects,
       accepted->value.body);
}

bool Engine::wants_value(const wire::PeerMessage& message, const wire::RecordHeader& record) const {
  if (proposer_.phase() != ProposerPhase::preparing || message.ballot != proposer_.ballot()) return false;
  if (!proposer_.found().covers(record.slot)) return false;
  const FoundSlot& found = proposer_.found()[record.slot];
  return found.present() && found.checksum == record.body_checksum && found.body_bytes == record.body_bytes &&
         !holds_value(record.slot);
}

void Engine::handle(std::size_t, const wire::PeerMessage& message, const wire::Value& value, BodyHandle body, Effects& effects) {
  if (body == no_body) return;
  if (!wants_value(message, value.record.header)) return release(body, effects);
  proposer_.fetched(value.record.header.slot, body);
}

void Engine::handle(std::size_t, const wire::PeerMessage& message, const wire::CatchUp& catch_up, BodyHandle,
                    Effects& effects) const {
  if (mutant(Mutant::catchup_serves_uncommitted)) {
    for (Slot slot = commit() + 1; open_slot(slot) != nullptr && has_room(effects); ++slot) {
      const Value& value = open_slot(slot)->value;
      send(message.from, promised(), wire::Chosen{{.header = record_header(slot, promised(), value), .body = {}}}, effects,
           value.body);
    }
  }
  const Slot last = std::min({catch_up.to, commit(), catch_up.from + (catch_up_slots_max - 1)});
  if (catch_up.from == Slot{} || catch_up.from > last) return;
  effects.serves.push_back({message.from, catch_up.from, last});
}

bool Engine::wants_chosen(const wire::RecordHeader& record) const {
  if (!acceptor_.slots().covers(record.slot)) return false;
  const AcceptedSlot& accepted = acceptor_.slots()[record.slot];
  return !accepted.chosen && !(accepted.present() && accepted.value.checksum == record.body_checksum);
}

void Engine::handle(std::size_t, const wire::PeerMessage&, const wire::Chosen& chosen, BodyHandle body, Effects& effects) {
  const wire::RecordHeader& record = chosen.record.header;
  if (!wants_chosen(record)) {
    release(body, effects);
    if (!acceptor_.slots().covers(record.slot)) return;
    const AcceptedSlot& accepted = acceptor_.slots()[record.slot];
    if (accepted.value.checksum != record.body_checksum)
      ++counters_.conflicting_values;
    else if (!accepted.chosen)
      acceptor_.mark_chosen(record.slot);
    return;
  }
  if ((record.body_bytes == 0) != (body == no_body) || !effects.may_stage_vote()) return release(body, effects);
  // Another value than the one we propose is chosen, or one where our phase 1 found none: a higher ballot has overtaken us
  // without our hearing of it.
  if (proposer_.phase() == ProposerPhase::leading || proposer_.phase() == ProposerPhase::reproposing) {
    if (proposer_.proposed()[record.slot].present || record.slot > proposer_.last_found()) step_down(effects);
  }
  acceptor_.learn(record.ballot, record.slot, value_of(record, body), effects);
  highest_slot_ = std::max(highest_slot_, record.slot);
}

// --- durability, commits, replies -------------------------------------------------------------------------------------------

void Engine::on_durable(PersistNumber durable, std::uint64_t sequence) {
  if (durable > acceptor_.durable()) stall_us_ = 0;
  acceptor_.on_durable(durable);
  witness_.durable(durable, sequence);
}

void Engine::on_durable_slot(Slot slot, Lsn first) {
  durable_slot_ = slot;
  first_lsn_ = first;
  receipts_.durable_to(place_, slot, first);
}

bool Engine::has_room(const Effects& effects) {
  return effects.sends.room() >= 2 * members_max && effects.persists.room() >= 2 && effects.commits.room() >= 1 &&
         effects.releases.room() >= 4;
}

bool Engine::pump(Effects& effects) {
  // At most one promise in one Effects: its list lives there, too.
  bool promise_sent = false;
  while (has_room(effects) && !promise_sent) {
    const std::optional<HeldReply> reply = acceptor_.next_reply();
    if (!reply) break;
    promise_sent = reply->kind == HeldReply::Kind::promise;
    send_reply(*reply, effects);
  }
  // After the replies: our own vote may have been the one that completes a quorum.
  advance_commit(effects);
  if (proposer_.phase() == ProposerPhase::preparing) finish_phase1(effects);
  if (proposer_.phase() == ProposerPhase::reproposing) repropose(effects);
  if (probe_waits_ && is_leader() && has_room(effects)) send_heartbeats(effects);
  // A reply that was not sent after all leaves no effect, and others may wait behind it.
  return !effects.empty() || acceptor_.has_reply();
}

void Engine::advance_commit(Effects& effects) {
  bool advanced = false;
  while (has_room(effects)) {
    const Slot next = commit() + 1;
    const AcceptedSlot& accepted = acceptor_.slots()[next];
    if (!learner_.next_is_chosen(accepted)) break;
    effects.commits.push_back({next, accepted.value});
    acceptor_.advance(effects);
    proposer_.advance(effects);
    receipts_.advance();
    learner_.advance();
    advanced = true;
  }
  if (!advanced) return;
  behind_since_us_ = 0;
  const bool behind = learner_.known_commit() > commit();
  if (!behind) catch_up_to_ = Slot{};  // a later lag starts with a wait again
  // The next stretch of a catch-up, without waiting for a tick.
  if (behind && catch_up_to_ != Slot{} && commit() >= catch_up_to_) ask_catch_up(effects);
  if (!behind && proposer_.phase() == ProposerPhase::preparing) next_send_us_ = 0;  // ask those again whom we lagged behind
}

void Engine::send_reply(const HeldReply& reply, Effects& effects) {
  switch (reply.kind) {
    case HeldReply::Kind::members: identity_.set_recorded(); return;
    case HeldReply::Kind::repair: return repaired(reply.ballot, reply.slot);
    case HeldReply::Kind::promise:
      if (reply.to == self_) {
        if (proposer_.phase() == ProposerPhase::promising && reply.ballot == proposer_.ballot()) count_own_promise(effects);
      } else {
        send_promise(reply.to, reply.ballot, effects);
      }
      return;
    case HeldReply::Kind::accepted:
      if (!confirmed()) return;  // this disk was found to be stale meanwhile: the vote may be one that it must not cast
      if (reply.to == self_) {
        count_vote(place_, reply.ballot, reply.slot, reply.checksum);
      } else {
        send(reply.to, reply.ballot, wire::Accepted{reply.slot, reply.checksum, witness_.announced()}, effects);
      }
      return;
  }
}

void Engine::send_promise(ReplicaId to, Ballot ballot, Effects& effects) {
  // Overtaken while it waited for the disk: by a higher promise, or by an accept in this very ballot. What we could report now is
  // no longer what we held when we promised, and a list that lacks an overwritten value could hide a chosen one.
  if (ballot != promised()) return send_nack(to, ballot, effects);
  if (acceptor_.accepted_in_promised() || !may_promise()) return;
  const auto list = std::span(effects.report).first(acceptor_.report(effects.report));
  send(to, ballot, wire::Promise{trim_, acceptor_.slots().last(), list, witness_.announced()}, effects);
}

void Engine::send_nack(ReplicaId to, Ballot refused, Effects& effects) {
  // Higher than refused, or the message was malformed and deserves no answer.
  if (promised() > refused) send(to, promised(), wire::Nack{refused}, effects);
}

// --- time -------------------------------------------------------------------------------------------------------------------

void Engine::stop_voting(Effects& effects) {
  voting_stopped_ = true;
  if (proposer_.phase() != ProposerPhase::idle) step_down(effects);
}

}  // namespace synod::consensus
