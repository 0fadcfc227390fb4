// What NICs do, on devices that need none: several ports on one, and what it says of checksums. tests/nic has emulated ones.
#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "dataplane/dpdk_port.h"
#include "dataplane/eal.h"
#include "dataplane/steering.h"
#include "tests/dataplane/messenger_fixture.h"

namespace synod::dataplane {
namespace {

// Microsoft's key and two of its published hashes ("Verifying the RSS Hash Calculation", IPv4 with TCP: the ports lie alike).
TEST(Steering, the_hash_is_the_one_that_nics_compute) {
  const std::vector<std::uint8_t> key = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
                                         0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
                                         0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};
  EXPECT_EQ(toeplitz_hash(key, {0x420995BB, 2794}, {0xA18E6450, 1766}), 0x51ccc178U);   // 66.9.149.187 to 161.142.100.80
  EXPECT_EQ(toeplitz_hash(key, {0xC75C6F02, 14230}, {0x41458C53, 4739}), 0xc626b0eaU);  // 199.92.111.2 to 65.69.140.83
}

TEST(Steering, each_port_has_a_queue_whoever_sends) {
  Prng prng(7);
  for (const std::uint16_t queues : std::to_array<std::uint16_t>({1, 2, 3, 4, 7, 8, 33, 64, 128})) {
    for (const std::uint16_t first : std::to_array<std::uint16_t>({7400, 7401, 1, 1023, 65000, 65407})) {
      const auto steering = steer_by_port(first, queues, 40, 128);
      ASSERT_TRUE(steering);
      ASSERT_EQ(steering->table.size(), 128U);
      for (std::uint16_t queue = 0; queue < queues; ++queue) {
        const Endpoint from{static_cast<std::uint32_t>(prng.next()), static_cast<std::uint16_t>(prng.next())};
        const Endpoint to{static_cast<std::uint32_t>(prng.next()), static_cast<std::uint16_t>(first + queue)};
        EXPECT_EQ(steering->table[toeplitz_hash(steering->key, from, to) % 128], queue)
            << queues << " queues from port " << first;
      }
      for (const std::uint16_t queue : steering->table) EXPECT_LT(queue, queues);
    }
  }
}

TEST(Steering, a_nic_that_cannot_says_so) {
  EXPECT_TRUE(steer_by_port(7400, 4, 16, 4));
  EXPECT_FALSE(steer_by_port(7400, 5, 40, 4)) << "more queues than its table has places";
  EXPECT_FALSE(steer_by_port(7400, 2, 40, 0)) << "no table";
  EXPECT_FALSE(steer_by_port(7400, 2, 40, 100)) << "not a power of two";
  EXPECT_FALSE(steer_by_port(7400, 2, 15, 128)) << "a key that the hash would read behind";
  EXPECT_FALSE(steer_by_port(7400, 0, 40, 128));
}

class Queues : public testing::Test {
 protected:
  void SetUp() override {
    EalOptions options;
    options.memory_mb = 128;
    options.huge_pages = false;
    const auto started = start_eal(options);
    ASSERT_TRUE(started) << started.error().text;
  }
};

TEST_F(Queues, a_device_is_shared_and_closed_by_its_last_port) {
  auto ports = DpdkPort::open_queues({.device = "net_null0", .local = {0x0A000001, 7400}, .packets = 512}, 3);
  ASSERT_TRUE(ports) << ports.error().text;
  ASSERT_EQ(ports->size(), 3U);
  const std::uint16_t ethdev = ports->front()->ethdev();
  for (std::uint16_t queue = 0; queue < 3; ++queue) {
    EXPECT_EQ((*ports)[queue]->ethdev(), ethdev);
    EXPECT_EQ((*ports)[queue]->queue(), queue);
    EXPECT_EQ((*ports)[queue]->local().port, 7400 + queue);
    EXPECT_NE((*ports)[queue]->pool(), (*ports)[(queue + 1) % 3]->pool()) << "no two threads share buffers";
  }
  std::array<rte_eth_rss_reta_entry64, 2> table{};
  for (auto& part : table) part.mask = ~std::uint64_t{0};
  ASSERT_EQ(rte_eth_dev_rss_reta_query(ethdev, table.data(), 128), 0);
  const auto steering = steer_by_port(7400, 3, 40, 128);
  ASSERT_TRUE(steering);
  for (std::size_t i = 0; i < 128; ++i) EXPECT_EQ(table[i / 64].reta[i % 64], steering->table[i]);

  ports->erase(ports->begin());
  EXPECT_NE(rte_eth_dev_is_valid_port(ethdev), 0) << "the others use it";
  Packet packet;
  EXPECT_LE(ports->front()->receive({&packet, 1}), 1U);
  ports->clear();
  EXPECT_EQ(rte_eth_dev_is_valid_port(ethdev), 0);
}

// The network at a net_null device of two queues: what the next look at queue 0 brings, and what each queue has sent.
struct Network {
  rte_mbuf* comes = nullptr;
  std::array<std::vector<std::vector<std::byte>>, 2> sent;

