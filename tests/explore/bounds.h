// How much of the world one exploration looks at. Everything within these bounds is explored.
#pragma once

#include <cstddef>
#include <cstdint>

namespace synod::consensus::explore {

struct Bounds {
  std::uint16_t members = 3;
  std::uint16_t proposers = 2;  // the first so many members may campaign
  std::uint64_t rounds = 2;     // no ballot goes above this round
  std::uint32_t campaigns = 2;  // of one proposer
  std::uint64_t slots = 1;      // a leader proposes values of its own up to this slot
  std::uint32_t crashes = 0;    // in the whole cluster
  // Faults of disks (rule 6): a crash may lose one durable record in the middle, or any number at the end.
  bool lost_middles = false;
  bool lost_tails = false;
  std::size_t window_slots = 2;
  bool slow_disks = true;  // else every record is durable at once
  bool nacks = false;      // else they are lost: all they do is to end a phase 1 or a leadership
  bool serves = true;      // catch-up
  bool receipts = false;   // every accept asks for Received, too (rule 10)
  // A deliberate fault, to see the explorer find it: a crash loses the whole disk, and the replica goes on under its old name.
  bool amnesia = false;
  // Keep every n-th replica that came to a known state by another way, for Space::differing_twins. 0: none.
  std::uint32_t twins_every = 0;
  // More states than this end the exploration before its fixpoint.
  std::uint64_t states_max = 100'000'000;
};

}  // namespace synod::consensus::explore
