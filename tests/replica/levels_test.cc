// Acknowledgement levels through nodes and sessions (rule 10): who is answered when, and what a failover takes.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "tests/replica/clients.h"
#include "wire/packet.h"

namespace synod::replica::test {
namespace {

using client::EndReason;
using client::Outcome;
using wire::AckLevel;

class Levels : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(world_.run_until([&] { return world_.cluster.leader().has_value() && world_.cluster.has_settled(); }));
    world_.append_and_wait(client_, "opens the session");
    leader_ = world_.cluster.leader().value();
    world_.cluster.network.on_sent = [this](dataplane::Endpoint, dataplane::Endpoint, Bytes packet) {
      const auto view = wire::decode_packet(packet);
      if (!view) return;
      if (view->header.type == wire::MessageType::received) ++receipts_;
      if (view->header.type == wire::MessageType::appended) answers_.push_back(load<wire::Appended>(view->payload));
    };
  }
  // From `from` to everybody else but clients.
  void cut_off(std::size_t from) {
    for (std::size_t to = 0; to < world_.cluster.size(); ++to) {
      if (to != from) world_.cluster.network.cut(Cluster::endpoint_of(from), Cluster::endpoint_of(to));
    }
  }
  void isolate(std::size_t place) {
    cut_off(place);
    for (std::size_t to = 0; to < world_.cluster.size(); ++to) {
      if (to != place) world_.cluster.network.cut(Cluster::endpoint_of(to), Cluster::endpoint_of(place));
    }
  }
  void slow_disks(std::uint64_t latency_us) {
    for (std::size_t place = 0; place < world_.cluster.size(); ++place) {
      world_.cluster.disk(place).conduct = {.latency_us_min = latency_us, .latency_us_max = latency_us};
    }
  }
  // Of all journals.
  [[nodiscard]] std::uint64_t writes() {
    std::uint64_t sum = 0;
    for (std::size_t place = 0; place < world_.cluster.size(); ++place) {
      sum += world_.cluster.node(place).journal().counters().blocks_written;
    }
    return sum;
  }
  [[nodiscard]] bool all_is_committed() { return world_.cluster.node(leader_).log().tail() == Lsn(client_.appends().size()); }

  [[nodiscard]] std::size_t follower() const { return (leader_ + 1) % world_.cluster.size(); }

  World world_{{.seed = 1}};
  Client& client_ = world_.add_client();
  std::size_t leader_ = 0;
  std::size_t receipts_ = 0;
  std::vector<wire::Appended> answers_;
};

TEST_F(Levels, everyone_is_answered_and_committed_and_the_provisional_place_is_the_final_one) {
  for (const AckLevel level : {AckLevel::memory, AckLevel::leader, AckLevel::one, AckLevel::quorum, AckLevel::all}) {
    ASSERT_TRUE(client_.append(wire::name(level), level));
    ASSERT_TRUE(world_.run_until([&] { return client_.is_idle(); })) << wire::name(level);
    EXPECT_TRUE(wire::satisfies(client_.appends().back().met, level)) << wire::name(level);
  }
  const std::vector<std::string> log = world_.read_all(client_);
  ASSERT_EQ(log.size(), 6U);
  for (const Appended& append : client_.appends()) EXPECT_EQ(log[append.lsn.value()], append.payload);
}

TEST_F(Levels, nobody_says_received_unless_a_level_needs_it) {
  for (const AckLevel level : {AckLevel::quorum, AckLevel::leader, AckLevel::all}) {
    ASSERT_TRUE(client_.append("x", level));
    ASSERT_TRUE(world_.run_until([&] { return client_.is_idle(); }));
  }
  EXPECT_EQ(receipts_, 0U);
  ASSERT_TRUE(client_.append("memory", AckLevel::memory));
  ASSERT_TRUE(world_.run_until([&] { return client_.is_idle(); }));
  EXPECT_GT(receipts_, 0U);
}

