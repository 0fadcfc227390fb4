#include "tests/replica/harness.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "wire/cluster.h"
#include "wire/message.h"

namespace synod::replica::test {

Cluster::Cluster(const ClusterOptions& options)
    : network(Prng(options.seed)), options_(options), prng_(options.seed ^ 0x5EED), members_(options.replicas) {
  network.faults = {.delay_us_min = 10, .delay_us_max = 60};
  network.waiting_max = options.waiting_max;
  for (std::size_t place = 0; place < options.replicas; ++place) ids_.push_back(id_of(place));
  for (std::size_t place = 0; place < options.replicas; ++place) {
    members_[place].port = std::make_unique<sim::Port>(network, endpoint_of(place));
    members_[place].disk = std::make_unique<sim::Disk>(storage::segments_offset + options.capacity_bytes, Prng(prng_.next()));
    Uuid uuid;
    uuid.bytes[0] = static_cast<std::byte>(place + 1);
    sim::format(*members_[place].disk, {.cluster = wire::cluster_id("test"),
                                        .replica = id_of(place),
                                        .members = static_cast<std::uint16_t>(options.replicas),
                                        .disk = uuid,
                                        .segment_bytes = options.segment_bytes});
    start(place);
  }
}

void Cluster::start(std::size_t place, bool attached) {
  Member& member = members_[place];
  member.disk->revive();
  member.disk->opening = true;
  auto opened =
      Node::open({.cluster = wire::cluster_id("test"),
                  .self = id_of(place),
                  .configuration = consensus::Configuration(ids_),
                  .timeouts = short_timeouts,
                  .journal = {.block_bytes_target = options_.block_bytes_target, .writes_in_flight = options_.writes_in_flight},
                  .window_slots = options_.window_slots,
                  .seed = prng_.next(),
                  .say = [this](const std::string& line) { said.push_back(line); }},
                 storage::DeviceRef(*member.disk));
  member.disk->opening = false;
  ASSERT_TRUE(opened) << "replica " << place + 1 << ": " << opened.error().text;
  member.node = *std::move(opened);
  const std::uint8_t port = member.node->add_port(dataplane::PortRef(*member.port));
  for (std::size_t peer = 0; peer < size(); ++peer) {
    if (peer != place && attached) member.node->set_route(id_of(peer), {port, endpoint_of(peer)});
  }
}

void Cluster::stop(std::size_t place) {
  members_[place].node->finish();
  members_[place].disk->kill();
  members_[place].node.reset();
}

void Cluster::cut_power(std::size_t place) {
  if (!is_up(place)) return;
  (void)members_[place].disk->cut_power();
  members_[place].node.reset();
}

std::vector<client::Peer> Cluster::peers() const {
  std::vector<client::Peer> peers;
  peers.reserve(size());
  for (std::size_t place = 0; place < size(); ++place) peers.push_back({id_of(place), {0, endpoint_of(place)}});
  return peers;
}

std::optional<std::size_t> Cluster::leader() const {
  std::optional<std::size_t> leader;
  for (std::size_t place = 0; place < size(); ++place) {
    if (!is_up(place) || !members_[place].node->engine().is_leader()) continue;
    const bool newer = !leader || members_[place].node->engine().promised() > members_[*leader].node->engine().promised();
    if (newer) leader = place;
  }
  return leader;
}

void Cluster::poll() {
  for (Member& member : members_) {
    if (member.node == nullptr) continue;
    member.disk->now_us = network.now_us;
    member.node->poll_once(network.now_us);
    member.node->engine().check_now();
    // Power may go between any two of these.
    member.node->flush();
    if (!prng_.chance(1, 8)) member.node->submit();
  }
}

bool Cluster::has_settled() const {
  for (const Member& member : members_) {
    if (member.node == nullptr || !leader()) return false;
    if (member.node->engine().commit() != members_[*leader()].node->engine().next_slot() - 1) return false;
  }
  return true;
}

void Cluster::expect_equal_logs() {
  for (std::size_t place = 1; place < size(); ++place) {
    EXPECT_EQ(node(place).log().applied(), node(0).log().applied());
    EXPECT_EQ(node(place).log().tail(), node(0).log().tail());
    EXPECT_EQ(node(place).log().chain(), node(0).log().chain()) << "replica " << place + 1 << " holds other values";
  }
}

}  // namespace synod::replica::test
