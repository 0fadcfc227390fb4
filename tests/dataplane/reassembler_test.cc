#include "dataplane/reassembler.h"

#include <gtest/gtest.h>

#include "tests/dataplane/messenger_fixture.h"

namespace synod::dataplane {
namespace {

using Datagram = MemoryPort::Datagram;

// The packets of one message from a to b.
std::vector<Datagram> packets_of(Pair& pair, wire::PacketHeader header, const std::vector<std::byte>& payload) {
  EXPECT_TRUE(pair.a.send(route, header, payload));
  return pair.port_b.take_inbox();
}

template <class Change>
Datagram changed(Datagram datagram, Change change) {
  auto header = load<wire::PacketHeader>(datagram);
  change(header);
  store(datagram, wire::seal_header(header));
  return datagram;
}

TEST(Reassembly, AFragmentOfAnotherMessageNeverGetsIntoThisOne) {
  using Header = wire::PacketHeader;
  const std::vector<void (*)(Header&)> changes = {
      [](Header& header) { header.message_id += 1; },
      [](Header& header) { header.source = ReplicaId(3); },
      [](Header& header) { header.incarnation.open_count += 1; },
      [](Header& header) { header.incarnation.disk.bytes[3] = std::byte{9}; },
      [](Header& header) { header.type = wire::MessageType::promise; },
      [](Header& header) { header.ballot = Ballot(6, ReplicaId(1)); },
      [](Header& header) { header.message_bytes -= 1; },
      [](Header& header) { header.fragments += 1; },
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    SCOPED_TRACE(i);
    Pair pair;
    const auto ours = random_bytes(5000, 1);
    auto packets = packets_of(pair, header_to(2, 50), ours);
    const auto theirs = packets_of(pair, header_to(2, 50), random_bytes(5000, 2));
    ASSERT_EQ(packets.size(), 4U);
    const auto is_second = [](const Datagram& datagram) { return load<Header>(datagram).fragment == 1; };
    const auto hole = std::ranges::find_if(packets, is_second);
    const auto foreign = std::ranges::find_if(theirs, is_second);
    const Datagram missing = std::move(*hole);
    packets.erase(hole);
    for (const auto& packet : packets) pair.port_b.inject(packet, endpoint_a);
    pair.port_b.inject(changed(*foreign, changes[i]), endpoint_a);
    EXPECT_TRUE(receive_all(pair.b).empty());
    pair.port_b.inject(missing, endpoint_a);
    const auto all = receive_all(pair.b);
    ASSERT_EQ(all.size(), 1U);
    EXPECT_TRUE(all[0].payload == ours);
  }
}

TEST(Reassembly, AFragmentWhosePlaceContradictsItselfIsACountedDrop) {
  using Header = wire::PacketHeader;
  const std::vector<void (*)(Header&)> changes = {
      [](Header& header) { header.fragment_offset += 1; },          [](Header& header) { header.fragment = 2; },
      [](Header& header) { header.fragments = fragments_max + 1; }, [](Header& header) { header.fragments = 3; },
      [](Header& header) { header.message_bytes = 1U << 20; },
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    SCOPED_TRACE(i);
    Pair pair;
    auto packets = packets_of(pair, header_to(2, 50), random_bytes(5000, 1));
    for (const auto& packet : packets) {
      if (load<Header>(packet).fragment == 1) pair.port_b.inject(changed(packet, changes[i]), endpoint_a);
    }
    EXPECT_TRUE(receive_all(pair.b).empty());
    EXPECT_EQ(pair.dropped(wire::PacketFault::bad_fragment), 1U);
  }
}

TEST(Reassembly, AMessageCutAnewByAnotherPacketSizeArrives) {
  Pair small(1000);
  Pair large(2000);
  const auto payload = random_bytes(10'000, 1);
  auto half = packets_of(small, header_to(2, 50), payload);
  half.resize(half.size() / 2);
  for (const auto& packet : half) large.port_b.inject(packet, endpoint_a);
  for (const auto& packet : packets_of(large, header_to(2, 50), payload)) large.port_b.inject(packet, endpoint_a);
  const auto all = receive_all(large.b);
  ASSERT_EQ(all.size(), 0U + 1U);
  EXPECT_TRUE(all[0].payload == payload);
}

TEST(Reassembly, ARepeatedMessageIsHandedOnAgain) {
  Pair pair;
  const auto payload = random_bytes(5000, 1);
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(pair.a.send(route, header_to(2, 50), payload));
    ASSERT_EQ(receive_all(pair.b).size(), 1U);
  }
}

TEST(Reassembly, LateDuplicatesOfFinishedMessagesDoNotPinMemory) {
  Pair pair(1472, {.ports_max = 1, .reassemblies_max = 4, .reassemblies_per_sender = 2});
  for (std::uint64_t id = 1; id <= 20; ++id) {
    const auto payload = random_bytes(5000, id);
    const auto packets = packets_of(pair, header_to(2, id), payload);
    for (const auto& packet : packets) pair.port_b.inject(packet, endpoint_a);
    pair.port_b.inject(packets[1], endpoint_a);
    const auto all = receive_all(pair.b);
    ASSERT_EQ(all.size(), 1U) << id;
    EXPECT_TRUE(all[0].payload == payload) << id;
  }
  EXPECT_EQ(pair.b.counters().reassemblies_evicted, 18U);
}

TEST(Reassembly, TheLeastRecentlyTouchedMessageOfTheSameSenderIsEvicted) {
  Pair pair(1472, {.ports_max = 1, .reassemblies_max = 4, .reassemblies_per_sender = 2});
  const auto payload = random_bytes(4000, 1);  // three packets
  std::vector<std::vector<Datagram>> messages;
  for (std::uint64_t id = 1; id <= 3; ++id) messages.push_back(packets_of(pair, header_to(2, id), payload));
  const auto inject = [&](std::size_t message, std::size_t packet) {
    pair.port_b.inject(messages[message][packet], endpoint_a);
    return receive_all(pair.b).size();
  };
  inject(0, 0);
  inject(1, 0);
  inject(0, 1);
  inject(2, 0);  // evicts message 1, touched longest ago
  EXPECT_EQ(pair.b.counters().reassemblies_evicted, 1U);
  EXPECT_EQ(inject(0, 2), 1U) << "message 0 was kept";
  inject(1, 1);
  EXPECT_EQ(inject(1, 2), 0U) << "the first fragment of message 1 is gone";
}

TEST(Reassembly, OneSenderCannotEvictTheMessagesOfAnother) {
  Pair pair(1472, {.ports_max = 1, .reassemblies_max = 4, .reassemblies_per_sender = 2});
  const auto payload = random_bytes(4000, 1);
  const auto as_third = [](wire::PacketHeader& header) { header.source = ReplicaId(3); };
  const auto quiet = packets_of(pair, header_to(2, 1), payload);
  pair.port_b.inject(changed(quiet[0], as_third), endpoint_a);
  for (std::uint64_t id = 10; id < 30; ++id) {
    pair.port_b.inject(packets_of(pair, header_to(2, id), payload)[0], endpoint_a);
  }
  pair.port_b.inject(changed(quiet[1], as_third), endpoint_a);
  pair.port_b.inject(changed(quiet[2], as_third), endpoint_a);
  const auto all = receive_all(pair.b);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].header.source, ReplicaId(3));
}

