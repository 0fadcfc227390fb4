#include "client/leader.h"

#include <algorithm>

#include "base/check.h"

namespace synod::client {

LeaderSearch::LeaderSearch(std::span<const Peer> peers, const LeaderSearchLimits& limits, std::size_t first)
    : limits_(limits), target_(first) {
  CHECK(!peers.empty());
  CHECK_LE(peers.size(), members_max);
  CHECK_LT(first, peers.size());
  for (const Peer& peer : peers) peers_.push_back(peer);
}

std::size_t LeaderSearch::index_of(ReplicaId id) const {
  std::size_t index = 0;
  while (index < peers_.size() && peers_[index].id != id) ++index;
  return index;
}

void LeaderSearch::on_heard(ReplicaId from, std::uint64_t now_us) {
  if (from == target().id) silent_since_us_ = now_us;
}

void LeaderSearch::on_leader(ReplicaId from, std::uint64_t now_us) {
  const std::size_t index = index_of(from);
  if (index == peers_.size()) return;
  if (index != target_) {
    // A late answer of a former leader must not pull a settled client back.
    if (settled_) return;
    move_to(index, now_us, 0);
  }
  settled_ = true;
  moves_in_vain_ = 0;
  suspect_until_us_[index] = 0;
}

void LeaderSearch::on_not_leader(ReplicaId from, ReplicaId hint, std::uint64_t now_us) {
  if (from != target().id) return;  // answered to an earlier question
  const std::size_t hinted = index_of(hint);
  const bool follow = hinted != peers_.size() && hinted != target_ && now_us >= suspect_until_us_[hinted];
  // Two followers may point at each other for ever: beyond one round, hints are followed no faster than guesses.
  if (follow && moves_in_vain_ <= peers_.size()) {
    move_to(hinted, now_us, 0);
  } else if (follow) {
    move_to(hinted, now_us, limits_.move_delay_us_max);
  } else {
    move_on(now_us);
  }
}

void LeaderSearch::on_refused(const dataplane::Route& route, std::uint64_t now_us) {
  if (route == target().route) suspect(now_us);
}

void LeaderSearch::on_tick(std::uint64_t now_us, bool waiting) {
  if (!waiting) {
    waiting_ = false;
    return;
  }
  if (!waiting_) {
    waiting_ = true;
    silent_since_us_ = now_us;
    return;
  }
  const std::uint64_t silence_us_max = settled_ ? limits_.silence_us_max : limits_.probe_us_max;
  const std::uint64_t since_us = std::max(silent_since_us_, ready_us_);
  if (now_us >= since_us + silence_us_max) suspect(now_us);
}

void LeaderSearch::suspect(std::uint64_t now_us) {
  suspect_until_us_[target_] = now_us + limits_.suspect_us;
  move_on(now_us);
}

void LeaderSearch::move_to(std::size_t index, std::uint64_t now_us, std::uint64_t delay_us) {
  target_ = index;
  settled_ = false;
  waiting_ = false;
  ready_us_ = now_us + delay_us;
  ++moves_;
  ++moves_in_vain_;
}

void LeaderSearch::move_on(std::uint64_t now_us) {
  std::size_t next = (target_ + 1) % peers_.size();
  for (std::size_t i = 0; i < peers_.size(); ++i) {
    const std::size_t candidate = (target_ + 1 + i) % peers_.size();
    if (now_us < suspect_until_us_[candidate]) continue;
    next = candidate;
    break;
  }
  const std::uint64_t delay_us = limits_.move_delay_us << std::min<std::uint32_t>(moves_in_vain_ / 2, 10);
  move_to(next, now_us, std::min(delay_us, limits_.move_delay_us_max));
}

}  // namespace synod::client
