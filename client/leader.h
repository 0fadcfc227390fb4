// Where requests that only a leader can answer go: the search for the leader, without I/O.
//
// A target is asked until it answers as a leader (then it is `settled`), says who leads instead, stays silent for too long, or
// its host says that nobody listens there.
// A silent replica is suspect for a while: hints of others that still name it are not followed, the others are asked in turn
// until one of them has won its election. Every move counts up `moves()`: whoever waits for an answer compares that number and
// asks the new target.
//
// Thread: one. No heap after construction. Time: microseconds of any monotonic clock.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/fixed_vector.h"
#include "base/ids.h"
#include "dataplane/messenger.h"
#include "wire/limits.h"

namespace synod::client {

// One replica and the way to it.
struct Peer {
  ReplicaId id;
  dataplane::Route route;
};

struct LeaderSearchLimits {
  std::uint64_t silence_us_max = 80'000;  // of a leader that owes an answer, before others are asked
  std::uint64_t probe_us_max = 40'000;    // of a replica that has not answered yet
  std::uint64_t suspect_us = 120'000;     // how long hints to a silent replica are not followed
  std::uint64_t move_delay_us = 1'000;    // before the first move that nobody pointed to; doubles with every second one up to
  std::uint64_t move_delay_us_max = 16'000;
};

class LeaderSearch {
 public:
  // At least one peer, at most members_max. `first` is the index of the one to ask first.
  LeaderSearch(std::span<const Peer> peers, const LeaderSearchLimits& limits, std::size_t first = 0);

  [[nodiscard]] const Peer& target() const { return peers_[target_]; }
  [[nodiscard]] std::span<const Peer> peers() const { return {peers_.begin(), peers_.size()}; }
  // The target has answered as a leader since it became the target.
  [[nodiscard]] bool settled() const { return settled_; }
  // Whether the target may be asked now: moves in circles are slowed down.
  [[nodiscard]] bool ready(std::uint64_t now_us) const { return now_us >= ready_us_; }
  [[nodiscard]] std::uint64_t moves() const { return moves_; }

  // A valid client message came from `from`.
  void on_heard(ReplicaId from, std::uint64_t now_us);
  // `from` gave an answer that only a leader gives.
  void on_leader(ReplicaId from, std::uint64_t now_us);
  // `from` refused with not_leader and named `hint` (0: it knows none).
  void on_not_leader(ReplicaId from, ReplicaId hint, std::uint64_t now_us);
  // Nobody listens at `route`.
  void on_refused(const dataplane::Route& route, std::uint64_t now_us);
  // `waiting`: the target owes somebody an answer.
  void on_tick(std::uint64_t now_us, bool waiting);

 private:
  [[nodiscard]] std::size_t index_of(ReplicaId id) const;  // peers_.size(): none
  void move_to(std::size_t index, std::uint64_t now_us, std::uint64_t delay_us);
  void move_on(std::uint64_t now_us);
  void suspect(std::uint64_t now_us);

  LeaderSearchLimits limits_;
  FixedVector<Peer, members_max> peers_;
  std::array<std::uint64_t, members_max> suspect_until_us_{};
  std::size_t target_ = 0;
  bool settled_ = false;
  bool waiting_ = false;
  std::uint64_t silent_since_us_ = 0;  // meaningful while waiting
  std::uint64_t ready_us_ = 0;
  std::uint64_t moves_ = 0;
  std::uint32_t moves_in_vain_ = 0;  // since the last leader was found
};

}  // namespace synod::client
