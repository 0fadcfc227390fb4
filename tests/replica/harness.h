// A whole cluster in one thread: production nodes over a network and disks that misbehave by seed, production client sessions in
// front of it, virtual time. Disks can lose power: what they hold then is what a real disk could hold (the recording device).
//
// The harness listens to what leaves each node. A node that comes back must stand by every promise and every vote that it has
// sent to anybody.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/prng.h"
#include "client/leader.h"
#include "replica/node.h"
#include "storage/memory_device.h"
#include "tests/replica/network.h"
#include "tests/storage/recording_device.h"

namespace synod::replica::test {

struct ClusterOptions {
  std::uint64_t seed = 1;
  std::size_t replicas = 3;
  std::uint64_t capacity_bytes = 16U << 20;
  std::uint64_t segment_bytes = 4U << 20;
  std::size_t window_slots = 16;
  std::uint32_t block_bytes_target = 16U << 10;
  std::uint32_t writes_in_flight = 3;
};

// Short ones: a test has many elections.
inline constexpr consensus::Timeouts short_timeouts{.heartbeat_us = 2'000,
                                                    .election_us_min = 15'000,
                                                    .election_us_max = 30'000,
                                                    .campaign_us = 8'000,
                                                    .resend_us = 3'000,
                                                    .catch_up_us = 1'000,
                                                    .step_down_us = 40'000,
                                                    .silence_us_per_tick_max = 10'000};

// Hands completions on late, by chance, in front of a device that reorders them.
class LateDevice {
 public:
  LateDevice(storage::DeviceRef inner, std::uint64_t seed) : inner_(inner), prng_(seed) {}

  std::uint64_t late_permille = 0;  // of the polls that report nothing. 1000: the disk has stalled

  void write_durable(std::uint64_t offset, Bytes data, std::uint64_t token) { inner_.write_durable(offset, data, token); }
  void read(std::uint64_t offset, MutableBytes to, std::uint64_t token) { inner_.read(offset, to, token); }
  void submit() { inner_.submit(); }
  [[nodiscard]] std::size_t poll(std::span<storage::Completion> out) {
    return prng_.chance(late_permille, 1000) ? 0 : inner_.poll(out);
  }
  [[nodiscard]] const storage::DeviceInfo& info() const { return inner_.info(); }

 private:
  storage::DeviceRef inner_;
  Prng prng_;
};

class Cluster {
 public:
  explicit Cluster(const ClusterOptions& options);

  [[nodiscard]] std::size_t size() const { return members_.size(); }
  [[nodiscard]] bool is_up(std::size_t place) const { return members_[place].node != nullptr; }
  [[nodiscard]] Node& node(std::size_t place) { return *members_[place].node; }
  [[nodiscard]] NetworkPort& port(std::size_t place) { return *members_[place].port; }
  [[nodiscard]] static ReplicaId id_of(std::size_t place) { return ReplicaId(static_cast<std::uint16_t>(place + 1)); }
  [[nodiscard]] static dataplane::Endpoint endpoint_of(std::size_t place) { return {1, static_cast<std::uint16_t>(place + 1)}; }
  [[nodiscard]] std::vector<client::Peer> peers() const;
  [[nodiscard]] std::optional<std::size_t> leader() const;

  // Each live node takes a turn. Checks the engines' invariants.
  void poll();
  // The disk becomes what a power cut at this moment may leave; the process is gone.
  void cut_power(std::size_t place);
  // The process starts again. Fails the test if it cannot, or if it has forgotten a promise or a vote.
  // `attached` false: the ways to its peers are not there yet.
  void start(std::size_t place, bool attached = true);
  // Ends the process orderly, keeping what its disk holds.
  void stop(std::size_t place);
  void set_late_permille(std::size_t place, std::uint64_t permille);
  [[nodiscard]] storage::MemoryDevice& disk(std::size_t place) { return *members_[place].memory; }

  // All nodes are up and have committed the same slots.
  [[nodiscard]] bool has_settled() const;
  void expect_equal_logs();

  Network network;

 private:
  struct Said {
    Ballot highest;  // of promises and votes
    std::map<Slot, wire::PromisedSlot> votes;
  };
  struct Member {
    std::unique_ptr<NetworkPort> port;
    std::unique_ptr<storage::MemoryDevice> memory;
    std::unique_ptr<storage::test::RecordingDevice> recording;
    std::unique_ptr<LateDevice> late;
    std::unique_ptr<Node> node;
    Said said;
  };

  void plug_in(Member& member, std::unique_ptr<storage::MemoryDevice> memory);
  void listen(dataplane::Endpoint from, Bytes packet);
  void expect_word_kept(std::size_t place);

  ClusterOptions options_;
  Prng prng_;
  std::vector<ReplicaId> ids_;
  std::vector<Member> members_;
};

}  // namespace synod::replica::test