  static std::uint16_t bring(std::uint16_t, std::uint16_t, rte_mbuf** packets, std::uint16_t count, std::uint16_t,
                             void* network) {
    rte_mbuf* const comes = std::exchange(static_cast<Network*>(network)->comes, nullptr);
    if (comes != nullptr) packets[count++] = comes;
    return count;
  }
  static std::uint16_t take(std::uint16_t, std::uint16_t queue, rte_mbuf** packets, std::uint16_t count, void* network) {
    for (std::uint16_t i = 0; i < count; ++i) {
      const auto* const bytes = rte_pktmbuf_mtod(packets[i], const std::byte*);
      static_cast<Network*>(network)->sent[queue].emplace_back(bytes, bytes + packets[i]->data_len);
    }
    return count;
  }
};

// A NIC hashes UDP packets alone: what ARP answers comes to queue 0, whoever has asked.
TEST_F(Queues, what_arp_answers_is_passed_on_to_the_other_queues) {
  constexpr Mac peer_mac{2, 0, 0, 0, 0, 2};
  constexpr std::uint32_t peer = 0x0A000002;
  auto ports = DpdkPort::open_queues({.device = "net_null1,no-rx=1", .local = {0x0A000001, 7400}, .packets = 512}, 2);
  ASSERT_TRUE(ports) << ports.error().text;
  DpdkPort& first = *(*ports)[0];
  DpdkPort& second = *(*ports)[1];
  Network network;
  const std::uint16_t ethdev = first.ethdev();
  const auto* const brings = rte_eth_add_rx_callback(ethdev, 0, Network::bring, &network);
  std::array<const rte_eth_rxtx_callback*, 2> takes{};
  for (std::uint16_t queue = 0; queue < 2; ++queue)
    takes[queue] = rte_eth_add_tx_callback(ethdev, queue, Network::take, &network);
  const auto send = [&](DpdkPort& port) {
    ASSERT_GE(port.reserve().size(), 4U);
    port.send({peer, 7400}, 4);
    port.flush();
  };
  send(second);
  ASSERT_EQ(network.sent[1].size(), 1U);
  EXPECT_EQ(network.sent[1][0].size(), arp_frame_bytes) << "who has that address?";

  network.comes = rte_pktmbuf_alloc(first.pool());
  network.comes->port = ethdev;
  auto* const answer = reinterpret_cast<std::byte*>(rte_pktmbuf_append(network.comes, arp_frame_bytes));
  write_arp_reply({answer, arp_frame_bytes}, peer_mac, peer, Mac{}, 0x0A000001);
  Packet packet;
  EXPECT_EQ(first.receive({&packet, 1}), 0U);
  EXPECT_EQ(second.receive({&packet, 1}), 0U);
  for (DpdkPort* const port : {&first, &second}) {
    send(*port);
    const auto& sent = network.sent[port->queue()];
    ASSERT_EQ(sent.size(), port->queue() + 1U);
    EXPECT_EQ(sent.back().size(), frame_header_bytes + 4);
    EXPECT_EQ(std::memcmp(sent.back().data(), peer_mac.data(), peer_mac.size()), 0) << "knows whom to send it to";
  }
  // They belong to the device's number, which the next device gets.
  EXPECT_EQ(rte_eth_remove_rx_callback(ethdev, 0, brings), 0);
  for (std::uint16_t queue = 0; queue < 2; ++queue) EXPECT_EQ(rte_eth_remove_tx_callback(ethdev, queue, takes[queue]), 0);
}

TEST_F(Queues, a_device_without_rss_is_refused_with_what_to_do) {
  const auto ports = DpdkPort::open_queues({.device = "net_ring0", .local = {0x0A000001, 7400}, .packets = 512}, 2);
  ASSERT_FALSE(ports);
  EXPECT_NE(ports.error().text.find("give each of the 2 groups a device"), std::string::npos) << ports.error().text;
  EXPECT_TRUE(DpdkPort::open({.device = "net_ring0", .local = {0x0A000001, 7400}, .packets = 512})) << "nothing of it is left";
}

// net_ring brings back what it sends: here a frame of a peer, with what a NIC says of its checksums.
TEST_F(Queues, a_packet_is_refused_only_where_its_checksum_is_wrong) {
  const auto port = DpdkPort::open({.device = "net_ring1", .local = {0x0A000001, 7400}, .point_to_point = false, .packets = 512});
  ASSERT_TRUE(port) << port.error().text;
  FrameWriter peer({2, 0, 0, 0, 0, 2}, {0x0A000002, 7400}, UdpChecksum::software);
  const auto comes_in = [&](std::uint64_t flags) {
    rte_mbuf* buffer = rte_pktmbuf_alloc((*port)->pool());
    auto* bytes = reinterpret_cast<std::byte*>(rte_pktmbuf_append(buffer, frame_header_bytes + 4));
    std::memset(bytes, 0, frame_header_bytes + 4);
    peer.write({bytes, frame_header_bytes + 4}, {2, 0, 0, 0, 0, 1}, {0x0A000001, 7400});
    buffer->ol_flags = flags;
    EXPECT_EQ(rte_eth_tx_burst((*port)->ethdev(), 0, &buffer, 1), 1);
    Packet packet;
    return (*port)->receive({&packet, 1}) == 1;
  };
  EXPECT_TRUE(comes_in(0)) << "a NIC that does not look";
  EXPECT_TRUE(comes_in(RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD));
  EXPECT_TRUE(comes_in(RTE_MBUF_F_RX_L4_CKSUM_NONE)) << "never filled in, but whole: a peer on this machine, through virtio";
  EXPECT_TRUE(comes_in(RTE_MBUF_F_RX_IP_CKSUM_NONE));
  EXPECT_FALSE(comes_in(RTE_MBUF_F_RX_L4_CKSUM_BAD));
  EXPECT_FALSE(comes_in(RTE_MBUF_F_RX_IP_CKSUM_BAD));
  EXPECT_EQ((*port)->frame_faults(FrameFault::bad_checksum), 2U);
}

// Peers of a port that a net_ring device belongs to, which brings back what it sends.
class SharedBodies : public Queues {
 protected:
  static constexpr std::array<Endpoint, 2> peers = {{{0x0A000002, 7400}, {0x0A000003, 7400}}};

