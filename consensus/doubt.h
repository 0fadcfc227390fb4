// What a journal that lost records may have forgotten (rule 6). A record that cannot be read is not a record that was never
// written: a promise that leaves it out may hide a chosen value, so it is never taken as absent.
//
//   bounded    a block that can be read stands behind the lost ones, and says which ballot was promised by then and which slot
//   was
//              the highest: whatever was promised or voted for in the lost records lies at or below both. Votes are cast from the
//              bound on. Promises wait until each doubtful slot is known as chosen, or holds a vote of the bound or above: that
//              one is newer than whatever is lost, so nothing is missing in what a promise reports.
//   unbounded  nothing stands behind them (a lost tail, a stale image of the disk): no vote and no promise until every other
//              member has said what it has seen (witness.h). Then it is bounded by the highest of all.
//
// Source: Alagappan and others, "Protocol-Aware Recovery for Consensus-Based Storage", FAST 2018 (a faulty record is neither
// there nor absent; only other replicas can tell); the bound by the promised ballot in each block is Synod's own.
#pragma once

#include <cstdint>

#include "base/ids.h"
#include "consensus/acceptor.h"
#include "consensus/fingerprint.h"

namespace synod::consensus {

struct Doubt {
  enum class Kind : std::uint8_t { none, bounded, unbounded };
  Kind kind = Kind::none;
  Ballot bound;  // of bounded: nothing that is lost is of a higher ballot
  Slot last;     // of bounded: nor of a higher slot

  [[nodiscard]] static constexpr Doubt below(Ballot bound, Slot last) { return {Kind::bounded, bound, last}; }
  [[nodiscard]] static constexpr Doubt without_bound() { return {Kind::unbounded, {}, {}}; }

  [[nodiscard]] constexpr bool is_unbounded() const { return kind == Kind::unbounded; }
  // Whether a promise would now report everything that may have been voted for. Once so, it stays so.
  [[nodiscard]] bool is_resolved(const Window<AcceptedSlot>& slots) const;

  void fingerprint(Fingerprint& print) const;
  constexpr bool operator==(const Doubt&) const = default;
};

}  // namespace synod::consensus
