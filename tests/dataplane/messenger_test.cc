#include "dataplane/messenger.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "base/crc32c.h"
#include "tests/dataplane/messenger_fixture.h"
#include "tests/seed.h"
#include "wire/limits.h"

namespace synod::dataplane {
namespace {

using wire::PacketFault;

TEST(Messenger, ASmallMessageArrivesWithItsHeaderAndItsSender) {
  Pair pair;
  const auto head = random_bytes(40, 1);
  const auto body = random_bytes(88, 2);
  wire::PacketHeader header = header_to(2);
  header.commit = Slot(9);
  header.configuration = 4;
  header.probe = Probe(6);
  ASSERT_TRUE(pair.a.send(route, header, head, body));
  const auto all = receive_all(pair.b);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].from, (Route{0, endpoint_a}));
  EXPECT_EQ(all[0].header.type, wire::MessageType::accept);
  EXPECT_EQ(all[0].header.source, ReplicaId(1));
  EXPECT_EQ(all[0].header.incarnation, identity(1).incarnation);
  EXPECT_EQ(all[0].header.ballot, Ballot(5, ReplicaId(1)));
  EXPECT_EQ(all[0].header.commit, Slot(9));
  EXPECT_EQ(all[0].header.configuration, 4U);
  EXPECT_EQ(all[0].header.probe, Probe(6));
  auto expected = head;
  expected.insert(expected.end(), body.begin(), body.end());
  EXPECT_EQ(all[0].payload, expected);
  EXPECT_EQ(pair.b.counters().messages_received, 1U);
  EXPECT_EQ(pair.a.counters().messages_sent, 1U);
}

TEST(Messenger, AnEmptyMessageArrives) {
  Pair pair;
  ASSERT_TRUE(pair.a.send(route, header_to(2), {}));
  const auto all = receive_all(pair.b);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_TRUE(all[0].payload.empty());
}

TEST(Messenger, ASinglePacketIsHandedOnWithoutACopy) {
  Pair pair;
  ASSERT_TRUE(pair.a.send(route, header_to(2), random_bytes(100, 1)));
  auto datagram = pair.port_b.take_inbox().at(0);
  const std::byte* const payload = datagram.data() + sizeof(wire::PacketHeader);
  pair.port_b.inject(std::move(datagram), endpoint_a);
  const std::byte* seen = nullptr;
  pair.b.poll([&](const Message& message) { seen = message.payload.data(); });
  EXPECT_EQ(seen, payload);
}

TEST(Messenger, EveryLengthAroundThePacketBoundariesArrivesWhole) {
  Pair pair;
  constexpr std::size_t piece = 1472 - sizeof(wire::PacketHeader);
  for (const std::size_t boundary : {piece, 2 * piece, 3 * piece}) {
    for (std::size_t bytes = boundary - 2; bytes <= boundary + 2; ++bytes) {
      const auto payload = random_bytes(bytes, bytes);
      const std::size_t cut = bytes / 3;
      ASSERT_TRUE(pair.a.send(route, header_to(2), Bytes(payload).first(cut), Bytes(payload).subspan(cut)));
      const auto all = receive_all(pair.b);
      ASSERT_EQ(all.size(), 1U) << bytes;
      EXPECT_EQ(all[0].payload, payload) << bytes;
    }
  }
}

// In one packet and in several.
TEST(Messenger, TakesTheKnownChecksumOfABody) {
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{8}, std::size_t{1000}, std::size_t{5000}}) {
    Pair pair;
    const auto head = random_bytes(32, 1);
    const auto body = random_bytes(bytes, 2);
    ASSERT_TRUE(pair.a.send(route, header_to(2), head, body, Checksum(crc32c(body))));
    const auto all = receive_all(pair.b);
    ASSERT_EQ(all.size(), 1U) << bytes;
    EXPECT_TRUE(std::ranges::equal(Bytes(all[0].payload).subspan(head.size()), body)) << bytes;
  }
}