  void open(const char* device, std::size_t mtu, bool point_to_point = false, std::optional<bool> share_bodies = true) {
    auto port = DpdkPort::open({.device = device,
                                .local = {0x0A000001, 7400},
                                .mtu = mtu,
                                .point_to_point = point_to_point,
                                .share_bodies = share_bodies,
                                .packets = 64});
    ASSERT_TRUE(port) << port.error().text;
    port_ = *std::move(port);
    for (const Endpoint& peer : peers) introduce(peer);
    in_use_ = rte_mempool_in_use_count(port_->pool());
  }
  void introduce(const Endpoint& peer) {
    rte_mbuf* packet = rte_pktmbuf_alloc(port_->pool());
    auto* const answer = reinterpret_cast<std::byte*>(rte_pktmbuf_append(packet, arp_frame_bytes));
    write_arp_reply({answer, arp_frame_bytes}, mac_of(peer), peer.address, Mac{}, 0x0A000001);
    ASSERT_EQ(rte_eth_tx_burst(port_->ethdev(), 0, &packet, 1), 1);
    Packet nothing;
    ASSERT_EQ(port_->receive({&nothing, 1}), 0U);
  }
  static Mac mac_of(const Endpoint& peer) { return {2, 0, 0, 0, 0, static_cast<std::uint8_t>(peer.address)}; }

