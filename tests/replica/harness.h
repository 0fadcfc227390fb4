// A cluster for tests that script what happens: production nodes on the simulator's network and disks, production client sessions
// in front of them, virtual time. What goes wrong is up to the test; what goes wrong by chance is the simulator's (tests/sim).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/prng.h"
#include "client/leader.h"
#include "replica/node.h"
#include "tests/sim/disk.h"
#include "tests/sim/network.h"

namespace synod::replica::test {

struct ClusterOptions {
  std::uint64_t seed = 1;
  std::size_t replicas = 3;
  std::uint64_t capacity_bytes = 16U << 20;
  std::uint64_t segment_bytes = 4U << 20;
  std::size_t window_slots = 16;
  std::uint32_t block_bytes_target = 16U << 10;
  std::uint32_t writes_in_flight = 3;
  std::size_t waiting_max = 4096;  // packets in a port's queue, and on the way there
};

// Short ones: a test has many elections.
inline constexpr consensus::Timeouts short_timeouts{.heartbeat_us = 2'000,
                                                    .ask_us = 5'000,
                                                    .election_us_min = 15'000,
                                                    .election_us_max = 30'000,
                                                    .campaign_us = 8'000,
                                                    .resend_us = 3'000,
                                                    .catch_up_us = 1'000,
                                                    .step_down_us = 40'000,
                                                    .stall_us = 40'000,
                                                    .silence_us_per_tick_max = 10'000};

class Cluster {
 public:
  explicit Cluster(const ClusterOptions& options);

  [[nodiscard]] std::size_t size() const { return members_.size(); }
  [[nodiscard]] bool is_up(std::size_t place) const { return members_[place].node != nullptr; }
  [[nodiscard]] Node& node(std::size_t place) { return *members_[place].node; }
  [[nodiscard]] sim::Port& port(std::size_t place) { return *members_[place].port; }
  [[nodiscard]] static ReplicaId id_of(std::size_t place) { return ReplicaId(static_cast<std::uint16_t>(place + 1)); }
  [[nodiscard]] static dataplane::Endpoint endpoint_of(std::size_t place) { return {1, static_cast<std::uint16_t>(place + 1)}; }
  [[nodiscard]] std::vector<client::Peer> peers() const;
  [[nodiscard]] std::optional<std::size_t> leader() const;

  // Each live node takes a turn. Checks the engines' invariants.
  void poll();
  // The process is gone, and what its disk had in flight is torn.
  void cut_power(std::size_t place);
  // The process starts again. Fails the test if it cannot.
  // `attached` false: the ways to its peers are not there yet.
  void start(std::size_t place, bool attached = true);
  // Ends the process orderly, keeping what its disk holds.
  void stop(std::size_t place);
  [[nodiscard]] sim::Disk& disk(std::size_t place) { return *members_[place].disk; }

  // All nodes are up and have committed the same slots.
  [[nodiscard]] bool has_settled() const;
  void expect_equal_logs();

  sim::Network network;
  std::vector<std::string> said;  // by all replicas

 private:
  struct Member {
    std::unique_ptr<sim::Port> port;
    std::unique_ptr<sim::Disk> disk;
    std::unique_ptr<Node> node;
  };

  ClusterOptions options_;
  Prng prng_;
  std::vector<ReplicaId> ids_;
  std::vector<Member> members_;
};

}  // namespace synod::replica::test
