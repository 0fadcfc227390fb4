// What a replica tells its operator, a line each.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/replica/clients.h"

namespace synod::replica::test {
namespace {

class Says : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(world_.run_until([&] { return cluster_.leader().has_value() && cluster_.has_settled(); }));
    leader_ = cluster_.leader().value();
  }
  // How many lines contain this.
  [[nodiscard]] std::ptrdiff_t said(const std::string& text) const {
    return std::ranges::count_if(cluster_.said, [&](const std::string& line) { return line.find(text) != std::string::npos; });
  }

  World world_{{.seed = 1}};
  Cluster& cluster_ = world_.cluster;
  std::size_t leader_ = 0;
};

TEST_F(Says, nothing_while_all_is_well) {
  world_.append_and_wait(world_.add_client(), "an entry");
  EXPECT_TRUE(cluster_.said.empty()) << cluster_.said.front();
}

TEST_F(Says, who_leads_when_that_changes_once_for_each_replica) {
  cluster_.stop(leader_);
  ASSERT_TRUE(world_.run_until([&] { return cluster_.leader().has_value(); }));
  const std::size_t leads = cluster_.leader().value();
  world_.run_for(100'000);
  const auto number = [](std::size_t place) { return std::to_string(place + 1); };
  EXPECT_EQ(said("replica " + number(leads) + " leads with ballot ("), 2);
  EXPECT_EQ(said("before it, replica " + number(leader_) + " did"), 2);
  EXPECT_EQ(cluster_.said.size(), 2U);
}

TEST_F(Says, that_it_was_away_for_as_long_as_others_wait_for_a_leader) {
  const std::uint64_t pause_us = short_timeouts.election_us_min + 1'000;
  cluster_.network.now_us += pause_us;
  cluster_.poll();
  EXPECT_EQ(said("was away for " + std::to_string(pause_us / 1000) + " ms"), 3);
  EXPECT_EQ(said("was away"), 3);
}

}  // namespace
}  // namespace synod::replica::test
