// The engine: one replica's part in the consensus, joined from acceptor, proposer, learner (safety) and election (liveness).
//
// A deterministic value. It takes a message, a value to propose, a durability report or a tick, and fills an Effects; it has no
// I/O, no clock, no threads and no heap after construction, and may be copied at any point between calls.
//
// How a caller drives it:
//   - clear Effects before each call; carry them out after it; then pump until it returns false, now or behind later calls.
//   - before each call, say in Effects how many records can be staged now (votes_max, controls_max); the engine stays within.
//   - a message that holds a record comes with a handle of its body, which the engine then owns, until it says `release`. Ask
//     wants_body first: where it says no, hand over no_body and save the copy.
//   - now_us is monotonic and read once per loop.
//
// The rules that comments here refer to by number are those of docs/ARCHITECTURE.md.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/ids.h"
#include "consensus/acceptor.h"
#include "consensus/doubt.h"
#include "consensus/effects.h"
#include "consensus/election.h"
#include "consensus/fingerprint.h"
#include "consensus/identity.h"
#include "consensus/learner.h"
#include "consensus/proposer.h"
#include "consensus/quorum.h"
#include "consensus/receipts.h"
#include "consensus/witness.h"
#include "wire/client.h"
#include "wire/message.h"

namespace synod::consensus {

struct EngineOptions {
  ReplicaId self;
  Configuration configuration;
  Incarnation incarnation;
  std::size_t window_slots = window_slots_max;
  Timeouts timeouts;
  std::uint64_t seed = 0;
};

// What the journal gave back at start.
struct Restored {
  Ballot promised;
  Slot commit;
  std::span<const wire::MemberUuid> members;  // empty: none recorded yet
  Position claim{};                           // what the last block of the chain vouches for
  wire::HeardTable heard{};                   // and what it knows of the others' disks
  Doubt doubt{};      // what the journal may have lost; the last repair record, and what is missing after it
  Slot trim;          // the first slot kept
  Slot highest_slot;  // that the journal ever held a vote or a chosen value for
};

class Engine {
 public:
  Engine(const EngineOptions& options, const Restored& restored);

  // Before the first call: an open slot's record (commit < slot <= commit + window), the newest for its slot.
  void restore(Slot slot, Ballot ballot, const Value& value, bool chosen);

  // Inputs
  void on_message(const wire::PeerMessage& message, BodyHandle body, Effects& effects);
  [[nodiscard]] bool wants_body(const wire::PeerMessage& message) const;
  // `sequence`: of the newest durable block, 0 if the caller's journal has none (then this disk has no witnesses).
  void on_durable(PersistNumber durable, std::uint64_t sequence);
  // Everything committed up to `slot` is on stable storage here, but for entries below `first`, for which a peer's checkpoint
  // stands: for the leader's appends with level `all` (rule 10).
  void on_durable_slot(Slot slot, Lsn first = {});
  void on_tick(std::uint64_t now_us, Effects& effects);
  // Word came that the process of this member is gone. It may be false: a hint for the election, if it is the leader.
  void leader_gone(ReplicaId leader);
  // Goes on with work that is ready; true if it should be called again after these effects are carried out.
  [[nodiscard]] bool pump(Effects& effects);
  // The journal failed: this replica votes no more and leads no more; it may still learn and be read.
  void stop_voting(Effects& effects);

  // Whether a message that the engine does not know comes from a member's disk (rule 5).
  [[nodiscard]] bool admits(ReplicaId from, const Incarnation& incarnation);
  // The journal was trimmed: `slot` is the first one kept.
  void set_trim(Slot slot);
  // A checkpoint of a peer is durable here and stands for every slot up to this one. Steps down. Nothing if they are committed.
  void install(Slot slot, Effects& effects);
  // Effects::open_count_floor was seen to: this process has that open count from now on.
  void raise_open_count(std::uint64_t open_count);

  // The leader's side
  [[nodiscard]] bool is_leader() const { return proposer_.phase() == ProposerPhase::leading; }
  [[nodiscard]] bool can_propose() const;
  // Proposes a value in the next slot. The engine owns the body. Needs can_propose(). `asks`: what its accepts ask for.
  Slot propose(const Value& value, Effects& effects, wire::Asks asks = wire::Asks::nothing);
  // Rule 10: the highest slot that has reached this level, and all before it, too; for `all` and `quorum` it is committed
  // besides. Of early levels while leading; says nothing about what is chosen.
  [[nodiscard]] Slot reached(wire::AckLevel level);
  // What lies below is not on every member's disk, whatever reached() says.
  [[nodiscard]] Lsn held_by_all_from() const { return receipts_.held_from(); }
  // Rule 7: a probe that starts after this call. A read that asked for it may be answered once confirmed_probe() reaches it and
  // commit() has reached settled_slot().
  [[nodiscard]] Probe ask_probe();
  [[nodiscard]] Probe confirmed_probe() const;
  [[nodiscard]] Slot settled_slot() const { return settled_slot_; }