TEST_F(Levels, what_waits_for_memory_alone_shares_writes_and_is_committed_all_the_same) {
  constexpr unsigned count = 60;
  slow_disks(20);
  const std::uint64_t before = writes();
  for (unsigned i = 0; i < count; ++i) {
    ASSERT_TRUE(client_.append("memory", AckLevel::memory));
    ASSERT_TRUE(world_.run_until([&] { return client_.is_idle(); }, 20'000));
    EXPECT_EQ(client_.appends().back().met, AckLevel::memory);
  }
  ASSERT_TRUE(world_.run_until([&] { return all_is_committed(); }));
  EXPECT_LE(writes() - before, world_.cluster.size() * count / 2);
}

TEST_F(Levels, what_waits_for_memory_alone_is_written_before_a_process_ends) {
  const std::uint64_t before = writes();
  ASSERT_TRUE(client_.append("memory", AckLevel::memory));
  ASSERT_TRUE(world_.run_until([&] { return client_.is_idle(); }));
  ASSERT_EQ(writes(), before) << "its write waits for more";
  for (std::size_t place = 0; place < world_.cluster.size(); ++place) world_.cluster.stop(place);
  for (std::size_t place = 0; place < world_.cluster.size(); ++place) world_.cluster.start(place);
  ASSERT_TRUE(world_.run_until([&] { return world_.cluster.leader().has_value() && world_.cluster.has_settled(); }));
  EXPECT_EQ(world_.read_all(client_), (std::vector<std::string>{"opens the session", "memory"}));
}

TEST_F(Levels, what_waits_for_a_disk_takes_along_at_once_what_does_not) {
  constexpr std::uint64_t latency_us = 10'000;
  slow_disks(latency_us);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(client_.append("memory", AckLevel::memory));
    ASSERT_TRUE(world_.run_until([&] { return client_.is_idle(); }, latency_us));
  }
  const std::uint64_t begin_us = world_.cluster.network.now_us;
  ASSERT_TRUE(client_.append("quorum"));
  ASSERT_TRUE(world_.run_until([&] { return client_.is_idle(); }));
  EXPECT_LT(world_.cluster.network.now_us - begin_us, 3 * latency_us / 2) << "its write waits for none that is under way";
  EXPECT_TRUE(all_is_committed());
}

TEST_F(Levels, an_early_answer_comes_before_the_commit_and_a_final_one_behind_it_waits) {
  cut_off(leader_);
  const Slot before = world_.cluster.node(leader_).engine().commit();
  ASSERT_TRUE(client_.append("early", AckLevel::leader));
  ASSERT_TRUE(world_.run_until([&] { return client_.is_idle(); }, 10'000));
  EXPECT_EQ(client_.appends().back().met, AckLevel::leader);
  EXPECT_EQ(world_.cluster.node(leader_).engine().commit(), before);
  ASSERT_TRUE(client_.append("final", AckLevel::quorum));
  ASSERT_TRUE(client_.append("early, behind it", AckLevel::leader));
  world_.run_for(5'000);
  EXPECT_FALSE(client_.appends()[2].outcome.has_value());
  EXPECT_FALSE(client_.appends()[3].outcome.has_value()) << "completions are in order";
  world_.cluster.network.heal();
  ASSERT_TRUE(world_.run_until([&] { return client_.is_idle(); }));
  const std::vector<std::string> log = world_.read_all(client_);
  EXPECT_EQ(log, (std::vector<std::string>{"opens the session", "early", "final", "early, behind it"}));
}

TEST_F(Levels, early_answers_come_in_the_order_of_the_log) {
  for (int i = 0; i < 40; ++i) {
    const auto level = std::array{AckLevel::memory, AckLevel::leader, AckLevel::one}[static_cast<std::size_t>(i) % 3];
    ASSERT_TRUE(client_.append(std::to_string(i), level));
    if (i % 5 == 0) world_.step();
  }
  ASSERT_TRUE(world_.run_until([&] { return client_.is_idle(); }));
  for (const AckLevel level : {AckLevel::memory, AckLevel::leader, AckLevel::one}) {
    Sequence last;
    for (const wire::Appended& answer : answers_) {
      if (answer.ack != level) continue;
      EXPECT_GT(answer.first, last) << wire::name(level);
      last = answer.first + (answer.count - 1);
    }
  }
}

TEST_F(Levels, an_early_answer_that_a_failover_loses_ends_the_session) {
  isolate(leader_);
  ASSERT_TRUE(client_.append("will be lost", AckLevel::leader));
  ASSERT_TRUE(world_.run_until([&] { return client_.is_idle(); }, 10'000));
  EXPECT_EQ(client_.appends().back().met, AckLevel::leader);
  ASSERT_TRUE(world_.run_until([&] {
    const auto leads = world_.cluster.leader();
    return leads && *leads != leader_;
  }));
  world_.cluster.stop(leader_);
  world_.cluster.network.heal();
  ASSERT_TRUE(client_.append("behind the hole", AckLevel::quorum));
  ASSERT_TRUE(world_.run_until([&] { return client_.is_idle(); }));
  EXPECT_EQ(client_.last_end(), EndReason::lost);
  EXPECT_EQ(client_.appends().back().outcome, Outcome::unknown);
  world_.append_and_wait(client_, "of the next session");
  world_.cluster.start(leader_);
  ASSERT_TRUE(world_.run_until([&] { return world_.cluster.has_settled(); }));
  EXPECT_EQ(world_.read_all(client_), (std::vector<std::string>{"opens the session", "of the next session"}));
  world_.cluster.expect_equal_logs();
}

TEST_F(Levels, all_waits_for_a_member_that_is_down_and_hears_when_it_has_caught_up) {
  world_.cluster.stop(follower());
  ASSERT_TRUE(client_.append("everywhere", AckLevel::all));
  world_.run_for(100'000);
  EXPECT_FALSE(client_.is_idle());
  const bool is_committed = std::ranges::any_of(answers_, [](const auto& answer) { return answer.ack == AckLevel::quorum; });
  EXPECT_TRUE(is_committed) << "the others have committed it, and said so";
  world_.cluster.start(follower());
  ASSERT_TRUE(world_.run_until([&] { return client_.is_idle(); }));
  EXPECT_EQ(client_.appends().back().met, AckLevel::all);
  const Slot slot = world_.cluster.node(leader_).engine().commit();
  EXPECT_GE(world_.cluster.node(follower()).status().durable, slot);
}

TEST_F(Levels, all_goes_on_under_the_next_leader) {
  world_.cluster.stop(follower());
  ASSERT_TRUE(client_.append("everywhere", AckLevel::all));
  world_.run_for(20'000);
  world_.cluster.start(follower());
  world_.cluster.stop(leader_);
  world_.run_for(100'000);
  EXPECT_FALSE(client_.is_idle());
  world_.cluster.start(leader_);
  ASSERT_TRUE(world_.run_until([&] { return client_.is_idle(); }));
  EXPECT_EQ(client_.appends().back().met, AckLevel::all);
}

TEST_F(Levels, all_ends_at_the_deadline_if_a_member_stays_down) {
  Client& impatient = world_.add_client(60'000);
  world_.append_and_wait(impatient, "opens a session");
  world_.cluster.stop(follower());
  ASSERT_TRUE(impatient.append("nearly everywhere", AckLevel::all));
  ASSERT_TRUE(world_.run_until([&] { return impatient.is_idle(); }));
  EXPECT_EQ(impatient.appends().back().outcome, Outcome::unknown);
  EXPECT_EQ(impatient.last_end(), EndReason::deadline);
}

// What a slow disk makes durable at once is said in many turns: else all that comes meanwhile would wait for it.
TEST(Turns, are_short_also_where_many_slots_become_durable_at_once) {
  constexpr std::size_t votes_wanted = 300;
  constexpr std::size_t votes_max = 50;  // what Node::drain stops at, and what its last call of the engine may put on top
  World world({.window_slots = 256, .block_bytes_target = 64U << 10, .writes_in_flight = 1});
  Client& client = world.add_client();
  ASSERT_TRUE(world.run_until([&] { return world.cluster.leader().has_value() && world.cluster.has_settled(); }));
  world.append_and_wait(client, "opens the session");
  const std::size_t follower = (*world.cluster.leader() + 1) % world.cluster.size();
  for (std::size_t place = 0; place < world.cluster.size(); ++place) {
    world.cluster.disk(place).conduct = {.latency_us_min = 20'000, .latency_us_max = 20'000};
  }
  const auto writes = [&] { return world.cluster.node(follower).journal().counters().blocks_written; };
  const std::uint64_t writes_before = writes();
  std::vector<std::size_t> votes;  // of the follower, turn by turn
  world.cluster.network.on_sent = [&](dataplane::Endpoint from, dataplane::Endpoint, Bytes packet) {
    const auto view = wire::decode_packet(packet);
    const bool is_vote = view && view->header.type == wire::MessageType::accepted;
    if (is_vote && from == Cluster::endpoint_of(follower)) ++votes.back();
  };
  const auto total = [&] { return std::accumulate(votes.begin(), votes.end(), std::size_t{0}); };
  for (votes.push_back(0); total() < votes_wanted && votes.size() < 5'000; votes.push_back(0)) {
    (void)client.append("memory", AckLevel::memory);
    world.step();
  }
  ASSERT_GE(total(), votes_wanted);
  EXPECT_GT(total() / (writes() - writes_before), votes_max) << "many became durable at once, or this shows nothing";
  EXPECT_LE(std::ranges::max(votes), votes_max);
}

}  // namespace
}  // namespace synod::replica::test