  void reserve(const std::vector<std::byte>& bytes) {
    const MutableBytes buffer = port_->reserve();
    ASSERT_GE(buffer.size(), bytes.size());
    std::ranges::copy(bytes, buffer.begin());
  }
  void send(const Endpoint& to, const std::vector<std::byte>& payload) {
    reserve(payload);
    port_->send(to, payload.size());
  }
  bool send_sharing(const Endpoint& to, const std::vector<std::byte>& own) {
    reserve(own);
    return port_->send_sharing(to, own.size());
  }
  // What was sent, oldest first, and how many buffers it lies in.
  struct Sent {
    std::vector<std::byte> frame;
    std::size_t segments;
  };
  std::vector<Sent> take_sent() {
    std::array<rte_mbuf*, burst_packets_max> packets{};
    const std::uint16_t count = rte_eth_rx_burst(port_->ethdev(), 0, packets.data(), packets.size());
    std::vector<Sent> sent;
    for (rte_mbuf* const packet : std::span(packets).first(count)) {
      sent.push_back({std::vector<std::byte>(packet->pkt_len), packet->nb_segs});
      const void* const bytes = rte_pktmbuf_read(packet, 0, packet->pkt_len, sent.back().frame.data());
      if (bytes != sent.back().frame.data()) std::memcpy(sent.back().frame.data(), bytes, packet->pkt_len);
      rte_pktmbuf_free(packet);
    }
    return sent;
  }
  [[nodiscard]] std::size_t left_in_use() const { return rte_mempool_in_use_count(port_->pool()) - in_use_; }
  static std::vector<std::byte> frame_of(const Endpoint& to, const std::vector<std::byte>& payload) {
    std::vector<std::byte> frame(frame_header_bytes + payload.size());
    std::ranges::copy(payload, frame.begin() + frame_header_bytes);
    FrameWriter({}, {0x0A000001, 7400}, UdpChecksum::software).write(frame, mac_of(to), to);
    return frame;
  }