  // State, for the node, reports and tests
  [[nodiscard]] wire::Role role() const;
  [[nodiscard]] ReplicaId leader() const { return is_leader() ? self_ : leader_; }
  [[nodiscard]] Ballot promised() const { return acceptor_.promised(); }
  [[nodiscard]] Slot commit() const { return learner_.commit(); }
  [[nodiscard]] Slot next_slot() const { return proposer_.next_slot(); }
  [[nodiscard]] bool members_recorded() const { return identity_.recorded(); }
  [[nodiscard]] bool may_vote() const { return identity_.recorded() && !voting_stopped_ && confirmed(); }
  // To promise takes more than to vote: a promise reports everything that was ever voted for (rule 6). So does a campaign.
  [[nodiscard]] bool may_promise() const { return may_vote() && doubt_.is_resolved(acceptor_.slots()); }
  // Rule 6: the other members know of nothing that this disk has lost, or it is bounded what it is. A block that is written while
  // this holds vouches for itself; one that is not repeats the claim.
  [[nodiscard]] bool confirmed() const { return witness_.is_confirmed() && !doubt_.is_unbounded(); }
  [[nodiscard]] const Position& claim() const { return witness_.claim(); }
  [[nodiscard]] const Doubt& doubt() const { return doubt_; }
  // The disk has made nothing durable for so long that this replica does not lead.
  [[nodiscard]] bool is_stalled() const { return stall_us_ >= timeouts_.stall_us; }
  // For the header of every block: what was heard of each member's disk, and the highest slot ever held a vote or a value for.
  [[nodiscard]] const wire::HeardTable& heard() const { return witness_.heard(); }
  [[nodiscard]] Slot highest_slot() const { return highest_slot_; }
  [[nodiscard]] Slot trim() const { return trim_; }
  // The number that this process's Hellos ask with.
  [[nodiscard]] Probe question() const { return identity_.question(); }
  // The value accepted in an open slot, or null.
  [[nodiscard]] const AcceptedSlot* open_slot(Slot slot) const;
  [[nodiscard]] FixedVector<wire::MemberUuid, members_max> member_uuids() const { return identity_.uuids(); }
  [[nodiscard]] const Counters& counters() const { return counters_; }
  [[nodiscard]] const Configuration& configuration() const { return configuration_; }

  // The invariants that hold in every state, and those between a state and a later one. CHECKs.
  void check_now() const;
  static void check_delta(const Engine& before, const Engine& after);
  static void check_doubt(const Engine& before, const Engine& after);  // a part of it
  // The logical state (see fingerprint.h). `may_campaign`: whether this replica may ever raise a ballot again; `may_be_asked`:
  // whether another one may ask it what it has seen (rule 6).
  void fingerprint(Fingerprint& print, bool may_campaign, bool may_be_asked) const;

 private:
  // engine.cc: inputs and the gate
  [[nodiscard]] bool admit(const wire::PeerMessage& message, std::size_t from);
  void handle(std::size_t from, const wire::PeerMessage& message, const wire::Hello& hello, BodyHandle body, Effects& effects);
  void handle(std::size_t from, const wire::PeerMessage& message, const wire::Suspect& suspect, BodyHandle body,
              Effects& effects);
  void handle(std::size_t from, const wire::PeerMessage& message, const wire::SuspectAnswer& answer, BodyHandle body,
              Effects& effects);
  void handle(std::size_t from, const wire::PeerMessage& message, const wire::Prepare& prepare, BodyHandle body,
              Effects& effects);
  void handle(std::size_t from, const wire::PeerMessage& message, const wire::Promise& promise, BodyHandle body,
              Effects& effects);
  void handle(std::size_t from, const wire::PeerMessage& message, const wire::Accept& accept, BodyHandle body, Effects& effects);
  void handle(std::size_t from, const wire::PeerMessage& message, const wire::Accepted& accepted, BodyHandle body,
              Effects& effects);
  void handle(std::size_t from, const wire::PeerMessage& message, const wire::Received& received, BodyHandle body,
              Effects& effects);
  void handle(std::size_t from, const wire::PeerMessage& message, const wire::Nack& nack, BodyHandle body, Effects& effects);
  void handle(std::size_t from, const wire::PeerMessage& message, const wire::Heartbeat& heartbeat, BodyHandle body,
              Effects& effects);
  void handle(std::size_t from, const wire::PeerMessage& message, const wire::HeartbeatAnswer& answer, BodyHandle body,
              Effects& effects);
  void handle(std::size_t from, const wire::PeerMessage& message, const wire::Fetch& fetch, BodyHandle body, Effects& effects);
  void handle(std::size_t from, const wire::PeerMessage& message, const wire::Value& value, BodyHandle body, Effects& effects);
  void handle(std::size_t from, const wire::PeerMessage& message, const wire::CatchUp& catch_up, BodyHandle body,
              Effects& effects) const;
  void handle(std::size_t from, const wire::PeerMessage& message, const wire::Chosen& chosen, BodyHandle body, Effects& effects);
  // Whether the value in this accept is new to us and may be voted for.
  enum class AcceptVerdict : std::uint8_t { vote, repeat_vote, ignore, conflict };
  [[nodiscard]] bool is_below_promise(Ballot ballot) const;
  [[nodiscard]] AcceptVerdict judge(const wire::RecordHeader& record) const;
  [[nodiscard]] bool wants_chosen(const wire::RecordHeader& record) const;
  [[nodiscard]] bool wants_value(const wire::PeerMessage& message, const wire::RecordHeader& record) const;
  // A message that only the leader of its ballot sends: follow it, or refuse it with a nack.
  [[nodiscard]] bool follow(std::size_t from, const wire::PeerMessage& message, Effects& effects);

