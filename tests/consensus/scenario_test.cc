// One fault each, in a whole cluster.
#include <gtest/gtest.h>

#include <map>
#include <tuple>

#include "tests/consensus/cluster.h"

namespace synod::consensus::testing {
namespace {

constexpr std::uint64_t second_us = 1'000'000;

// A cluster with a leader and open sessions.
class ClusterScenario : public ::testing::Test {
 protected:
  static void lead(Cluster& cluster) {
    ASSERT_TRUE(cluster.run_until(3 * second_us, [&] { return cluster.leader() && cluster.oracle().chosen_slots() > 0; }));
    cluster.run_for(100'000);
    ASSERT_EQ(cluster.failure(), "");
  }
  // Everything that the clients want is appended, and all members hold the same log.
  static void finish(Cluster& cluster, std::uint64_t us = 5 * second_us) {
    EXPECT_TRUE(cluster.run_until(us, [&] { return cluster.clients_done() && cluster.has_converged(); })) << cluster.failure();
    EXPECT_EQ(cluster.failure(), "");
  }
  [[nodiscard]] static std::size_t other(std::size_t member, std::size_t count) { return (member + count) % 3; }
};

TEST_F(ClusterScenario, FirstElectionNeedsTheUuidsOfAllMembers) {
  Cluster cluster({});
  cluster.crash(2);
  cluster.run_for(3 * second_us);
  EXPECT_FALSE(cluster.leader().has_value());
  EXPECT_FALSE(cluster.engine(0).may_vote());
  cluster.start(2);
  EXPECT_TRUE(cluster.run_until(second_us, [&] { return cluster.leader().has_value(); }));
}

TEST_F(ClusterScenario, OneReplicaIsAClusterOfItsOwn) {
  Cluster cluster({.members = 1});
  cluster.want(100);
  finish(cluster);
  cluster.crash(0);
  cluster.start(0);
  cluster.want(100);
  finish(cluster);
}

TEST_F(ClusterScenario, AfterTheLeaderCrashesTheNextCommitsWithinASecond) {
  Cluster cluster({});
  lead(cluster);
  cluster.crash(*cluster.leader());
  cluster.want(1);
  EXPECT_TRUE(cluster.run_until(second_us, [&] { return cluster.clients_done(); })) << cluster.failure();
}

TEST_F(ClusterScenario, AHalfAcceptedValueIsProposedAgainByTheNextLeader) {
  Cluster cluster({});
  lead(cluster);
  const std::size_t leader = *cluster.leader();
  const std::size_t holder = other(leader, 1);
  const Slot slot = cluster.engine(leader).next_slot();
  // Only the holder gets the value, nobody learns that it voted, and the leader dies for good.
  cluster.filter = [&](std::size_t from, std::size_t to, const wire::PeerMessage& message) {
    if (from == leader && std::holds_alternative<wire::Accept>(message.payload)) return to == holder;
    return to != leader || !std::holds_alternative<wire::Accepted>(message.payload);
  };
  cluster.want(1);
  ASSERT_TRUE(cluster.run_until(second_us, [&] { return cluster.engine(holder).open_slot(slot) != nullptr; }));
  const Checksum checksum = cluster.engine(holder).open_slot(slot)->value.checksum;
  cluster.crash(leader);
  cluster.filter = nullptr;
  finish(cluster);
  const Member& third = cluster.member(other(leader, 2));
  EXPECT_EQ(third.disk[third.newest.at(slot)].record.value.checksum, checksum);
}

TEST_F(ClusterScenario, AHoleIsFilledWithANoOpAndTheValueBehindItIsVoid) {
  Cluster cluster({});
  lead(cluster);
  const std::size_t leader = *cluster.leader();
  const Slot hole = cluster.engine(leader).next_slot();
  cluster.stop_clients();
  cluster.filter = [&](std::size_t from, std::size_t to, const wire::PeerMessage& message) {
    const auto* accept = std::get_if<wire::Accept>(&message.payload);
    if (from == leader && accept != nullptr) return accept->record.header.slot != hole;
    return to != leader || !std::holds_alternative<wire::Accepted>(message.payload);
  };
  cluster.want(1'000);
  for (int i = 0; i < 50 && cluster.engine(leader).next_slot() < hole + 3; ++i) cluster.propose(leader);
  const std::size_t next = other(leader, 1);
  ASSERT_TRUE(cluster.run_until(second_us, [&] { return cluster.engine(next).open_slot(hole + 1) != nullptr; }));
  cluster.run_for(10'000);
  cluster.crash(leader);
  cluster.filter = nullptr;
  ASSERT_TRUE(cluster.run_until(3 * second_us, [&] { return cluster.engine(next).commit() > hole; })) << cluster.failure();
  const Member& member = cluster.member(next);
  EXPECT_EQ(member.disk[member.newest.at(hole)].record.value.body_bytes, 0U);
  EXPECT_NE(member.disk[member.newest.at(hole + 1)].record.value.body_bytes, 0U);
  EXPECT_GT(cluster.void_slots(), 0U);
}

TEST_F(ClusterScenario, ARestartedReplicaCatchesUpFromAPeersJournal) {
  Cluster cluster({.window_slots = 4});
  lead(cluster);
  const std::size_t late = other(*cluster.leader(), 1);
  cluster.crash(late);
  cluster.want(300);
  ASSERT_TRUE(cluster.run_until(5 * second_us, [&] { return cluster.clients_done(); }));
  const std::uint64_t elections = cluster.elections();
  cluster.start(late);
  finish(cluster);
  EXPECT_EQ(cluster.elections(), elections);
}

TEST_F(ClusterScenario, ADeafReplicaAloneRaisesNoBallot) {
  Cluster cluster({});
  lead(cluster);
  const std::size_t leader = *cluster.leader();
  const std::uint64_t elections = cluster.elections();
  for (std::size_t peer = 0; peer < 3; ++peer) cluster.cut(peer, other(leader, 1));
  cluster.run_for(5 * second_us);
  cluster.heal_links();
  cluster.want(10);
  finish(cluster);
  EXPECT_EQ(cluster.elections(), elections);
}

TEST_F(ClusterScenario, ALeaderWithAStalledDiskHandsOver) {
  Cluster cluster({});
  lead(cluster);
  const std::size_t leader = *cluster.leader();
  cluster.stall_disk(leader);
  cluster.want(50);
  EXPECT_TRUE(cluster.run_until(5 * second_us, [&] { return cluster.clients_done() && cluster.leader() != leader; }));
  cluster.resume_disk(leader);
  finish(cluster);
}

TEST_F(ClusterScenario, ALeaderCutOffFromItsQuorumStepsDown) {
  Cluster cluster({});
  lead(cluster);
  const std::size_t leader = *cluster.leader();
  cluster.cut_off(leader);
  cluster.run_for(second_us / 2);
  EXPECT_FALSE(cluster.engine(leader).is_leader());
  cluster.heal_links();
  cluster.want(10);
  finish(cluster);
}

TEST_F(ClusterScenario, ADiskThatWasFormattedAgainNeverVotes) {
  Cluster cluster({});
  cluster.world.late_per_mille = 300;
  lead(cluster);
  cluster.crash(1);
  cluster.format_again(1);
  cluster.start(1);
  cluster.want(100);
  cluster.run_for(3 * second_us);
  EXPECT_FALSE(cluster.engine(1).may_vote());
  EXPECT_TRUE(cluster.member(1).disk.empty());
  finish(cluster);
}

TEST_F(ClusterScenario, NoBallotIsUsedByTwoIncarnations) {
  Cluster cluster({.seed = 7});
  std::map<Ballot, std::tuple<ReplicaId, std::uint64_t>> owners;
  bool is_shared = false;
  cluster.filter = [&](std::size_t, std::size_t, const wire::PeerMessage& message) {
    if (!std::holds_alternative<wire::Prepare>(message.payload)) return true;
    const std::tuple owner(message.from, message.incarnation.open_count);
    is_shared |= owners.try_emplace(message.ballot, owner).first->second != owner;
    return true;
  };
  cluster.want(1'000'000);
  for (int crash = 0; crash < 30; ++crash) {
    ASSERT_TRUE(cluster.run_until(5 * second_us, [&] { return cluster.leader().has_value(); }));
    const std::size_t leader = *cluster.leader();
    cluster.crash(leader);
    cluster.start(leader);
    cluster.run_for(cluster.prng().between(1'000, 300'000));
  }
  EXPECT_GT(owners.size(), 10U);
  EXPECT_FALSE(is_shared);
  EXPECT_EQ(cluster.failure(), "");
}

TEST_F(ClusterScenario, FlexibleQuorumCommitsWithTwoOfFour) {
  Cluster cluster({.members = 4, .phase1 = 3, .phase2 = 2});
  lead(cluster);
  const std::size_t leader = *cluster.leader();
  const std::size_t voter = (leader + 1) % 4;
  // Two followers live, but vote for nothing.
  cluster.filter = [&](std::size_t from, std::size_t, const wire::PeerMessage& message) {
    return from == leader || from == voter || !std::holds_alternative<wire::Accepted>(message.payload);
  };
  cluster.want(20);
  finish(cluster);
}

TEST_F(ClusterScenario, ProposersDoNotOutbidEachOtherForEver) {
  std::uint64_t most = 0;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Cluster cluster({.seed = seed, .members = static_cast<std::uint16_t>(seed % 2 == 0 ? 3 : 5)});
    cluster.world.delay_us_max = 20'000;
    cluster.world.disk_us_max = 10'000;
    lead(cluster);
    const std::uint64_t before = cluster.elections();
    // All of the others lose the leader at once.
    cluster.crash(*cluster.leader());
    const std::size_t chosen = cluster.oracle().chosen_slots();
    cluster.want(1);
    EXPECT_TRUE(cluster.run_until(5 * second_us, [&] { return cluster.oracle().chosen_slots() > chosen; })) << "seed " << seed;
    EXPECT_EQ(cluster.failure(), "") << "seed " << seed;
    most = std::max(most, cluster.elections() - before);
  }
  EXPECT_LE(most, 8U);
  RecordProperty("elections_until_progress_max", static_cast<int>(most));
}

}  // namespace
}  // namespace synod::consensus::testing