  std::unique_ptr<DpdkPort> port_;
  unsigned in_use_ = 0;
};

TEST_F(SharedBodies, a_packet_to_a_second_peer_has_what_it_shares_as_a_second_segment) {
  open("net_ring3", mtu_jumbo);
  const auto first = random_bytes(8001, 1);
  const auto own = random_bytes(160, 2);
  auto second = first;
  std::ranges::copy(own, second.begin());
  for (int turn = 0; turn < 100; ++turn) {               // longer than the buffers last, if one were lost
    for (const Endpoint& peer : peers) introduce(peer);  // whom nobody hears of is asked for, which is a packet, too
    send(peers[0], first);
    ASSERT_TRUE(send_sharing(peers[1], own));
    ASSERT_TRUE(send_sharing(peers[0], own)) << "and a third";
    port_->flush();
    const auto sent = take_sent();
    ASSERT_EQ(sent.size(), 3U);
    EXPECT_EQ(sent[0].segments, 1U);
    EXPECT_EQ(sent[0].frame, frame_of(peers[0], first));
    EXPECT_EQ(sent[1].segments, 2U);
    EXPECT_EQ(sent[1].frame, frame_of(peers[1], second));
    EXPECT_EQ(sent[2].segments, 2U);
    EXPECT_EQ(sent[2].frame, frame_of(peers[0], second));
    ASSERT_EQ(left_in_use(), 0U);
  }
  EXPECT_EQ(port_->counters().sent, 300U);
}

// As devices may take them, whoever lets go first.
TEST_F(SharedBodies, what_is_shared_lives_as_long_as_any_of_the_packets) {
  open("net_ring4", mtu_jumbo);
  const auto payload = random_bytes(8000, 1);
  send(peers[0], payload);
  ASSERT_TRUE(send_sharing(peers[1], {payload.begin(), payload.begin() + 160}));
  port_->flush();
  std::array<rte_mbuf*, 2> packets{};
  ASSERT_EQ(rte_eth_rx_burst(port_->ethdev(), 0, packets.data(), packets.size()), 2);
  rte_pktmbuf_free(packets[0]);
  std::vector<rte_mbuf*> others;  // which overwrite what is free
  while (rte_mbuf* const other = rte_pktmbuf_alloc(port_->pool())) {
    std::memset(rte_pktmbuf_mtod(other, void*), 0, 8192);
    others.push_back(other);
  }
  std::vector<std::byte> frame(packets[1]->pkt_len);
  ASSERT_NE(rte_pktmbuf_read(packets[1], 0, packets[1]->pkt_len, frame.data()), nullptr);
  EXPECT_EQ(frame, frame_of(peers[1], payload));
  rte_pktmbuf_free(packets[1]);
  rte_pktmbuf_free_bulk(others.data(), static_cast<unsigned>(others.size()));
  EXPECT_EQ(left_in_use(), 0U);
}

TEST_F(SharedBodies, nothing_is_shared_that_is_short_or_gone_or_has_no_receiver) {
  open("net_ring5", mtu_jumbo);
  const auto own = random_bytes(160, 2);
  EXPECT_FALSE(send_sharing(peers[1], own)) << "nothing was sent";
  send(peers[0], random_bytes(1000, 1));
  EXPECT_FALSE(send_sharing(peers[1], own)) << "short";
  send(peers[0], random_bytes(8000, 1));
  EXPECT_FALSE(send_sharing(peers[1], random_bytes(161, 2))) << "odd: the sum of the rest would not fit";
  EXPECT_FALSE(send_sharing({0x0A000009, 7400}, own)) << "nobody knows where that is";
  port_->flush();
  EXPECT_FALSE(send_sharing(peers[1], own)) << "gone";
  constexpr Endpoint unknown{0x0A00000A, 7400};
  send(unknown, random_bytes(8000, 1));  // asks, which flushes
  send(peers[0], random_bytes(8000, 1));
  send(unknown, random_bytes(8000, 1));  // asked a moment ago: this one is dropped, and what lies before it is another packet
  EXPECT_FALSE(send_sharing(peers[1], own)) << "was not sent";
  port_->flush();
  for (std::size_t i = 0; i < burst_packets_max; ++i) send(peers[0], random_bytes(8000, 1));
  EXPECT_FALSE(send_sharing(peers[1], own)) << "a full burst has gone";
  take_sent();
  take_sent();
}

TEST_F(SharedBodies, what_the_device_does_not_take_is_given_back) {
  open("net_ring8", mtu_jumbo);
  const auto take_one = [](std::uint16_t, std::uint16_t, rte_mbuf**, std::uint16_t, void*) { return std::uint16_t{1}; };
  const auto* const cut = rte_eth_add_tx_callback(port_->ethdev(), 0, take_one, nullptr);
  const auto payload = random_bytes(8000, 1);
  send(peers[0], payload);
  ASSERT_TRUE(send_sharing(peers[1], {payload.begin(), payload.begin() + 160}));
  ASSERT_TRUE(send_sharing(peers[0], {payload.begin(), payload.begin() + 160}));
  port_->flush();
  EXPECT_EQ(port_->counters().send_dropped, 2U);
  EXPECT_EQ(left_in_use(), 1U);
  const auto sent = take_sent();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].frame, frame_of(peers[0], payload));
  EXPECT_EQ(left_in_use(), 0U);
  EXPECT_EQ(rte_eth_remove_tx_callback(port_->ethdev(), 0, cut), 0);
}