  // engine_repair.cc: what this disk may have forgotten (rule 6)
  void answer_hello(std::size_t from, const wire::PeerMessage& message, Effects& effects) const;
  void hear_witness(std::size_t from, const wire::Hello& answer, Effects& effects);
  void hear_position(std::size_t from, const wire::PeerMessage& message);
  void find_stale(const Position& heard, Effects& effects);
  void settle_doubt(Effects& effects);
  void repaired(Ballot bound, Slot last);
  void ask_witnesses(Effects& effects);
  void ask_who(std::size_t peer, Effects& effects) const;
  [[nodiscard]] bool needs_witnesses() const;

  // engine_leader.cc: what a candidate and a leader do
  void campaign(Effects& effects);
  void count_own_promise(Effects& effects);
  void send_prepares(Effects& effects);
  void fetch_missing(Effects& effects);
  [[nodiscard]] bool holds_value(Slot slot) const;
  [[nodiscard]] bool is_overtaken() const;
  void finish_phase1(Effects& effects);
  void repropose(Effects& effects);
  void stage_proposal(const Value& value, Effects& effects);
  [[nodiscard]] bool is_proposed(Ballot ballot, Slot slot, Checksum checksum);
  void count_vote(std::size_t member, Ballot ballot, Slot slot, Checksum checksum);
  void send_heartbeats(Effects& effects);
  void send_accept(Slot slot, std::size_t to, Effects& effects);
  void resend_accepts(Effects& effects);
  void step_down(Effects& effects);
  void tick_candidate(Effects& effects);
  void tick_leader(Effects& effects);

  // engine.cc: time, commits, replies
  void tick_identity(Effects& effects);
  void tick_follower(Effects& effects);
  void tick_catch_up(Effects& effects);
  void ask_catch_up(Effects& effects);
  void advance_commit(Effects& effects);
  void send_reply(const HeldReply& reply, Effects& effects);
  void send_promise(ReplicaId to, Ballot ballot, Effects& effects);
  void send_nack(ReplicaId to, Ballot refused, Effects& effects);
  void send(ReplicaId to, Ballot ballot, const wire::PeerPayload& payload, Effects& effects, BodyHandle body = no_body) const;
  template <class MakePayload>
  void send_to_peers(Ballot ballot, const MakePayload& payload, Effects& effects) const;
  [[nodiscard]] static bool has_room(const Effects& effects);

  Configuration configuration_;
  ReplicaId self_;
  std::size_t place_;
  Timeouts timeouts_;

  Acceptor acceptor_;
  Proposer proposer_;
  Receipts receipts_;
  Learner learner_;
  Election election_;
  Identity identity_;
  Witness witness_;
  Doubt doubt_;
  // The repair record that was staged last: that there is no bound, then the bound.
  enum class RepairStaged : std::uint8_t { none, unbounded, bounded };
  RepairStaged repair_staged_ = RepairStaged::none;
  Slot highest_slot_;
  Slot trim_;
  Slot durable_slot_;  // see on_durable_slot
  Lsn first_lsn_;

  ReplicaId leader_;                                  // as last heard; 0: unknown
  Ballot highest_seen_;                               // of any message: a new ballot goes above it
  Slot settled_slot_;                                 // the last slot that our phase 1 found
  Probe probe_;                                       // the newest asked for
  bool probe_waits_ = false;                          // it has not been sent yet
  std::array<Probe, members_max> answered_probes_{};  // the newest that each member, ourselves included, answered
  std::uint64_t now_us_ = 0;
  std::uint64_t next_send_us_ = 0;     // hello, prepare or heartbeat, whatever the role sends periodically
  std::uint64_t behind_since_us_ = 0;  // 0: not behind
  std::uint64_t catch_up_sent_us_ = 0;
  Slot catch_up_to_;               // end of the range asked for
  std::size_t catch_up_turn_ = 0;  // rotates over peers that know more
  std::uint64_t stall_us_ = 0;     // credited time without the disk's progress
  bool members_staged_ = false;
  bool voting_stopped_ = false;
  Counters counters_;
};

}  // namespace synod::consensus
