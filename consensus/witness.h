// The members as witnesses of each other's disks (rule 6). Every vote, promise and heartbeat says how far its sender's journal is
// durable; each member keeps the newest position that it heard of every other in the headers of its blocks, and a leader's
// heartbeats pass its whole table on. So a disk that comes back older than it was (an image, a lost tail) is found out by those
// who heard more of it, or who heard from them.
//
// At start a replica asks every other member what it has heard of this disk. It votes once it and those who know no more than its
// claim are a quorum of either phase. A claim is the position that the journal itself vouches for: the newest block that was
// written when the disk was confirmed. Until then this replica announces no position, so that a block which a stale image wrote
// before it was found out is no evidence for it.
//
// What this cannot find: a record lost together with every disk and process that had heard of its block.
//
// Safety only; when to ask again is the engine's business. A value, no heap.
#pragma once

#include <cstdint>

#include "base/ids.h"
#include "consensus/fingerprint.h"
#include "consensus/quorum.h"
#include "wire/message.h"

namespace synod::consensus {

class Witness {
 public:
  Witness(const Configuration& configuration, std::size_t self, std::uint64_t open_count, const Position& claim,
          const wire::HeardTable& heard);

  // What this replica has heard of the others' disks. Only ever grows.
  void heard(std::size_t member, const Position& position);
  void heard(const wire::HeardTable& gossip);
  [[nodiscard]] const wire::HeardTable& heard() const { return heard_; }

  // Our own disk. `claim`: how far it can account for what it said.
  [[nodiscard]] const Position& claim() const { return claim_; }
  [[nodiscard]] std::uint64_t open_count() const { return open_count_; }
  [[nodiscard]] bool is_confirmed() const { return confirmed_; }
  // Somebody heard of a position that this disk ought to have and has not.
  [[nodiscard]] bool contradicts(const Position& heard) const;
  // This disk is known to have lost something: it is confirmed no more.
  void distrust() { confirmed_ = false; }
  // It was contradicted: the same, and opens must be counted from above what was heard.
  void contradicted(const Position& heard);
  // The open count that this process needs, 0 if its own will do: messages of a lower one than they know are refused by the
  // others, and a position must lie above those that were lost.
  [[nodiscard]] std::uint64_t open_count_floor() const { return floor_ > open_count_ ? floor_ : 0; }
  // The open count was raised on stable storage. What was answered before counts no more.
  void raise_open_count(std::uint64_t open_count);

  // The answers to our question.
  void answered(std::size_t member, const wire::Hello& answer);
  [[nodiscard]] bool has_answered(std::size_t member) const { return certain_.has(member); }
  // Every other member has answered, and those among them who have forgotten nothing are in every quorum: what a quorum of the
  // past knew is below the highest of their answers.
  [[nodiscard]] bool everybody_answered() const;
  [[nodiscard]] Ballot highest_ballot() const { return highest_ballot_; }
  [[nodiscard]] Slot highest_slot() const { return highest_slot_; }
  // What was lost is bounded on stable storage: from now on this disk accounts for itself.
  void repaired(PersistNumber staged);

  // Confirms, where the answers suffice. `staged`: the records that were staged by then.
  void confirm(PersistNumber staged);
  // The journal is durable up to this record, in this block.
  void durable(PersistNumber durable, std::uint64_t sequence);
  // What our messages announce: the newest durable block that holds a record staged since this disk was confirmed, so one that
  // vouches for itself. 0: none.
  [[nodiscard]] std::uint64_t announced() const { return confirmed_ ? announced_ : 0; }

  void fingerprint(Fingerprint& print) const;

 private:
  Configuration configuration_;
  std::size_t self_;
  std::uint64_t open_count_;
  std::uint64_t floor_ = 0;
  Position claim_;
  wire::HeardTable heard_;
  bool confirmed_ = false;
  PersistNumber confirmed_at_;  // of the records staged by then
  std::uint64_t announced_ = 0;
  MemberSet answered_;  // ourselves included, so that it is compared with quorums
  MemberSet certain_;   // of those, who forgot nothing; without ourselves
  Ballot highest_ballot_;
  Slot highest_slot_;
};

}  // namespace synod::consensus