TEST(Reassembly, RandomFragmentsOfManySendersKeepTheLimits) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Prng prng(seed);
    Reassembler reassembler(4, 2);
    for (int i = 0; i < 5000; ++i) {
      wire::PacketHeader header = header_to(2, prng.between(1, 3));
      header.source = ReplicaId(static_cast<std::uint16_t>(prng.between(1, 4)));
      header.fragments = static_cast<std::uint16_t>(prng.between(2, 4));
      header.fragment = static_cast<std::uint16_t>(prng.below(header.fragments));
      header.fragment_offset = header.fragment * 100U;
      header.message_bytes = header.fragments * 100U;
      // Every byte of a message is its identity: a mixed-up fragment would show.
      const std::vector<std::byte> payload(
          100, static_cast<std::byte>(header.message_id * 64 + header.source.value() * std::uint64_t{8} + header.fragments));
      const auto piece = piece_bytes(header, payload);
      ASSERT_EQ(piece, 100U);
      const auto whole = reassembler.add(header, payload, *piece);
      EXPECT_LE(reassembler.unfinished(), 4U);
      if (!whole) continue;
      ASSERT_EQ(whole->payload.size(), header.message_bytes);
      for (const std::byte byte : whole->payload) ASSERT_EQ(byte, payload[0]);
    }
    EXPECT_GT(reassembler.evicted(), 0U);
  }
}

}  // namespace
}  // namespace synod::dataplane
