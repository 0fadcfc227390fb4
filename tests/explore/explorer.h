// Explores every state that a small cluster of production engines can reach, breadth first, to the fixpoint.
//
// The network is a set that only grows: every message that was ever sent may be delivered at any time, in any order, any number
// of times, or never. That is loss, duplication, reordering and delay without bound, all at once, and it keeps states canonical:
// it does not matter how often or when something was sent. A crash takes nothing back from the network.
//
// A global state is, for each replica, its own state (space.h) and the set of what it has sent. States that differ only by
// swapping replicas that never propose are one state. Only fingerprints (128 bits) are kept of what was seen, and for each state
// the one it was first reached from and by which action: that is the shortest way to it.
//
// Checked in every state: no slot has two chosen values, no ballot has two values in a slot (both from the votes that ever became
// durable, across crashes), and what a replica says is committed is chosen. See replica.h for what is checked in every step.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "tests/explore/oracle.h"
#include "tests/explore/print_set.h"
#include "tests/explore/space.h"

namespace synod::consensus::explore {

struct Totals {
  std::uint64_t states = 0;
  std::uint64_t transitions = 0;
  std::uint64_t depth = 0;
  std::uint64_t frontier = 0;            // states that were not looked into: 0 at the fixpoint
  std::uint64_t states_with_chosen = 0;  // in which a value is chosen in some slot
  std::uint64_t slots_chosen = 0;        // at most, in one state
  std::uint64_t ballots_voted = 0;       // at most, in one state: durable votes in so many ballots
  std::uint64_t commits = 0;             // at most, in one state: slots that replicas have committed, added up
};

class Explorer {
 public:
  explicit Explorer(const Bounds& bounds);

  // To the fixpoint, to bounds.states_max, or to the first failure. Whether nothing was wrong.
  bool run();

  [[nodiscard]] const Totals& totals() const { return totals_; }
  [[nodiscard]] Space& space() { return space_; }
  [[nodiscard]] std::size_t states() const { return origins_.size(); }
  // What is wrong, and the steps that lead there, one a line. Empty if nothing is.
  [[nodiscard]] const std::string& failure() const { return failure_; }
  [[nodiscard]] const std::vector<std::string>& trace() const { return trace_; }
  // The steps to the state that is being looked into and the call that is being made, for a CHECK that stops the process.
  [[nodiscard]] std::vector<std::string> trace_here();
  // Called after each level of the search.
  void (*on_level)(const Explorer&) = nullptr;

 private:
  struct Place {
    CoreId core = 0;
    SetId sent = MessageSets::empty;
  };
  using State = std::array<Place, members_max>;
  // How a state was first reached.
  struct Origin {
    std::uint32_t parent = 0;
    std::uint32_t action = 0;
  };

  void push(std::vector<Place>& level, const State& state) const;
  void expand(std::uint32_t number, const State& state);
  void expand_place(const State& state, std::size_t place);
  void go(const State& state, std::size_t place, const Action& action, const Step& step);
  [[nodiscard]] Fingerprint::Value print_of(const State& state, std::size_t symmetry) const;
  // The least fingerprint of all the states that are like this one.
  [[nodiscard]] Fingerprint::Value canonical(const State& state) const;
  // The same for the current state with one replica changed.
  [[nodiscard]] Fingerprint::Value canonical_after(const Place& before, const Place& after) const;
  void check(const State& state, const Action& action);
  void fail(const std::string& what, const Action& last);
  [[nodiscard]] std::vector<std::string> trace_to(std::uint32_t number, const Action* last);
  // Describes an action with what it sends, and carries it out.
  [[nodiscard]] std::string follow(State& state, const Action& action);
  [[nodiscard]] std::string describe(const Action& action) const;

  Bounds bounds_;
  Space space_;
  Oracle oracle_;
  PrintSet seen_;
  std::deque<Origin> origins_;   // by the number of a state
  std::vector<Place> frontier_;  // the states of one level, bounds.members places each
  std::vector<Place> next_;
  std::uint32_t first_of_frontier_ = 0;
  // Of the state that is being looked into.
  std::uint32_t current_ = 0;
  std::uint32_t current_crashes_ = 0;
  std::vector<Fingerprint::Value> current_prints_;  // one for each symmetry
  Totals totals_;
  std::string failure_;
  std::vector<std::string> trace_;
};

}  // namespace synod::consensus::explore