TEST_F(SharedBodies, without_a_buffer_for_the_second_segment_nothing_happens) {
  open("net_ring9", mtu_jumbo);
  const auto payload = random_bytes(8000, 1);
  send(peers[0], payload);
  reserve(payload);
  std::vector<rte_mbuf*> others;
  while (rte_mbuf* const other = rte_pktmbuf_alloc(port_->pool())) others.push_back(other);
  EXPECT_FALSE(port_->send_sharing(peers[1], 160));
  port_->send(peers[1], payload.size());  // as the layer above does then
  port_->flush();
  rte_pktmbuf_free_bulk(others.data(), static_cast<unsigned>(others.size()));
  const auto sent = take_sent();
  ASSERT_EQ(sent.size(), 2U);
  EXPECT_EQ(sent[1].frame, frame_of(peers[1], payload));
  EXPECT_EQ(left_in_use(), 0U);
}

TEST_F(SharedBodies, a_port_that_makes_checksums_itself_shares_nothing_unless_told_to) {
  open("net_ring10", mtu_jumbo, false, std::nullopt);
  ASSERT_FALSE(port_->completes_checksums());
  send(peers[0], random_bytes(8000, 1));
  EXPECT_FALSE(send_sharing(peers[1], random_bytes(160, 2)));
  take_sent();
}

TEST_F(SharedBodies, a_port_to_one_peer_and_one_of_small_packets_share_nothing) {
  open("net_ring6", mtu_ethernet);
  send(peers[0], random_bytes(1472, 1));
  EXPECT_FALSE(send_sharing(peers[1], random_bytes(160, 2)));
  take_sent();
  open("net_ring7", mtu_jumbo, true, std::nullopt);
  send(peers[0], random_bytes(8000, 1));
  EXPECT_FALSE(send_sharing(peers[1], random_bytes(160, 2)));
  take_sent();
}

// As e1000e brings a jumbo frame: 8 KiB, and the rest in a second buffer.
TEST_F(Queues, a_frame_in_two_buffers_is_put_together) {
  const auto port = DpdkPort::open(
      {.device = "net_ring2", .local = {0x0A000001, 7400}, .mtu = mtu_jumbo, .point_to_point = false, .packets = 512});
  ASSERT_TRUE(port) << port.error().text;
  const FrameWriter peer({2, 0, 0, 0, 0, 2}, {0x0A000002, 7400}, UdpChecksum::software);
  const auto payload = random_bytes(mtu_jumbo - ip_udp_header_bytes, 1);
  std::vector<std::byte> frame(frame_header_bytes + payload.size());
  std::ranges::copy(payload, frame.begin() + frame_header_bytes);
  peer.write(frame, {2, 0, 0, 0, 0, 1}, {0x0A000001, 7400});
  const auto comes_in = [&](std::size_t first_bytes) {
    rte_mbuf* head = rte_pktmbuf_alloc((*port)->pool());
    rte_mbuf* tail = rte_pktmbuf_alloc((*port)->pool());
    std::memcpy(rte_pktmbuf_append(head, static_cast<std::uint16_t>(first_bytes)), frame.data(), first_bytes);
    const std::size_t rest = frame.size() - first_bytes;
    std::memcpy(rte_pktmbuf_append(tail, static_cast<std::uint16_t>(rest)), frame.data() + first_bytes, rest);
    EXPECT_EQ(rte_pktmbuf_chain(head, tail), 0);
    EXPECT_EQ(rte_eth_tx_burst((*port)->ethdev(), 0, &head, 1), 1);
  };
  Packet packet;
  comes_in(8192);
  ASSERT_EQ((*port)->receive({&packet, 1}), 1U);
  EXPECT_TRUE(std::ranges::equal(packet.payload, payload));
  comes_in(60);
  ASSERT_EQ((*port)->receive({&packet, 1}), 1U);
  EXPECT_TRUE(std::ranges::equal(packet.payload, payload));
}

}  // namespace
}  // namespace synod::dataplane