// Bytes that changed in memory since their checksum was made: nobody takes them.
TEST(Messenger, ABodyThatIsNotThatOfItsChecksumIsDroppedByWhoeverReceivesIt) {
  Pair pair;
  const auto body = random_bytes(1000, 1);
  ASSERT_TRUE(pair.a.send(route, header_to(2), {}, body, Checksum(crc32c(body) ^ 1)));
  EXPECT_TRUE(receive_all(pair.b).empty());
  EXPECT_EQ(pair.b.counters().dropped[static_cast<std::size_t>(PacketFault::bad_payload_checksum)], 1U);
}

// In one packet and in several, whose last is of any length and whose order is none.
TEST(Messenger, SaysTheChecksumOfWhatCame) {
  Pair pair;
  pair.port_b.set_mischief({.lost_percent = 0, .duplicated_percent = 0, .reordered = true}, 1);
  const std::vector<std::size_t> lengths = {0, 1, 100, 1344, 1345, 2688, 5000, message_bytes_max};
  for (const std::size_t bytes : lengths) {
    const auto payload = random_bytes(bytes, bytes);
    ASSERT_TRUE(pair.a.send(route, header_to(2), payload));
    const auto look = [&](const Message& message) { EXPECT_EQ(message.checksum, Checksum(crc32c(payload))) << bytes; };
    while (pair.b.poll(look) > 0) {
    }
  }
  EXPECT_EQ(pair.b.counters().messages_received, lengths.size());
}

// Replica 1 with a port that leads to 2 and 3, and one that leads to 4.
class SendToEach : public testing::TestWithParam<bool> {
 protected:
  SendToEach() {
    if (GetParam()) port_.share_bodies();
    for (std::size_t i = 0; i < peers_.size(); ++i) {
      (i < 2 ? port_ : other_port_).connect(peer_ports_[i]);
      peers_[i].add_port(PortRef(peer_ports_[i]));
    }
    leader_.add_port(PortRef(port_));
    leader_.add_port(PortRef(other_port_));
  }

  // Who got `expected` under a header of its own, and nothing else.
  [[nodiscard]] std::vector<int> who_got(const std::vector<std::byte>& expected) {
    std::vector<int> replicas;
    for (std::size_t i = 0; i < peers_.size(); ++i) {
      const auto all = receive_all(peers_[i]);
      EXPECT_LE(all.size(), 1U);
      EXPECT_EQ(peers_[i].counters().dropped_total(), 0U);
      if (all.empty()) continue;
      EXPECT_EQ(all[0].header.destination, to_[i].replica);
      EXPECT_EQ(all[0].header.commit, Slot(9));
      EXPECT_TRUE(all[0].payload == expected);
      replicas.push_back(to_[i].replica.value());
    }
    return replicas;
  }

  std::array<Destination, 3> to_ = {{{{0, {0x0A000002, 7400}}, ReplicaId(2)},
                                     {{0, {0x0A000003, 7400}}, ReplicaId(3)},
                                     {{1, {0x0A000004, 7400}}, ReplicaId(4)}}};
  MemoryPort port_{endpoint_a, 8972};
  MemoryPort other_port_{endpoint_a, 8972};
  std::array<MemoryPort, 3> peer_ports_ = {MemoryPort(to_[0].route.endpoint), MemoryPort(to_[1].route.endpoint),
                                           MemoryPort(to_[2].route.endpoint)};
  Messenger leader_{identity(1), {}};
  std::array<Messenger, 3> peers_ = {Messenger(identity(2), {}), Messenger(identity(3), {}), Messenger(identity(4), {})};
};
INSTANTIATE_TEST_SUITE_P(Messenger, SendToEach, testing::Bool(),
                         [](const auto& shares) { return shares.param ? "Shared" : "Copied"; });

