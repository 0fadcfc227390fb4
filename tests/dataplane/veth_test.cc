// DpdkPort on af_packet over veth, against the kernel's own stack and against another DpdkPort, in a network namespace that
// exists only as long as this process. Needs root, or user namespaces.
#include <cstdlib>
#include <fstream>

#include <arpa/inet.h>
#include <netinet/ip_icmp.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "dataplane/dpdk_port.h"
#include "dataplane/eal.h"
#include "dataplane/udp_port.h"
#include "tests/dataplane/echo.h"

namespace synod::dataplane {
namespace {

constexpr Endpoint dpdk_at{0x0A4D0001, 7400};    // 10.77.0.1
constexpr Endpoint kernel_at{0x0A4D0002, 7400};  // 10.77.0.2, the kernel's on synod_b
constexpr Endpoint other_at{0x0A4D0003, 7400};   // 10.77.0.3

bool run(const std::string& command) {
  return std::system((command + " >/dev/null 2>&1").c_str()) == 0;
}

// Why there is no namespace with a pair of interfaces; empty if there is.
std::string enter_namespace() {
  const auto user = ::getuid();
  if (::unshare(CLONE_NEWNET) != 0) {
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return "a network namespace needs root, or user namespaces";
    std::ofstream("/proc/self/setgroups") << "deny";
    std::ofstream("/proc/self/uid_map") << "0 " << user << " 1";
  }
  if (!run("ip link set lo up")) return "the program 'ip' is missing (package iproute2)";
  if (!run("ip link add synod_a type veth peer name synod_b")) return "this kernel has no veth";
  if (!run("ip link set synod_a up") || !run("ip link set synod_b up")) return "veth does not come up";
  if (!run("ip address add 10.77.0.2/24 dev synod_b")) return "veth takes no address";
  return "";
}

class VethTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    reason = new std::string(enter_namespace());
    if (!reason->empty()) return;
    EalOptions options;
    options.huge_pages = false;
    const auto started = start_eal(options);
    ASSERT_TRUE(started) << started.error().text;
  }
  static void TearDownTestSuite() { delete reason; }
  void SetUp() override {
    if (!reason->empty()) GTEST_SKIP() << *reason;
  }

  static std::unique_ptr<DpdkPort> open_port(const std::string& interface, Endpoint local) {
    DpdkPortOptions options;
    options.device = "net_af_packet_" + interface + ",iface=" + interface + ",qdisc_bypass=1";
    options.local = local;
    auto port = DpdkPort::open(options);
    EXPECT_TRUE(port) << port.error().text;
    return port ? std::move(*port) : nullptr;
  }

  // Polls until done() or until the test has failed.
  template <class Done>
  static bool eventually(Done done) {
    for (const std::uint64_t end = now_us() + 20'000'000; now_us() < end; ::sched_yield()) {
      if (done()) return true;
    }
    return false;
  }

  static inline std::string* reason = nullptr;
};

TEST_F(VethTest, AKernelPeerExchangesMessages) {
  const auto dpdk = open_port("synod_a", dpdk_at);
  auto kernel = UdpPort::open(kernel_at);
  ASSERT_TRUE(kernel) << kernel.error().text;
  Messenger a(identity(1), {});
  Messenger b(identity(2), {});
  a.add_port(PortRef(*dpdk));
  b.add_port(PortRef(**kernel));
  for (const std::size_t bytes : {0UL, 128UL, 1344UL, 1345UL, 65536UL}) expect_echo(a, b, kernel_at, bytes);
}

TEST_F(VethTest, AKernelPeerThatAsksFirstIsAnswered) {
  run("ip neighbour flush all");
  const auto dpdk = open_port("synod_a", dpdk_at);
  auto kernel = UdpPort::open(kernel_at);
  ASSERT_TRUE(kernel) << kernel.error().text;
  Messenger a(identity(1), {});
  Messenger b(identity(2), {});
  a.add_port(PortRef(**kernel));
  b.add_port(PortRef(*dpdk));
  expect_echo(a, b, dpdk_at, 128);
}

