#include "tests/replica/harness.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "wire/cluster.h"
#include "wire/message.h"

namespace synod::replica::test {

using storage::DeviceRef;
using storage::MemoryDevice;
using storage::test::RecordingDevice;

Cluster::Cluster(const ClusterOptions& options) : network(options.seed), options_(options), prng_(options.seed ^ 0x5EED) {
  network.on_sent = [this](dataplane::Endpoint from, dataplane::Endpoint, Bytes packet) { listen(from, packet); };
  members_.resize(options.replicas);
  for (std::size_t place = 0; place < options.replicas; ++place) ids_.push_back(id_of(place));
  for (std::size_t place = 0; place < options.replicas; ++place) {
    members_[place].port = std::make_unique<NetworkPort>(network, endpoint_of(place));
    auto memory = std::make_unique<MemoryDevice>((64U << 10) + options.capacity_bytes);
    const auto formatted = storage::format_memory(*memory, wire::cluster_id("test"), id_of(place),
                                                  static_cast<std::uint16_t>(options.replicas), options.segment_bytes);
    EXPECT_TRUE(formatted) << formatted.error().text;
    plug_in(members_[place], std::move(memory));
    start(place);
  }
}

void Cluster::plug_in(Member& member, std::unique_ptr<MemoryDevice> memory) {
  member.late.reset();
  member.recording.reset();
  member.memory = std::move(memory);
  member.recording = std::make_unique<RecordingDevice>(DeviceRef(*member.memory), prng_.next());
  member.late = std::make_unique<LateDevice>(DeviceRef(*member.recording), prng_.next());
}

void Cluster::start(std::size_t place, bool attached) {
  Member& member = members_[place];
  auto opened =
      Node::open({.cluster = wire::cluster_id("test"),
                  .self = id_of(place),
                  .configuration = consensus::Configuration(ids_),
                  .timeouts = short_timeouts,
                  .journal = {.block_bytes_target = options_.block_bytes_target, .writes_in_flight = options_.writes_in_flight},
                  .window_slots = options_.window_slots,
                  .seed = prng_.next()},
                 DeviceRef(*member.late));
  ASSERT_TRUE(opened) << "replica " << place + 1 << ": " << opened.error().text;
  member.node = *std::move(opened);
  const std::uint8_t port = member.node->add_port(dataplane::PortRef(*member.port));
  for (std::size_t peer = 0; peer < size(); ++peer) {
    if (peer != place && attached) member.node->set_route(id_of(peer), {port, endpoint_of(peer)});
  }
  expect_word_kept(place);
}

void Cluster::stop(std::size_t place) {
  members_[place].late->late_permille = 0;
  members_[place].node.reset();
}

void Cluster::cut_power(std::size_t place) {
  Member& member = members_[place];
  if (member.node == nullptr) return;
  // Whatever the node does while it is taken down comes behind the cut.
  auto image = member.recording->crash_image(member.recording->trace_length(), prng_);
  stop(place);
  plug_in(member, std::make_unique<MemoryDevice>(image));
}

void Cluster::set_late_permille(std::size_t place, std::uint64_t permille) {
  members_[place].late->late_permille = permille;
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

void Cluster::listen(dataplane::Endpoint from, Bytes packet) {
  const auto view = wire::decode_packet(packet);
  if (!view || from.address != 1 || view->header.source != ReplicaId(from.port)) return;
  Said& said = members_[from.port - 1U].said;
  const wire::PacketHeader& header = view->header;
  if (header.type == wire::MessageType::promise) said.highest = std::max(said.highest, header.ballot);
  if (header.type != wire::MessageType::accepted) return;
  said.highest = std::max(said.highest, header.ballot);
  const auto accepted = wire::decode_peer_message(header, view->payload, {});
  ASSERT_TRUE(accepted);
  const auto& vote = std::get<wire::Accepted>(accepted->payload);
  wire::PromisedSlot& newest = said.votes[vote.slot];
  if (header.ballot >= newest.ballot) newest = {vote.slot, header.ballot, vote.checksum, 0};
}

void Cluster::expect_word_kept(std::size_t place) {
  const consensus::Engine& engine = node(place).engine();
  const Said& said = members_[place].said;
  EXPECT_GE(engine.promised(), said.highest) << "replica " << place + 1 << " has forgotten a promise";
  for (const auto& [slot, vote] : said.votes) {
    if (slot <= engine.commit()) continue;
    const consensus::AcceptedSlot* open = engine.open_slot(slot);
    ASSERT_NE(open, nullptr) << "replica " << place + 1 << " has forgotten its vote in slot " << slot.value();
    EXPECT_TRUE(open->chosen || open->ballot >= vote.ballot) << "replica " << place + 1 << ", slot " << slot.value();
    if (open->ballot == vote.ballot) {
      EXPECT_EQ(open->value.checksum, vote.checksum);
    }
  }
}

}  // namespace synod::replica::test
