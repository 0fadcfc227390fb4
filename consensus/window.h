// Per-slot state for the open slots (commit, commit + capacity], as a ring indexed by slot. A value; no heap after construction.
#pragma once

#include <vector>

#include "base/check.h"
#include "base/ids.h"

namespace synod::consensus {

template <class State>
class Window {
 public:
  explicit Window(std::size_t capacity) : states_(capacity) { CHECK_GT(capacity, 0U); }

  [[nodiscard]] std::size_t capacity() const { return states_.size(); }
  [[nodiscard]] Slot first() const { return base_ + 1; }
  [[nodiscard]] Slot last() const { return base_ + states_.size(); }
  [[nodiscard]] bool covers(Slot slot) const { return slot > base_ && slot <= last(); }

  [[nodiscard]] State& operator[](Slot slot) {
    CHECK(covers(slot));
    return states_[slot.value() % states_.size()];
  }
  [[nodiscard]] const State& operator[](Slot slot) const {
    CHECK(covers(slot));
    return states_[slot.value() % states_.size()];
  }

  // The first slot leaves; its place is reset and will be the new last one.
  void advance() {
    ++base_;
    states_[base_.value() % states_.size()] = State{};
  }
  // Everything up to `base` leaves.
  void reset(Slot base) {
    base_ = base;
    for (State& state : states_) state = State{};
  }

 private:
  std::vector<State> states_;
  Slot base_;
};

}  // namespace synod::consensus
