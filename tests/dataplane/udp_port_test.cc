#include "dataplane/udp_port.h"

#include <poll.h>
#include <algorithm>

#include <gtest/gtest.h>

#include "tests/dataplane/messenger_fixture.h"

namespace synod::dataplane {
namespace {

constexpr Endpoint any_port{0x7F000001, 0};

std::unique_ptr<UdpPort> open_port(const UdpOptions& options = {}) {
  auto port = UdpPort::open(any_port, options);
  EXPECT_TRUE(port) << port.error().text;
  return std::move(*port);
}

// Waits until something has arrived; the kernel delivers over loopback before sendmmsg returns, so this does not wait long.
std::size_t receive_some(UdpPort& port, std::span<Packet> out) {
  pollfd waiting{port.descriptor(), POLLIN, 0};
  EXPECT_EQ(::poll(&waiting, 1, 5000), 1);
  return port.receive(out);
}

void send_bytes(UdpPort& port, Endpoint to, Bytes bytes) {
  const MutableBytes buffer = port.reserve();
  ASSERT_GE(buffer.size(), bytes.size());
  copy(buffer, bytes);
  port.send(to, bytes.size());
}

TEST(UdpPort, PortZeroTakesAFreePortAndSaysWhich) {
  const auto port = open_port();
  EXPECT_EQ(port->local().address, any_port.address);
  EXPECT_NE(port->local().port, 0);
}

TEST(UdpPort, PacketsArriveWithTheirSender) {
  const auto a = open_port();
  const auto b = open_port();
  const auto bytes = random_bytes(1472, 1);
  send_bytes(*a, b->local(), bytes);
  a->flush();
  std::array<Packet, burst_packets_max> burst;
  ASSERT_EQ(receive_some(*b, burst), 1U);
  EXPECT_EQ(burst[0].from, a->local());
  EXPECT_TRUE(std::equal(burst[0].payload.begin(), burst[0].payload.end(), bytes.begin(), bytes.end()));
}

TEST(UdpPort, NothingLeavesBeforeAFlushAndAFullBurstFlushesItself) {
  const auto a = open_port();
  const auto b = open_port();
  std::array<Packet, burst_packets_max> burst;
  for (std::size_t i = 0; i + 1 < burst_packets_max; ++i) send_bytes(*a, b->local(), random_bytes(10, i));
  EXPECT_EQ(b->receive(burst), 0U);
  send_bytes(*a, b->local(), random_bytes(10, 99));
  EXPECT_EQ(a->counters().sent, burst_packets_max);
  EXPECT_EQ(receive_some(*b, burst), burst_packets_max);
  EXPECT_EQ(b->counters().received, burst_packets_max);
}

TEST(UdpPort, AReceiverThatIsNotThereCostsNothingButTheirPackets) {
  const auto a = open_port();
  const Endpoint gone = open_port()->local();
  std::array<Packet, burst_packets_max> burst;
  for (int i = 0; i < 100; ++i) send_bytes(*a, gone, random_bytes(10, 1));
  a->flush();
  EXPECT_EQ(a->counters().sent, 100U);
  EXPECT_EQ(a->counters().received, 0U);
}

TEST(UdpPort, ThatNobodyListensIsHeardAndCostsNobodyElseAPacket) {
  const auto a = open_port();
  const auto b = open_port();
  const Endpoint gone = open_port()->local();
  for (std::size_t i = 0; i < burst_packets_max; ++i) send_bytes(*a, i % 2 == 0 ? gone : b->local(), random_bytes(10, i));
  std::array<Packet, burst_packets_max> burst;
  EXPECT_EQ(receive_some(*b, burst), burst_packets_max / 2);
  std::size_t refusals = 0;
  for (int polls = 0; polls < 100; ++polls) {
    const std::size_t count = a->receive(burst);
    for (const Packet& packet : std::span(burst).first(count)) {
      ASSERT_TRUE(packet.is_refusal());
      EXPECT_EQ(packet.from, gone);
      ++refusals;
    }
  }
  EXPECT_EQ(refusals, burst_packets_max / 2);
  EXPECT_EQ(a->counters().send_dropped, refusals);
}

TEST(UdpPort, AnEmptyPacketIsNoRefusal) {
  const auto a = open_port();
  const auto b = open_port();
  send_bytes(*a, b->local(), {});
  a->flush();
  std::array<Packet, burst_packets_max> burst;
  ASSERT_EQ(receive_some(*b, burst), 1U);
  EXPECT_FALSE(burst[0].is_refusal());
}

TEST(UdpPort, APacketThatNoRouteTakesIsACountedDropAndTheRestOfTheBurstLeaves) {
  const auto a = open_port();
  const auto b = open_port();
  send_bytes(*a, Endpoint{0xFFFFFFFF, 9}, random_bytes(10, 1));  // broadcast is refused by the kernel
  send_bytes(*a, b->local(), random_bytes(10, 1));
  a->flush();
  std::array<Packet, burst_packets_max> burst;
  EXPECT_EQ(receive_some(*b, burst), 1U);
  EXPECT_EQ(a->counters().send_dropped, 1U);
  EXPECT_EQ(a->counters().sent, 1U);
}

// A client knows nothing of the MTU that its replicas have among each other.
TEST(UdpPort, AJumboPacketComesToAPortThatSendsSmallerOnes) {
  const auto a = open_port({.payload_bytes_max = udp_payload_bytes_jumbo});
  const auto b = open_port();
  const auto bytes = random_bytes(udp_payload_bytes_jumbo, 1);
  send_bytes(*a, b->local(), bytes);
  a->flush();
  std::array<Packet, burst_packets_max> burst;
  ASSERT_EQ(receive_some(*b, burst), 1U);
  EXPECT_TRUE(std::ranges::equal(burst[0].payload, bytes));
  EXPECT_EQ(b->payload_bytes_max(), udp_payload_bytes_ethernet);
}

TEST(UdpPort, ADatagramThatIsTooLongIsACountedDrop) {
  const auto a = open_port({.payload_bytes_max = udp_payload_bytes_limit});
  const auto b = open_port();
  send_bytes(*a, b->local(), random_bytes(udp_payload_bytes_jumbo + 1, 1));
  send_bytes(*a, b->local(), random_bytes(100, 1));
  a->flush();
  std::array<Packet, burst_packets_max> burst;
  ASSERT_EQ(receive_some(*b, burst), 1U);
  EXPECT_EQ(burst[0].payload.size(), 100U);
  EXPECT_EQ(b->counters().receive_dropped, 1U);
}

TEST(UdpPort, ABusyAddressIsRefusedInOneLine) {
  const auto a = open_port();
  const auto second = UdpPort::open(a->local());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().text, "cannot bind UDP " + to_string(a->local()) +
                                     ": Address already in use: stop the process that uses it, or choose another port");
}

TEST(UdpPort, AnAddressOfAnotherMachineIsRefused) {
  const auto port = UdpPort::open(Endpoint{0xC0000201, 0});
  ASSERT_FALSE(port);
  EXPECT_NE(port.error().text.find("use an address of this machine"), std::string::npos) << port.error().text;
}

TEST(UdpPort, AMebibyteArrivesThroughTheMessenger) {
  const auto port_a = open_port({.payload_bytes_max = 8972});
  const auto port_b = open_port({.payload_bytes_max = 8972});
  Messenger a(identity(1), {});
  Messenger b(identity(2), {});
  a.add_port(PortRef(*port_a));
  b.add_port(PortRef(*port_b));
  const auto payload = random_bytes(1 << 20, 1);
  std::vector<Received> all;
  for (int attempt = 0; attempt < 100 && all.empty(); ++attempt) {
    ASSERT_TRUE(a.send({0, port_b->local()}, header_to(2, 50), payload));
    a.flush();
    all = receive_all(b);
  }
  ASSERT_FALSE(all.empty());
  EXPECT_TRUE(all[0].payload == payload);
}

}  // namespace
}  // namespace synod::dataplane
