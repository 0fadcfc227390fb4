// Flow control: many clients at once, a follower that is slow, a client that does not listen. None of them slows the others.
#include <gtest/gtest.h>

#include "replica/credits.h"
#include "tests/replica/clients.h"

namespace synod::replica::test {
namespace {

constexpr std::uint64_t interval_us = Credits::interval_us;

TEST(Credits, are_equal_shares_of_what_can_wait_at_a_port) {
  Credits credits;
  EXPECT_EQ(credits.share(0, 512), 384U) << "of the first client, before anybody came";
  for (std::uint16_t place = 0; place < 64; ++place) {
    for (int i = 0; i < 3; ++i) credits.note(place, 0, 1'000);
    EXPECT_EQ(credits.share(0, 512), 384U / (place + 1));
  }
  EXPECT_EQ(credits.share(1, 512), 384U) << "nobody is there";
  EXPECT_EQ(credits.share(0, 100), Credits::packets_least) << "with less nothing is in flight while an answer is";
}

TEST(Credits, go_to_who_has_come_lately) {
  Credits credits;
  for (std::uint16_t place = 0; place < 8; ++place) credits.note(place, 0, interval_us / 2);
  credits.note(0, 0, interval_us);
  EXPECT_EQ(credits.share(0, 800), 75U) << "the others have been here in the interval before";
  credits.note(0, 0, 2 * interval_us);
  EXPECT_EQ(credits.share(0, 800), 600U);
  credits.note(1, 0, 2 * interval_us);
  EXPECT_EQ(credits.share(0, 800), 300U);
  credits.note(1, 0, 9 * interval_us);
  EXPECT_EQ(credits.share(0, 800), 600U) << "after a silence";
}

class Flow : public ::testing::Test {
 protected:
  explicit Flow(std::size_t waiting_max = 4096) : world_({.capacity_bytes = 64U << 20, .waiting_max = waiting_max}) {
    world_.cluster.network.faults = {};  // packets of one sender stay in order
    world_.run_until([&] { return world_.cluster.leader().has_value(); });
  }

  void append(Client& client, int entries) {
    for (int i = 0; i < entries; ++i) {
      std::string entry = "entry " + std::to_string(appended_++) + " ";
      entry.resize(1'200, '.');  // a packet each
      ASSERT_TRUE(world_.run_until([&] { return client.append(entry); }));
    }
  }
  // Until all appends of a client are answered, in virtual time.
  [[nodiscard]] std::uint64_t time_us(Client& client, int entries) {
    const std::uint64_t begun_us = world_.cluster.network.now_us;
    append(client, entries);
    EXPECT_TRUE(world_.run_until([&] { return client.is_idle(); }));
    return world_.cluster.network.now_us - begun_us;
  }
  [[nodiscard]] std::size_t leader() const { return *world_.cluster.leader(); }

  World world_;
  int appended_ = 0;
};

class Incast : public Flow {
 protected:
  Incast() : Flow(256) {}
};

TEST_F(Incast, of_sixty_four_clients_does_not_overrun_a_port) {
  std::vector<Client*> clients;
  for (int i = 0; i < 64; ++i) clients.push_back(&world_.add_client());
  for (Client* client : clients) append(*client, 60);  // they fit into its window
  ASSERT_TRUE(world_.run_until([&] { return std::ranges::all_of(clients, &Client::is_idle); }, 60'000'000));
  std::uint64_t sent = 0;
  std::uint64_t resent = 0;
  for (Client* client : clients) {
    sent += client->session().counters().messages_sent;
    resent += client->session().counters().messages_resent;
  }
  EXPECT_LT(resent, sent / 100) << "without credits every fifth packet is sent again";
  world_.expect_one_story(world_.read_all(world_.add_client()));
}

TEST_F(Flow, a_slow_follower_slows_nobody) {
  Client& client = world_.add_client();
  (void)time_us(client, 100);
  const std::uint64_t before_us = time_us(client, 500);
  const std::size_t slow = (leader() + 1) % 3;
  const auto leading = Cluster::endpoint_of(leader());
  world_.cluster.network.clog(leading, Cluster::endpoint_of(slow), 9'000);
  EXPECT_LT(time_us(client, 500), before_us * 5 / 4);
  world_.cluster.network.cut(leading, Cluster::endpoint_of(slow));
  EXPECT_LT(time_us(client, 500), before_us * 5 / 4) << "nor does one that hears nothing at all";
  world_.cluster.network.heal();
  EXPECT_TRUE(world_.run_until([&] { return world_.cluster.has_settled(); }));
  world_.cluster.expect_equal_logs();
}

TEST_F(Flow, a_client_that_does_not_listen_slows_nobody) {
  Client& client = world_.add_client();
  (void)time_us(client, 100);
  const std::uint64_t alone_us = time_us(client, 500);
  Client& deaf = world_.add_client();
  append(deaf, 1);
  ASSERT_TRUE(world_.run_until([&] { return deaf.is_idle(); }));
  world_.cluster.network.cut(Cluster::endpoint_of(leader()), sim::client_endpoint(1));
  append(deaf, 64);  // and all of them again and again
  EXPECT_LT(time_us(client, 500), alone_us * 2) << "half of the leader is the other client's";
  world_.cluster.network.heal();
  EXPECT_TRUE(world_.run_until([&] { return deaf.is_idle(); }));
  world_.expect_one_story(world_.read_all(client));
}

}  // namespace
}  // namespace synod::replica::test
