// Full disks, and disks that are late: what still works, and what is said about the rest.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/replica/clients.h"
#include "tests/seed.h"

namespace synod::replica::test {
namespace {

class FullDisk : public ::testing::Test {
 protected:
  FullDisk()
      : world_({.seed = first_seed(), .capacity_bytes = 4U << 20, .segment_bytes = 2U << 20}),
        writer_(world_.add_client(200'000)),
        reader_(world_.add_client()) {}

  // Appends until the cluster takes no more.
  void fill(std::size_t bytes = 3000) {
    const auto is_full = [&] {
      while (writer_.append(fmt::format("entry {} ", entries_) + std::string(bytes, 'x'))) ++entries_;
      return writer_.refusal().has_value();
    };
    ASSERT_TRUE(world_.run_until(is_full, 60'000'000)) << "appends neither go on nor are refused";
    EXPECT_EQ(writer_.refusal(), wire::RefusalReason::no_space) << wire::name(*writer_.refusal());
    ASSERT_TRUE(world_.run_until([&] { return writer_.is_idle(); }));
  }
  void expect_all_there() {
    ASSERT_TRUE(world_.tail(reader_)) << "no tail";
    world_.expect_one_story(world_.read_all(reader_));
  }

  World world_;
  Client& writer_;
  Client& reader_;
  std::size_t entries_ = 0;
};

TEST_F(FullDisk, refuses_appends_with_no_space_and_is_read_as_before) {
  fill();
  EXPECT_GT(writer_.acknowledged(), Lsn(300));
  expect_all_there();
}

TEST_F(FullDisk, refuses_sessions_with_no_space) {
  fill();
  Client& another = world_.add_client(200'000);
  ASSERT_TRUE(another.append("too late"));
  ASSERT_TRUE(world_.run_until([&] { return another.is_idle(); }));
  EXPECT_EQ(another.appends().front().outcome, client::Outcome::not_appended);
  EXPECT_EQ(another.refusal(), wire::RefusalReason::no_space);
  expect_all_there();
}

// How else would its space come back.
TEST_F(FullDisk, takes_a_trim) {
  fill();
  client::Call& call = reader_.session().call();
  call.start_trim(reader_.session().next_request(), Lsn(200), world_.cluster.network.now_us, 5'000'000);
  ASSERT_TRUE(world_.run_until([&] { return !call.waiting(); }));
  ASSERT_EQ(call.state(), client::CallState::answered);
  EXPECT_EQ(call.trimmed_to(), Lsn(200));
}

TEST_F(FullDisk, elects_another_leader_and_is_read_from_it) {
  fill();
  for (int i = 0; i < 5; ++i) {
    const std::size_t leader = world_.cluster.leader().value();
    world_.cluster.stop(leader);
    ASSERT_TRUE(world_.run_until([&] { return world_.cluster.leader().has_value(); })) << "no leader";
    expect_all_there();
    world_.cluster.start(leader);
    world_.run_for(50'000);
  }
}

TEST_F(FullDisk, goes_on_after_all_disks_lose_power) {
  fill();
  for (int i = 0; i < 5; ++i) {
    for (std::size_t place = 0; place < 3; ++place) world_.cluster.cut_power(place);
    for (std::size_t place = 0; place < 3; ++place) world_.cluster.start(place);
    expect_all_there();
  }
}

// A leader that dies with open slots on full disks: its successor must still be able to finish them.
TEST_F(FullDisk, a_successor_finishes_what_a_dead_leader_had_in_flight) {
  for (int round = 0; round < 20; ++round) {
    World world(
        {.seed = first_seed() + static_cast<std::uint64_t>(round), .capacity_bytes = 4U << 20, .segment_bytes = 2U << 20});
    Client& writer = world.add_client(200'000);
    Client& reader = world.add_client();
    std::size_t entries = 0;
    const auto submit = [&] {
      while (writer.append(fmt::format("entry {} ", entries) + std::string(3000 + 200 * static_cast<std::size_t>(round), 'x')))
        ++entries;
    };
    // Until just before the end.
    const auto nearly_full = [&] {
      submit();
      const auto leader = world.cluster.leader();
      return writer.refusal().has_value() || (leader && !world.cluster.node(*leader).journal().has_space());
    };
    ASSERT_TRUE(world.run_until(nearly_full, 60'000'000));
    const std::size_t leader = world.cluster.leader().value();
    world.cluster.stop(leader);
    ASSERT_TRUE(world.tail(reader)) << "no leader that finished, round " << round;
    world.cluster.start(leader);
    ASSERT_TRUE(world.run_until([&] { return writer.is_idle(); }));
    world.expect_one_story(world.read_all(reader));
    if (HasFailure()) return;
  }
}

// Committed by the others' disks, and not yet on the leader's own: who reads there what was acknowledged a moment ago must get
// it.
TEST(LateDisk, a_read_right_behind_the_acknowledgement_is_answered_with_the_entry) {
  World world({.seed = first_seed()});
  Client& writer = world.add_client();
  Client& reader = world.add_client();
  world.append_and_wait(writer, "first");
  const std::size_t leader = world.cluster.leader().value();
  world.cluster.disk(leader).conduct = {.latency_us_min = 5'000, .latency_us_max = 10'000};
  for (int i = 0; i < 20; ++i) {
    world.append_and_wait(writer, fmt::format("entry {}", i));
    const Lsn last = writer.acknowledged() - 1;
    client::Call& call = reader.session().call();
    call.start_read(reader.session().next_request(), last, last + 1, 1000, world.cluster.peers()[leader],
                    world.cluster.network.now_us, 1'000'000);
    ASSERT_TRUE(world.run_until([&] { return !call.waiting(); }));
    ASSERT_EQ(call.state(), client::CallState::answered);
    ASSERT_EQ(call.read().count, 1U) << "nothing at LSN " << last.value() << ", with tail " << call.read().tail.value();
  }
}

// Found by the simulator (seeds 85 and 91) when trims no longer waited for everybody.
TEST(LateDisk, may_be_overtaken_by_a_trim) {
  World world({.seed = first_seed()});
  Client& writer = world.add_client();
  Client& reader = world.add_client();
  world.append_and_wait(writer, "first");
  ASSERT_TRUE(world.run_until([&] { return world.cluster.has_settled(); }));
  const std::size_t late = (world.cluster.leader().value() + 1) % 3;
  const Node& node = world.cluster.node(late);
  world.cluster.disk(late).conduct.stalled_until_us = UINT64_MAX;
  for (int i = 0; i < 3; ++i) world.append_and_wait(writer, fmt::format("entry {}", i));
  client::Call& call = reader.session().call();
  call.start_trim(reader.session().next_request(), Lsn(4), world.cluster.network.now_us, 5'000'000);
  ASSERT_TRUE(world.run_until([&] { return !call.waiting(); }));
  ASSERT_TRUE(world.run_until([&] { return node.log().trim() == Lsn(4); }));
  world.run_for(20'000);
  world.cluster.disk(late).conduct.stalled_until_us = 0;
  world.append_and_wait(writer, "last");
  ASSERT_TRUE(world.run_until([&] { return world.cluster.has_settled(); }));
  world.cluster.expect_equal_logs();
}

// Slower than a campaign may be: the first one waits for the disk, instead of ballot after ballot that fill the journal.
TEST(LateDisk, a_replica_alone_with_a_slow_disk_leads) {
  World world({.seed = first_seed(), .replicas = 1});
  world.cluster.disk(0).conduct = {.latency_us_min = 3 * short_timeouts.campaign_us,
                                   .latency_us_max = 4 * short_timeouts.campaign_us};
  Client& writer = world.add_client();
  world.append_and_wait(writer, "first");
  EXPECT_EQ(world.cluster.node(0).engine().counters().elections, 1U);
}

TEST(LateDisk, replicas_that_all_have_slow_disks_elect_a_leader) {
  World world({.seed = first_seed()});
  for (std::size_t place = 0; place < 3; ++place) {
    world.cluster.disk(place).conduct = {.latency_us_min = 3 * short_timeouts.campaign_us,
                                         .latency_us_max = 4 * short_timeouts.campaign_us};
  }
  Client& writer = world.add_client();
  world.append_and_wait(writer, "first");
  std::uint64_t ballots = 0;
  for (std::size_t place = 0; place < 3; ++place) ballots += world.cluster.node(place).engine().counters().elections;
  EXPECT_LT(ballots, 100U);
}

// No error, and no completion either.
TEST(LateDisk, a_leader_whose_disk_completes_nothing_steps_down_and_follows_when_it_does_again) {
  World world({.seed = first_seed()});
  Client& writer = world.add_client();
  Client& reader = world.add_client();
  world.append_and_wait(writer, "first");
  const std::size_t stalled = world.cluster.leader().value();
  const Node& node = world.cluster.node(stalled);
  world.cluster.disk(stalled).conduct.stalled_until_us = UINT64_MAX;
  ASSERT_TRUE(writer.append("in front of the stall"));
  // One heartbeat for the append to arrive, and what a tick may be late.
  ASSERT_TRUE(
      world.run_until([&] { return !node.engine().is_leader(); }, short_timeouts.stall_us + short_timeouts.heartbeat_us + 1'000));
  EXPECT_EQ(node.status().stalled, 1U);
  EXPECT_EQ(node.status().journal_failed_errno, 0U);
  for (int i = 0; i < 50; ++i) world.append_and_wait(writer, fmt::format("behind it {}", i));
  EXPECT_NE(world.cluster.leader(), stalled);
  EXPECT_FALSE(node.engine().is_leader());
  world.cluster.disk(stalled).conduct.stalled_until_us = 0;
  ASSERT_TRUE(world.run_until([&] { return world.cluster.has_settled(); })) << "it does not catch up";
  EXPECT_EQ(node.status().stalled, 0U);
  world.cluster.expect_equal_logs();
  world.expect_one_story(world.read_all(reader));
}

TEST(FailedDisk, a_replica_votes_no_more_at_once_and_the_others_go_on) {
  World world({.seed = first_seed()});
  Client& writer = world.add_client();
  Client& reader = world.add_client();
  world.append_and_wait(writer, "first");
  const std::size_t failed = world.cluster.leader().value();
  const Node& node = world.cluster.node(failed);
  world.cluster.disk(failed).conduct.next_write_fails = true;
  ASSERT_TRUE(writer.append("the one that fails there"));
  ASSERT_TRUE(world.run_until([&] { return node.status().journal_failed_errno != 0; }));
  EXPECT_FALSE(node.engine().is_leader());
  EXPECT_EQ(node.status().votes, 0U);
  EXPECT_EQ(node.status().journal_failed_errno, static_cast<std::uint32_t>(EIO));
  for (int i = 0; i < 50; ++i) world.append_and_wait(writer, fmt::format("behind it {}", i));
  EXPECT_EQ(node.status().votes, 0U);
  world.expect_one_story(world.read_all(reader));
}

}  // namespace
}  // namespace synod::replica::test
