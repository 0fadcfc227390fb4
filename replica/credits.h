// Flow control of appends: how many packets of them a client may have unanswered. A leader tells it in every answer (`credit` of
// the packet header), from the one that opens the session on.
//
// It is an equal share of three quarters of what can wait at the port that the client comes in by; the rest is for the peers. So
// clients that begin all at once (incast) do not overrun the port, however many they are, and one that is alone has all of it.
// Whoever opened a session or appended in this interval or in the one before has a share. Below that limit, a client finds out by
// losses what the path carries.
//
// Pure. Thread: the node's. No heap.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "consensus/sessions.h"

namespace synod::replica {

class Credits {
 public:
  static constexpr std::uint64_t interval_us = 100'000;
  static constexpr std::size_t packets_least = 2;

  // A client, by the place of its session, came in by `port`.
  void note(consensus::Sessions::Place place, std::uint8_t port, std::uint64_t now_us) {
    const std::uint64_t interval = now_us / interval_us + 1;  // 0 is what was never seen
    if (interval != interval_) begin(interval);
    if (seen_[place] == interval) return;
    seen_[place] = interval;
    ++clients_[port].now;
  }
  // Of `packets` that can wait at the port.
  [[nodiscard]] std::uint32_t share(std::uint8_t port, std::size_t packets) const {
    const std::size_t clients = std::max({clients_[port].before, clients_[port].now, std::size_t{1}});
    return static_cast<std::uint32_t>(std::max(packets * 3 / 4 / clients, packets_least));
  }

 private:
  struct Clients {
    std::size_t before = 0;
    std::size_t now = 0;
  };

  void begin(std::uint64_t interval) {
    for (Clients& clients : clients_) clients = {interval == interval_ + 1 ? clients.now : 0, 0};
    interval_ = interval;
  }

  std::uint64_t interval_ = 0;
  std::array<Clients, 256> clients_{};              // by port
  std::array<std::uint64_t, sessions_max> seen_{};  // by the session's place: the last interval
};

}  // namespace synod::replica
