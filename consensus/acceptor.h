// The acceptor: the durable half of agreement. Owns the promised ballot, the accepted value of every open slot, and the replies
// that wait for the disk. Pure safety; it knows no time and no leader.
//
// Source: Lamport, "Paxos Made Simple", section 2.2 (P1a: an acceptor accepts a proposal numbered n iff it has not responded to a
// prepare request having a number greater than n), with many instances under one ballot as in section 3.
//
// Invariants
//   - every accepted ballot is at or below the promised one; the promised ballot never falls.
//   - a reply leaves `held_` only when the record behind it, and every record staged before it, is durable.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/ids.h"
#include "base/ring.h"
#include "consensus/effects.h"
#include "consensus/fingerprint.h"
#include "consensus/window.h"
#include "wire/message.h"

namespace synod::consensus {

// What this acceptor holds for one open slot.
struct AcceptedSlot {
  Ballot ballot;  // none: nothing accepted
  Value value;
  PersistNumber number;  // of its record; 0 when the record was there at start
  bool chosen = false;   // known to be chosen, though perhaps not yet committed (a slot before it is missing)

  [[nodiscard]] bool present() const { return !ballot.is_none(); }
};

// A reply that waits for its record. It remembers exactly what it answers.
struct HeldReply {
  enum class Kind : std::uint8_t { promise, accepted, members, repair };
  Kind kind = Kind::promise;
  ReplicaId to;  // may be this replica itself: its own vote counts no earlier than a peer's
  PersistNumber number;
  Ballot ballot;
  Slot slot;
  Checksum checksum;
};

class Acceptor {
 public:
  Acceptor(std::size_t window_slots, Ballot promised, Slot commit);

  [[nodiscard]] Ballot promised() const { return promised_; }
  [[nodiscard]] const Window<AcceptedSlot>& slots() const { return slots_; }
  [[nodiscard]] PersistNumber staged() const { return staged_; }
  [[nodiscard]] PersistNumber durable() const { return durable_; }
  [[nodiscard]] bool is_durable(const AcceptedSlot& slot) const { return slot.number <= durable_; }
  [[nodiscard]] bool can_hold() const { return !held_.full(); }

  // Puts back what the journal held at start.
  void restore(Slot slot, Ballot ballot, const Value& value, bool chosen);

  // Phase 1: promises a ballot above the promised one. The reply is held until durable.
  void promise(Ballot ballot, ReplicaId to, Effects& effects);
  // Answers a prepare of the very ballot that is promised again, once more. Nothing if its promise is not yet durable (the held
  // reply will go), or if a value was accepted in that ballot: its proposer has finished phase 1.
  [[nodiscard]] bool can_repeat_promise() const;
  // What a promise reports: every accepted slot, ascending. Rule 1: durable or not; a held promise is sent after all of them are.
  [[nodiscard]] std::size_t report(std::span<wire::PromisedSlot> out) const;
  // Whether some slot was accepted in the promised ballot: a promise of it would report too new a value, and nobody needs it.
  [[nodiscard]] bool accepted_in_promised() const;

  // Phase 2: accepts a value; the ballot is not below the promised one and the slot is open. The vote is held until durable.
  void accept(Ballot ballot, Slot slot, const Value& value, ReplicaId to, Effects& effects);
  // A slot was learned as chosen with a value other than the accepted one, or none was accepted: journals the chosen record.
  void learn(Ballot ballot, Slot slot, const Value& value, Effects& effects);
  void mark_chosen(Slot slot);

  // Control records of the engine's own; the replies come back from next_reply like the others.
  void persist_members(Effects& effects);
  void persist_repair(Ballot bound, Slot last, Effects& effects);
  // A repair of this bound is durable: as good as a promise of it.
  void adopt(Ballot bound);

  // A checkpoint of a peer stands for every slot up to this one: their bodies are released, what is accepted beyond stays.
  void install(Slot slot, Effects& effects);

  void on_durable(PersistNumber durable);
  // The next held reply whose record is durable.
  [[nodiscard]] std::optional<HeldReply> next_reply();
  [[nodiscard]] bool has_reply() const { return !held_.empty() && held_.front().number <= durable_; }

  // The first open slot is committed and leaves the window; its body is released.
  void advance(Effects& effects);

  void check_now(Slot commit) const;
  void fingerprint(Fingerprint& print) const;

 private:
  PersistNumber stage(const Persist& record, Effects& effects);

  Ballot promised_;
  PersistNumber promise_number_;  // of the record that made promised_ durable, 0 when it was there at start
  Window<AcceptedSlot> slots_;
  Ring<HeldReply> held_;
  PersistNumber staged_;
  PersistNumber durable_;
};

}  // namespace synod::consensus
