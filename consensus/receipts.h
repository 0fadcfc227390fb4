// What the leader knows of its proposals apart from votes, for appends that are not answered when they commit (rule 10): who has
// received each, and how far each member's disk is known to hold everything.
//
// No part of agreement. Nothing here counts towards chosen, and nothing here is asked before a value is chosen or committed:
// without this class the same values would be committed. It looks at votes; no vote looks at it.
//
// Two watermarks come of it, both cumulative:
//   reached(level)   of an early level: every proposal of this ballot up to there has reached it, or is committed
//   durable_by_all() every member's disk holds everything up to there: committed, or voted for in this ballot
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/ids.h"
#include "consensus/fingerprint.h"
#include "consensus/proposer.h"
#include "consensus/quorum.h"
#include "consensus/window.h"
#include "wire/client.h"
#include "wire/message.h"

namespace synod::consensus {

class Receipts {
 public:
  Receipts(std::size_t window_slots, Slot commit) : slots_(window_slots) { begin(commit); }

  // A ballot of ours begins, or everything up to `commit` was installed.
  void begin(Slot commit) {
    slots_.reset(commit);
    reached_.fill(commit);
    durable_.fill(Slot{});
    first_ = Lsn{};
  }
  void advance() { slots_.advance(); }

  // What the accepts of this proposal ask of the peers.
  void ask(Slot slot, wire::Asks asks) { slots_[slot].asks = asks; }
  [[nodiscard]] wire::Asks asks(Slot slot) const { return slots_[slot].asks; }
  void receive(std::size_t member, Slot slot) { slots_[slot].members.add(member); }
  [[nodiscard]] MemberSet received(Slot slot) const { return slots_[slot].members; }

  // The highest slot that has reached an early level, all before it, too. `self`: our place.
  [[nodiscard]] Slot reached(wire::AckLevel level, const Proposer& proposer, const Configuration& configuration,
                             std::size_t self);

  // `member` says that everything committed up to `slot` is durable there, but for entries below `first`.
  void durable_to(std::size_t member, Slot slot, Lsn first) {
    durable_[member] = std::max(durable_[member], slot);
    first_ = std::max(first_, first);
  }
  // Its vote for `slot` in this ballot is durable; counted also after the slot is committed. One that overtakes another counts
  // for nothing here until the member says how far its disk is.
  void voted(std::size_t member, Slot slot) {
    if (slot == durable_[member] + 1) durable_[member] = slot;
  }
  [[nodiscard]] Slot durable_by_all(std::size_t members) const {
    return *std::min_element(durable_.begin(), durable_.begin() + static_cast<std::ptrdiff_t>(members));
  }

  // Some member's disk never held what lies below.
  [[nodiscard]] Lsn held_from() const { return first_; }

  [[nodiscard]] Slot first() const { return slots_.first(); }
  // Of the proposals in [first open slot, next).
  void fingerprint(Fingerprint& print, Slot next) const;

 private:
  struct ReceivedSlot {
    wire::Asks asks = wire::Asks::nothing;
    MemberSet members;  // that said so, ourselves not among them
  };

  Window<ReceivedSlot> slots_;
  std::array<Slot, wire::ack_levels> reached_{};  // of the early levels; what was computed last
  std::array<Slot, members_max> durable_{};
  Lsn first_;
};

}  // namespace synod::consensus
