// The appends of this leader whose answer does not come with their commit, because they asked for less (early levels) or for more
// (`all`): rule 10. Per level in the order of the log, so that each level's answers are cumulative by construction.
//
// Bounded: where an early level's queue is full, its appends are answered when they commit, which is more than they asked for. Of
// `all` the node admits no more than there is room for, and refuses the rest as busy. Thread: the node's. No heap after
// construction.
#pragma once

#include <array>
#include <cstdint>

#include "base/ids.h"
#include "base/ring.h"
#include "consensus/sessions.h"
#include "wire/client.h"

namespace synod::replica {

struct AckWait {
  Slot slot;  // the last one that it waits for
  SessionId session;
  consensus::Sessions::Place place = 0;
  Sequence first;
  std::uint32_t count = 0;
  Lsn lsn;  // of an early level: provisional, of the first entry
};

class AckWaits {
 public:
  explicit AckWaits(std::size_t waits_max)
      : waits_{Ring<AckWait>(1), Ring<AckWait>(waits_max), Ring<AckWait>(waits_max), Ring<AckWait>(waits_max),
               Ring<AckWait>(waits_max)} {}

  [[nodiscard]] Ring<AckWait>& of(wire::AckLevel level) { return waits_[static_cast<std::size_t>(level)]; }
  // Whether another append of this level may be admitted.
  [[nodiscard]] bool takes(wire::AckLevel level) const { return level != wire::AckLevel::all || !waits_.back().full(); }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  void clear() {
    for (Ring<AckWait>& ring : waits_) ring.clear();
    size_ = 0;
  }

  // Slots rise. What continues the last wait joins it. Nothing if there is no room.
  void add(wire::AckLevel level, const AckWait& wait) {
    Ring<AckWait>& ring = of(level);
    if (!ring.empty()) {
      AckWait& last = ring[ring.size() - 1];
      const bool is_next = last.slot == wait.slot && last.session == wait.session && last.first + last.count == wait.first;
      const bool continues = is_next && (!wire::is_early(level) || last.lsn + last.count == wait.lsn);
      if (continues) {
        last.count += wait.count;
        return;
      }
    }
    if (ring.full()) return;
    ring.push(wait);
    ++size_;
  }
  void pop(wire::AckLevel level) {
    of(level).pop();
    --size_;
  }
  // A retry waits already.
  [[nodiscard]] bool holds(wire::AckLevel level, SessionId session, Sequence first, std::uint32_t count) {
    const Ring<AckWait>& ring = of(level);
    for (std::size_t i = 0; i < ring.size(); ++i) {
      const AckWait& wait = ring[i];
      if (wait.session == session && wait.first <= first && first + count <= wait.first + wait.count) return true;
    }
    return false;
  }

 private:
  std::array<Ring<AckWait>, wire::ack_levels> waits_;  // by level; `quorum` waits for nothing but its commit
  std::size_t size_ = 0;
};

}  // namespace synod::replica