std::vector<std::byte> joined(std::vector<std::byte> head, Bytes body) {
  head.insert(head.end(), body.begin(), body.end());
  return head;
}

TEST_P(SendToEach, EveryoneGetsTheSameUnderAHeaderOfItsOwn) {
  const auto head = random_bytes(32, 1);
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{8812}, std::size_t{8813}, std::size_t{65536}}) {
    const auto body = random_bytes(bytes, bytes);
    wire::PacketHeader header = header_to(0);
    header.commit = Slot(9);
    for (const auto checksum : {std::optional(Checksum(crc32c(body))), std::optional<Checksum>()}) {
      EXPECT_EQ(leader_.send_to_each(to_, header, head, body, checksum), 3U);
      EXPECT_EQ(who_got(joined(head, body)), (std::vector{2, 3, 4})) << bytes;
    }
  }
  EXPECT_EQ(leader_.counters().messages_sent, 30U);
  EXPECT_EQ(port_.shared() > 0, GetParam());
}

TEST_P(SendToEach, APortWithoutBuffersKeepsNothingFromTheOthers) {
  const auto body = random_bytes(30'000, 1);
  wire::PacketHeader header = header_to(0);
  header.commit = Slot(9);
  other_port_.refuse_buffers_after(3);
  EXPECT_EQ(leader_.send_to_each(to_, header, {}, body), 2U);
  EXPECT_EQ(who_got(body), (std::vector{2, 3}));
  EXPECT_EQ(leader_.counters().send_dropped, 1U);
  other_port_.refuse_buffers_after(SIZE_MAX);
  port_.refuse_buffers_after(1);
  EXPECT_EQ(leader_.send_to_each(to_, header, {}, body), 1U);
  EXPECT_EQ(who_got(body), (std::vector{4}));
  EXPECT_EQ(leader_.counters().send_dropped, 3U);
}

// More than a burst: a queue that is too short for all of it has room for the first receiver's, which may be a quorum.
TEST_P(SendToEach, ALargeMessageGoesToOneAfterTheOther) {
  const auto body = random_bytes(200'000, 1);  // 23 packets
  wire::PacketHeader header = header_to(0);
  header.commit = Slot(9);
  port_.refuse_buffers_after(30);
  EXPECT_EQ(leader_.send_to_each(std::span(to_).first(2), header, {}, body), 1U);
  EXPECT_EQ(who_got(body), (std::vector{2}));
  port_.refuse_buffers_after(SIZE_MAX);
  EXPECT_EQ(leader_.send_to_each(to_, header, {}, body), 3U);
  EXPECT_EQ(who_got(body), (std::vector{2, 3, 4}));
}

// A message is cut as it would be for this receiver alone, so that an attempt to reach it alone fills the holes of the first one.
TEST_P(SendToEach, WhoHasSmallerPacketsChangesNothingForTheOthers) {
  MemoryPort small_port(endpoint_a, 1472);
  small_port.connect(peer_ports_[2]);
  to_[2].route.port = leader_.add_port(PortRef(small_port));
  const auto body = random_bytes(20'000, 1);  // 3 packets, and 15
  wire::PacketHeader header = header_to(0, 50);
  header.commit = Slot(9);
  EXPECT_EQ(leader_.send_to_each(to_, header, {}, body), 3U);
  auto packets = peer_ports_[0].take_inbox();
  ASSERT_EQ(packets.size(), 3U);
  peer_ports_[0].inject(std::move(packets[0]), endpoint_a);
  EXPECT_EQ(who_got(body), (std::vector{3, 4}));
  EXPECT_EQ(leader_.send_to_each(std::span(to_).first(1), header, {}, body), 1U);
  EXPECT_EQ(who_got(body), (std::vector{2}));
  EXPECT_EQ(peers_[0].counters().reassemblies_evicted, 0U);
}

TEST(Messenger, SendToNobodyDoesNothing) {
  Pair pair;
  EXPECT_EQ(pair.a.send_to_each({}, header_to(0), random_bytes(100, 1)), 0U);
}

TEST(Messenger, TheLargestMessageArrivesThroughTheSmallestPackets) {
  for (const std::size_t payload_bytes_max : {std::size_t{648}, std::size_t{1472}, std::size_t{8972}}) {
    Pair pair(payload_bytes_max);
    const auto payload = random_bytes(message_bytes_max, payload_bytes_max);
    ASSERT_TRUE(pair.a.send(route, header_to(2), {}, payload));
    const auto all = receive_all(pair.b);
    ASSERT_EQ(all.size(), 1U);
    EXPECT_TRUE(all[0].payload == payload);
  }
}

TEST(Messenger, RetransmissionsFillTheHolesOfALossyDuplicatingReorderingPort) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Pair pair;
    pair.port_a.set_mischief({.lost_percent = 40, .duplicated_percent = 20, .reordered = false}, seed);
    pair.port_b.set_mischief({.lost_percent = 0, .duplicated_percent = 0, .reordered = true}, seed);
    const auto payload = random_bytes(100'000, seed);
    const std::uint64_t id = pair.a.fresh_message_id();
    std::vector<Received> all;
    for (int attempt = 0; attempt < 40 && all.empty(); ++attempt) {
      ASSERT_TRUE(pair.a.send(route, header_to(2, id), payload));
      all = receive_all(pair.b);
    }
    ASSERT_FALSE(all.empty());
    EXPECT_TRUE(all[0].payload == payload);
  }
}

TEST(Messenger, AQueueShorterThanTheMessageLosesOtherFragmentsAtEachAttempt) {
  Pair pair;
  const auto payload = random_bytes(64 << 10, 1);  // 49 packets, of which the port takes 20
  const std::uint64_t id = pair.a.fresh_message_id();
  std::vector<Received> all;
  for (int attempt = 0; attempt < 100 && all.empty(); ++attempt) {
    pair.port_a.refuse_buffers_after(20);
    EXPECT_FALSE(pair.a.send(route, header_to(2, id), payload));
    all = receive_all(pair.b);
  }
  ASSERT_EQ(all.size(), 1U);
  EXPECT_TRUE(all[0].payload == payload);
  EXPECT_GT(pair.a.counters().send_dropped, 1U);
  EXPECT_EQ(pair.a.counters().messages_sent, 0U);
}

TEST(Messenger, RandomBytesAreCountedDrops) {
  const std::uint64_t seed = first_seed();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Pair pair;
  Prng prng(seed);
  for (std::uint64_t i = 0; i < 2000; ++i) {
    auto bytes = random_bytes(prng.below(1473), prng.next());
    if (prng.chance(1, 2) && bytes.size() >= 4) store(bytes, wire::packet_magic);
    pair.port_b.inject(std::move(bytes), endpoint_a);
  }
  EXPECT_TRUE(receive_all(pair.b).empty());
  EXPECT_EQ(pair.b.counters().dropped_total(), 2000U);
}

TEST(Messenger, AnyChangedBitOfAnyFragmentIsACountedDrop) {
  const std::uint64_t seed = first_seed();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Pair pair;
  Prng prng(seed);
  for (int i = 0; i < 500; ++i) {
    ASSERT_TRUE(pair.a.send(route, header_to(2), random_bytes(2000, seed)));
    auto datagrams = pair.port_b.take_inbox();
    ASSERT_EQ(datagrams.size(), 2U);
    auto& victim = datagrams[prng.below(2)];
    victim[prng.below(victim.size())] ^= static_cast<std::byte>(1U << prng.below(8));
    for (auto& datagram : datagrams) pair.port_b.inject(std::move(datagram), endpoint_a);
    EXPECT_TRUE(receive_all(pair.b).empty());
  }
  EXPECT_EQ(pair.b.counters().dropped_total(), 500U);
}

// A valid packet with one field changed and sealed again.
template <class Change>
void inject_changed(Pair& pair, Change change) {
  const auto payload = random_bytes(64, 1);
  ASSERT_TRUE(pair.a.send(route, header_to(2), payload));
  auto datagram = pair.port_b.take_inbox().at(0);
  auto header = load<wire::PacketHeader>(datagram);
  change(header);
  store(datagram, wire::seal_header(header));
  pair.port_b.inject(std::move(datagram), endpoint_a);
  EXPECT_TRUE(receive_all(pair.b).empty());
}

TEST(Messenger, AnotherClusterIsACountedDrop) {
  Pair pair;
  inject_changed(pair, [](wire::PacketHeader& header) { header.cluster = ClusterId(78); });
  EXPECT_EQ(pair.dropped(PacketFault::other_cluster), 1U);
}

TEST(Messenger, AnotherGroupIsACountedDrop) {
  Pair pair;
  inject_changed(pair, [](wire::PacketHeader& header) { header.group = GroupId(4); });
  EXPECT_EQ(pair.dropped(PacketFault::other_group), 1U);
}

TEST(Messenger, AnotherVersionIsACountedDrop) {
  Pair pair;
  inject_changed(pair, [](wire::PacketHeader& header) { header.version = 2; });
  EXPECT_EQ(pair.dropped(PacketFault::bad_version), 1U);
}

TEST(Messenger, AnotherDestinationIsACountedDrop) {
  Pair pair;
  inject_changed(pair, [](wire::PacketHeader& header) { header.destination = ReplicaId(3); });
  inject_changed(pair, [](wire::PacketHeader& header) { header.destination = ReplicaId(0); });
  EXPECT_EQ(pair.dropped(PacketFault::other_destination), 2U);
}

TEST(Messenger, AClientThatSpeaksLikeAReplicaIsACountedDrop) {
  Pair pair;
  inject_changed(pair, [](wire::PacketHeader& header) { header.source = ReplicaId(0); });
  EXPECT_EQ(pair.dropped(PacketFault::bad_type), 1U);
}

TEST(Messenger, ClientAndReplicaExchangeMessages) {
  MemoryPort port_client(endpoint_a);
  MemoryPort port_replica(endpoint_b);
  port_client.connect(port_replica);
  port_replica.connect(port_client);
  Messenger client(identity(0), {});
  Messenger replica(identity(2), {});
  client.add_port(PortRef(port_client));
  replica.add_port(PortRef(port_replica));
  wire::PacketHeader header = header_to(2);
  header.type = wire::MessageType::append;
  ASSERT_TRUE(client.send(route, header, random_bytes(10, 1)));
  const auto asked = receive_all(replica);
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_EQ(asked[0].header.source, ReplicaId(0));
  header.type = wire::MessageType::appended;
  header.destination = ReplicaId(0);
  ASSERT_TRUE(replica.send(asked[0].from, header, random_bytes(10, 2)));
  EXPECT_EQ(receive_all(client).size(), 1U);
  header.type = wire::MessageType::accepted;
  ASSERT_TRUE(replica.send(asked[0].from, header, random_bytes(10, 2)));
  EXPECT_TRUE(receive_all(client).empty()) << "a client takes no message of the replicas' protocol";
}

TEST(Messenger, APortMayBeAddedWhileOthersRun) {
  Pair pair;
  MemoryPort late(Endpoint{0x0A000003, 1});
  EXPECT_EQ(pair.b.add_port(PortRef(late)), 1U);
  EXPECT_EQ(pair.b.ports(), 2U);
  ASSERT_TRUE(pair.a.send(route, header_to(2), random_bytes(10, 1)));
  late.inject(pair.port_b.take_inbox().at(0), endpoint_a);
  const auto all = receive_all(pair.b);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].from.port, 1U);
}

}  // namespace
}  // namespace synod::dataplane