TEST_F(VethTest, DpdkPeersFindEachOtherByArp) {
  const auto port_a = open_port("synod_a", dpdk_at);
  const auto port_b = open_port("synod_b", other_at);
  Messenger a(identity(1), {});
  Messenger b(identity(2), {});
  a.add_port(PortRef(*port_a));
  b.add_port(PortRef(*port_b));
  expect_echo(a, b, other_at, 128);
  EXPECT_GE(port_a->counters().send_dropped, 1U) << "the packet that wanted the unknown neighbour";
  expect_echo(a, b, other_at, 20'000);
}

TEST_F(VethTest, ANeighbourBeyondTheSubnetWithoutAGatewayIsACountedDrop) {
  const auto port = open_port("synod_a", dpdk_at);
  Messenger a(identity(1), {});
  a.add_port(PortRef(*port));
  EXPECT_TRUE(a.send({0, Endpoint{0x08080808, 1}}, header_to(2), random_bytes(10, 1)));
  a.flush();
  EXPECT_EQ(port->counters().send_dropped, 1U);
  EXPECT_EQ(port->counters().sent, 0U);
}

TEST_F(VethTest, APingIsAnswered) {
  const auto dpdk = open_port("synod_a", dpdk_at);
  const int socket = ::socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_ICMP);
  ASSERT_GE(socket, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(dpdk_at.address);
  // type 8, code 0, checksum, id 1, sequence 1, "ping"; the bytes are those of Ping.GoldenBytesOfTheReply.
  constexpr std::array<unsigned char, 12> request{8, 0, 0x19, 0x2d, 0, 1, 0, 1, 'p', 'i', 'n', 'g'};
  std::uint64_t sent_us = 0;
  EXPECT_TRUE(eventually([&] {
    if (now_us() - sent_us > 100'000) {
      (void)::sendto(socket, request.data(), request.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof(to));
      sent_us = now_us();
    }
    std::array<Packet, burst_packets_max> burst;
    EXPECT_EQ(dpdk->receive(burst), 0U);
    std::array<unsigned char, 256> reply{};
    const ssize_t bytes = ::recv(socket, reply.data(), reply.size(), 0);
    return bytes == 32 && reply[20] == ICMP_ECHOREPLY && std::equal(reply.begin() + 24, reply.begin() + 32, request.begin() + 4);
  }));
  ::close(socket);
}

TEST_F(VethTest, APacketForAnotherUdpPortIsACountedDrop) {
  const auto dpdk = open_port("synod_a", dpdk_at);
  auto kernel = UdpPort::open(kernel_at);
  ASSERT_TRUE(kernel) << kernel.error().text;
  const std::uint64_t before = dpdk->frame_faults(FrameFault::not_ours);
  EXPECT_TRUE(eventually([&] {
    (void)(*kernel)->reserve();
    (*kernel)->send(Endpoint{dpdk_at.address, 9}, 100);
    (*kernel)->flush();
    std::array<Packet, burst_packets_max> burst;
    EXPECT_EQ(dpdk->receive(burst), 0U);
    return dpdk->frame_faults(FrameFault::not_ours) > before;
  }));
}

TEST_F(VethTest, TheKernelTakesChecksumsThatTheDeviceCompletes) {
  // net_tap completes UDP checksums, and the kernel behind it verifies them.
  if (::access("/dev/net/tun", R_OK | W_OK) != 0) GTEST_SKIP() << "there is no /dev/net/tun that this user may open";
  constexpr Endpoint tap_at{0x0A4E0001, 7400};
  constexpr Endpoint behind_tap_at{0x0A4E0002, 7400};
  DpdkPortOptions options;
  options.device = "net_tap0,iface=synod_tap";
  options.local = tap_at;
  auto tap = DpdkPort::open(options);
  if (!tap) GTEST_SKIP() << tap.error().text;
  ASSERT_TRUE((*tap)->completes_checksums());
  ASSERT_TRUE(run("ip address add 10.78.0.2/24 dev synod_tap && ip link set synod_tap up"));
  auto kernel = UdpPort::open(behind_tap_at);
  ASSERT_TRUE(kernel) << kernel.error().text;
  Messenger a(identity(1), {});
  Messenger b(identity(2), {});
  a.add_port(PortRef(**tap));
  b.add_port(PortRef(**kernel));
  for (const std::size_t bytes : {1UL, 128UL, 1344UL, 20'000UL}) expect_echo(a, b, behind_tap_at, bytes);
}

TEST_F(VethTest, TrafficReturnsWhenTheLinkDoes) {
  const auto port_a = open_port("synod_a", dpdk_at);
  const auto port_b = open_port("synod_b", other_at);
  Messenger a(identity(1), {});
  Messenger b(identity(2), {});
  a.add_port(PortRef(*port_a));
  b.add_port(PortRef(*port_b));
  expect_echo(a, b, other_at, 128);
  ASSERT_TRUE(run("ip link set synod_b down"));
  for (int i = 0; i < 100; ++i) {
    (void)a.send({0, other_at}, header_to(2), random_bytes(10, 1));
    a.flush();
    a.poll([](const Message&) {});
    b.poll([](const Message&) {});
  }
  ASSERT_TRUE(run("ip link set synod_b up"));
  expect_echo(a, b, other_at, 128);
}

}  // namespace
}  // namespace synod::dataplane
