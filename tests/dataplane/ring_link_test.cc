#include "dataplane/ring_link.h"

#include <thread>

#include <gtest/gtest.h>

#include "dataplane/eal.h"
#include "dataplane/lcore.h"
#include "tests/dataplane/messenger_fixture.h"

namespace synod::dataplane {
namespace {

// The EAL starts once per process, here without huge pages: as on a laptop, by an ordinary user.
class RingLinkTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto cores = allowed_cores();
    EalOptions options;
    options.memory_mb = 128;
    options.huge_pages = false;
    const auto started = start_eal(options);
    ASSERT_TRUE(started) << started.error().text;
    EXPECT_EQ(allowed_cores(), cores) << "the thread's affinity is as before";
    EXPECT_FALSE(eal_has_huge_pages());
  }

  static std::unique_ptr<RingLink> make_link(RingLinkOptions options = {.a = endpoint_a, .b = endpoint_b}) {
    auto link = RingLink::make(options);
    EXPECT_TRUE(link) << link.error().text;
    return std::move(*link);
  }
};

TEST_F(RingLinkTest, MessagesOfAllSizesGoThereAndBack) {
  const auto link = make_link();
  Messenger a(identity(1), {});
  Messenger b(identity(2), {});
  a.add_port(PortRef(link->a()));
  b.add_port(PortRef(link->b()));
  for (const std::size_t bytes : {0UL, 1UL, 128UL, 8844UL, 8845UL, 65536UL, 1UL << 20}) {
    SCOPED_TRACE(bytes);
    const auto payload = random_bytes(bytes, bytes);
    ASSERT_TRUE(a.send({0, endpoint_b}, header_to(2), payload));
    a.flush();
    const auto there = receive_all(b);
    ASSERT_EQ(there.size(), 1U);
    EXPECT_TRUE(there[0].payload == payload);
    EXPECT_EQ(there[0].from.endpoint, endpoint_a);
    ASSERT_TRUE(b.send(there[0].from, header_to(1), there[0].payload));
    b.flush();
    const auto back = receive_all(a);
    ASSERT_EQ(back.size(), 1U);
    EXPECT_TRUE(back[0].payload == payload);
  }
  EXPECT_EQ(link->a().counters().send_dropped + link->b().counters().send_dropped, 0U);
}

TEST_F(RingLinkTest, AFullRingDropsAndCountsAndFreesItsBuffers) {
  const auto link = make_link({.a = endpoint_a, .b = endpoint_b, .mtu = 1500, .slots = 64, .packets = 1024});
  Messenger a(identity(1), {});
  a.add_port(PortRef(link->a()));
  for (int i = 0; i < 5000; ++i) ASSERT_TRUE(a.send({0, endpoint_b}, header_to(2), {}));
  a.flush();
  EXPECT_EQ(link->a().counters().sent, 63U);
  EXPECT_EQ(link->a().counters().send_dropped, 5000U - 63U);
}

TEST_F(RingLinkTest, WithoutBuffersNothingIsReservedAndTheyComeBack) {
  const auto pool = PacketPool::make(64, 1500);
  ASSERT_TRUE(pool) << pool.error().text;
  auto link = RingLink::make({.a = endpoint_a, .b = endpoint_b, .mtu = 1500}, pool->get());
  ASSERT_TRUE(link) << link.error().text;
  Messenger a(identity(1), {});
  Messenger b(identity(2), {});
  a.add_port(PortRef((*link)->a()));
  b.add_port(PortRef((*link)->b()));
  int sent = 0;
  while (a.send({0, endpoint_b}, header_to(2), {})) ++sent;
  EXPECT_LE(sent, 64);
  EXPECT_EQ(a.counters().send_dropped, 1U);
  a.flush();
  EXPECT_EQ(receive_all(b).size(), static_cast<std::size_t>(sent));
  EXPECT_TRUE(a.send({0, endpoint_b}, header_to(2), {}));
  a.flush();
  link->reset();
  EXPECT_EQ((*pool)->in_use(), 0U) << "what lay in rings and bursts was freed";
}

TEST_F(RingLinkTest, TwoThreadsEcho) {
  const auto link = make_link();
  constexpr int rounds = 10'000;
  std::thread echo([&] {
    ASSERT_TRUE(register_polling_thread());
    Messenger b(identity(2), {});
    b.add_port(PortRef(link->b()));
    Idler idler(IdlePolicy::yield);
    for (int answered = 0; answered < rounds;) {
      const bool worked = b.poll([&](const Message& message) {
        ASSERT_TRUE(b.send(message.from, header_to(1, message.header.message_id), message.payload));
        ++answered;
      }) > 0;
      b.flush();
      idler.idle(worked);
    }
  });
  Messenger a(identity(1), {});
  a.add_port(PortRef(link->a()));
  Idler idler(IdlePolicy::yield);
  for (std::uint64_t round = 1; round <= rounds; ++round) {
    ASSERT_TRUE(a.send({0, endpoint_b}, header_to(2, round), bytes_of(round)));
    a.flush();
    bool answered = false;
    while (!answered) {
      const bool worked = a.poll([&](const Message& message) {
        EXPECT_EQ(load<std::uint64_t>(message.payload), round);
        answered = true;
      }) > 0;
      idler.idle(worked);
    }
  }
  echo.join();
}

TEST_F(RingLinkTest, PollingThreadsComeAndGo) {
  for (int i = 0; i < 300; ++i) {
    std::thread([] {
      const auto registered = register_polling_thread();
      EXPECT_TRUE(registered) << registered.error().text;
      EXPECT_TRUE(register_polling_thread()) << "again is no harm";
    }).join();
  }
}

TEST_F(RingLinkTest, LinksComeAndGo) {
  for (int i = 0; i < 100; ++i) {
    const auto link = make_link({.a = endpoint_a, .b = endpoint_b, .mtu = 1500, .slots = 64, .packets = 256});
    ASSERT_NE(link, nullptr) << i;
  }
}

TEST_F(RingLinkTest, TooMuchMemoryIsRefusedInOneLine) {
  const auto link = RingLink::make({.a = endpoint_a, .b = endpoint_b, .packets = 1'000'000});
  ASSERT_FALSE(link);
  EXPECT_NE(link.error().text.find("give DPDK more memory"), std::string::npos) << link.error().text;
  EXPECT_EQ(link.error().text.find('\n'), std::string::npos);
}

TEST_F(RingLinkTest, AWrongDeviceStringIsRefusedInOneLine) {
  for (const char* device : {"net_nonsense0", "", "net_af_packet0,iface=nosuchinterface", "0000:99:00.0"}) {
    DpdkPortOptions options;
    options.device = device;
    options.local = endpoint_a;
    options.packets = 512;
    const auto port = DpdkPort::open(options);
    ASSERT_FALSE(port) << device;
    EXPECT_NE(port.error().text.find(device), std::string::npos);
    EXPECT_EQ(port.error().text.find('\n'), std::string::npos) << port.error().text;
  }
}

}  // namespace
}  // namespace synod::dataplane
