// One engine against hand-made peers: what it may say, and when.
#include <gtest/gtest.h>

#include "tests/consensus/driver.h"

namespace synod::consensus::testing {
namespace {

constexpr Ballot ballot_of_2 = ballot_of(5, 2);
constexpr Ballot ballot_of_3 = ballot_of(6, 3);

wire::PeerPayload accept(std::uint64_t slot, Ballot ballot, std::uint32_t checksum) {
  return wire::Accept{record(slot, ballot, checksum)};
}

TEST(Promise, IsHeldUntilItsRecordIsDurable) {
  Driver driver;
  driver.hear(2, ballot_of_2, wire::Prepare{});
  ASSERT_EQ(driver.persists.size(), 1U);
  EXPECT_EQ(driver.count<wire::Promise>(), 0U);
  driver.make_durable();
  EXPECT_EQ(driver.count<wire::Promise>(), 1U);
}

TEST(Promise, ReportsAnAcceptThatWasStagedBeforeItAndIsNotYetDurable) {
  Driver driver;
  driver.hear(2, ballot_of_2, accept(3, ballot_of_2, 33));
  driver.hear(3, ballot_of_3, wire::Prepare{});
  driver.make_durable(1);
  EXPECT_EQ(driver.count<wire::Promise>(), 0U);
  driver.make_durable();
  const auto sent = driver.sent<wire::Promise>();
  ASSERT_EQ(sent.size(), 1U);
  const auto& promise = std::get<wire::Promise>(sent[0].payload);
  ASSERT_EQ(promise.slots.size(), 1U);
  EXPECT_EQ(promise.slots[0].slot, Slot(3));
  EXPECT_EQ(promise.slots[0].ballot, ballot_of_2);
  EXPECT_EQ(promise.slots[0].checksum, Checksum(33));
}

TEST(Promise, OvertakenWhileHeldIsRefusedInstead) {
  Driver driver;
  driver.hear(2, ballot_of_2, wire::Prepare{});
  driver.hear(3, ballot_of_3, wire::Prepare{});
  driver.make_durable();
  const auto promises = driver.sent<wire::Promise>();
  ASSERT_EQ(promises.size(), 1U);
  EXPECT_EQ(promises[0].to, ReplicaId(3));
  const auto nacks = driver.sent<wire::Nack>();
  ASSERT_EQ(nacks.size(), 1U);
  EXPECT_EQ(nacks[0].to, ReplicaId(2));
  EXPECT_EQ(nacks[0].ballot, ballot_of_3);
}

TEST(Promise, IsRepeatedForARepeatedPrepareOnceDurable) {
  Driver driver;
  driver.hear(2, ballot_of_2, wire::Prepare{});
  driver.hear(2, ballot_of_2, wire::Prepare{});
  EXPECT_EQ(driver.count<wire::Promise>(), 0U);
  driver.make_durable();
  driver.hear(2, ballot_of_2, wire::Prepare{});
  EXPECT_EQ(driver.count<wire::Promise>(), 2U);
  EXPECT_EQ(driver.persists.size(), 1U);
}

TEST(Prepare, DoesNotLeaveBeforeTheCandidatesOwnPromiseIsDurable) {
  Driver driver;
  driver.campaign();
  driver.pass(30'000);
  EXPECT_EQ(driver.count<wire::Prepare>(), 0U);
  driver.make_durable();
  EXPECT_EQ(driver.count<wire::Prepare>(), 2U);
}

TEST(Prepare, BelowThePromisedBallotIsRefusedWithIt) {
  Driver driver({.promised = ballot_of(9, 3)});
  driver.hear(2, ballot_of_2, wire::Prepare{});
  ASSERT_EQ(driver.count<wire::Nack>(), 1U);
  EXPECT_EQ(driver.sent<wire::Nack>()[0].ballot, ballot_of(9, 3));
  EXPECT_TRUE(driver.persists.empty());
}

TEST(Ballot, AfterARestartIsHigherThanEveryOneBefore) {
  Driver driver({.promised = ballot_of(7, 1), .open_count = 2});
  driver.campaign();
  EXPECT_EQ(driver.engine().promised(), ballot_of(8, 1));
}

TEST(Vote, IsHeldUntilItsRecordIsDurable) {
  Driver driver;
  driver.hear(2, ballot_of_2, accept(1, ballot_of_2, 11));
  EXPECT_EQ(driver.count<wire::Accepted>(), 0U);
  driver.make_durable();
  ASSERT_EQ(driver.count<wire::Accepted>(), 1U);
  EXPECT_EQ(std::get<wire::Accepted>(driver.sent<wire::Accepted>()[0].payload).checksum, Checksum(11));
}

TEST(Vote, ForADuplicateAcceptIsAnsweredOnlyWhenDurable) {
  Driver driver;
  driver.hear(2, ballot_of_2, accept(1, ballot_of_2, 11));
  driver.hear(2, ballot_of_2, accept(1, ballot_of_2, 11));
  EXPECT_EQ(driver.count<wire::Accepted>(), 0U);
  driver.make_durable();
  EXPECT_EQ(driver.count<wire::Accepted>(), 1U);
  driver.hear(2, ballot_of_2, accept(1, ballot_of_2, 11));
  EXPECT_EQ(driver.count<wire::Accepted>(), 2U);
  EXPECT_EQ(driver.persists.size(), 1U);
}

TEST(Vote, ForAnotherValueInTheSameBallotIsRefusedAndCounted) {
  Driver driver;
  driver.hear(2, ballot_of_2, accept(1, ballot_of_2, 11));
  driver.hear(2, ballot_of_2, accept(1, ballot_of_2, 12));
  driver.make_durable();
  EXPECT_EQ(driver.engine().counters().conflicting_values, 1U);
  ASSERT_EQ(driver.count<wire::Accepted>(), 1U);
  EXPECT_EQ(std::get<wire::Accepted>(driver.sent<wire::Accepted>()[0].payload).checksum, Checksum(11));
}

TEST(Vote, BelowThePromisedBallotIsRefused) {
  Driver driver;
  driver.hear(3, ballot_of_3, wire::Prepare{});
  driver.hear(2, ballot_of_2, accept(1, ballot_of_2, 11));
  driver.make_durable();
  EXPECT_EQ(driver.count<wire::Accepted>(), 0U);
  EXPECT_EQ(driver.count<wire::Nack>(), 1U);
}

TEST(Vote, BeyondTheWindowIsNotCast) {
  Driver driver({.window_slots = 4});
  driver.hear(2, ballot_of_2, accept(5, ballot_of_2, 11));
  driver.hear(2, ballot_of_2, accept(4, ballot_of_2, 12));
  driver.make_durable();
  ASSERT_EQ(driver.count<wire::Accepted>(), 1U);
  EXPECT_EQ(std::get<wire::Accepted>(driver.sent<wire::Accepted>()[0].payload).slot, Slot(4));
}

TEST(Vote, IsNotCastAfterTheJournalFailed) {
  Driver driver;
  driver.stop_voting();
  driver.hear(2, ballot_of_2, accept(1, ballot_of_2, 11));
  driver.hear(2, ballot_of_2, wire::Prepare{});
  EXPECT_TRUE(driver.persists.empty());
}

TEST(Commit, WatermarkCommitsARecordOfItsOwnBallot) {
  Driver driver;
  driver.hear(2, ballot_of_2, accept(1, ballot_of_2, 11));
  driver.hear(2, ballot_of_2, wire::Heartbeat{}, Slot(1));
  EXPECT_EQ(driver.engine().commit(), Slot(1));
}

TEST(Commit, WatermarkDoesNotCommitARecordOfAnOlderBallot) {
  Driver driver;
  driver.hear(2, ballot_of_2, accept(1, ballot_of_2, 11));
  driver.make_durable();
  driver.hear(3, ballot_of_3, wire::Heartbeat{}, Slot(1));
  EXPECT_EQ(driver.engine().commit(), Slot(0));
  // It asks instead, and the answer decides.
  driver.pass(60'000);
  ASSERT_GE(driver.count<wire::CatchUp>(), 1U);
  EXPECT_EQ(driver.sent<wire::CatchUp>()[0].to, ReplicaId(3));
  driver.hear(3, ballot_of_3, wire::Chosen{record(1, ballot_of_3, 99)}, Slot(1));
  ASSERT_EQ(driver.commits.size(), 1U);
  EXPECT_EQ(driver.commits[0].value.checksum, Checksum(99));
}

TEST(Commit, NeedsAQuorumOfDurableVotes) {
  Driver driver;
  driver.lead();
  driver.propose(11);
  driver.hear(2, driver.engine().promised(), wire::Accepted{Slot(1), Checksum(11)});
  EXPECT_EQ(driver.engine().commit(), Slot(0));  // the leader's own record is not durable
  driver.make_durable();
  EXPECT_EQ(driver.engine().commit(), Slot(1));
}

TEST(Commit, NeedsNoDiskOfTheLeader) {
  Driver driver;
  driver.lead();
  driver.propose(11);
  driver.hear(2, driver.engine().promised(), wire::Accepted{Slot(1), Checksum(11)});
  driver.hear(3, driver.engine().promised(), wire::Accepted{Slot(1), Checksum(11)});
  EXPECT_EQ(driver.engine().commit(), Slot(1));
}

TEST(Commit, CountsARepeatedVoteOnce) {
  Driver driver({.members = 5});
  driver.lead();
  driver.propose(11);
  driver.make_durable();
  for (int i = 0; i < 5; ++i) driver.hear(2, driver.engine().promised(), wire::Accepted{Slot(1), Checksum(11)});
  EXPECT_EQ(driver.engine().commit(), Slot(0));
}

TEST(Commit, IgnoresAVoteForAnotherValue) {
  Driver driver;
  driver.lead();
  driver.propose(11);
  driver.make_durable();
  driver.hear(2, driver.engine().promised(), wire::Accepted{Slot(1), Checksum(12)});
  EXPECT_EQ(driver.engine().commit(), Slot(0));
  EXPECT_EQ(driver.engine().counters().conflicting_values, 1U);
}

TEST(Commit, IgnoresAVoteOfAnEarlierBallotForTheSameValue) {
  Driver driver({.promised = ballot_of(4, 1)});
  driver.lead();
  driver.propose(11);
  driver.make_durable();
  driver.hear(2, ballot_of(4, 1), wire::Accepted{Slot(1), Checksum(11)});
  EXPECT_EQ(driver.engine().commit(), Slot(0));
}

TEST(Candidate, BehindAPeersWatermarkCatchesUpFirst) {
  Driver driver;
  driver.campaign();
  driver.make_durable();
  const Ballot ballot = driver.engine().promised();
  driver.hear(2, ballot, wire::Promise{Slot{}, Slot(18), {}}, Slot(2));
  EXPECT_FALSE(driver.engine().is_leader());
  ASSERT_EQ(driver.count<wire::CatchUp>(), 1U);
  driver.hear(2, ballot, wire::Chosen{record(1, ballot_of_2, 1)}, Slot(2));
  driver.hear(2, ballot, wire::Chosen{record(2, ballot_of_2, 2)}, Slot(2));
  EXPECT_EQ(driver.engine().commit(), Slot(2));
  driver.sends.clear();
  driver.tick(1000);
  EXPECT_EQ(driver.count<wire::Prepare>(), 2U);
  driver.hear(2, ballot, wire::Promise{Slot{}, Slot(18), {}}, Slot(2));
  EXPECT_TRUE(driver.engine().is_leader());
  EXPECT_EQ(driver.engine().next_slot(), Slot(3));
}

TEST(Candidate, FetchesWhatItLacksAndFillsAHoleWithANoOp) {
  Driver driver;
  const std::array found{wire::PromisedSlot{Slot(2), ballot_of(1, 3), Checksum(22), 8}};
  driver.lead(found);
  EXPECT_FALSE(driver.engine().is_leader());
  driver.tick(1000);
  ASSERT_EQ(driver.count<wire::Fetch>(), 1U);
  driver.hear(2, driver.engine().promised(), wire::Value{record(2, ballot_of(1, 3), 22)});
  ASSERT_TRUE(driver.engine().is_leader());
  EXPECT_EQ(driver.engine().next_slot(), Slot(3));
  ASSERT_EQ(driver.persists.size(), 3U);
  EXPECT_EQ(driver.persists[1].slot, Slot(1));
  EXPECT_EQ(driver.persists[1].value.body_bytes, 0U);
  EXPECT_EQ(driver.persists[2].value.checksum, Checksum(22));
}

TEST(Candidate, TakesTheValueOfTheHighestBallot) {
  Driver driver({.members = 5});
  driver.campaign();
  driver.make_durable();
  const Ballot ballot = driver.engine().promised();
  const std::array newer{wire::PromisedSlot{Slot(1), ballot_of(1, 5), Checksum(5), 0}};
  const std::array older{wire::PromisedSlot{Slot(1), ballot_of(1, 4), Checksum(4), 0}};
  driver.hear(2, ballot, wire::Promise{Slot{}, Slot(16), newer});
  driver.hear(3, ballot, wire::Promise{Slot{}, Slot(16), older});
  ASSERT_TRUE(driver.engine().is_leader());
  EXPECT_EQ(driver.persists.back().value.checksum, Checksum(5));
}

TEST(Candidate, GivesUpWhenNobodyPromises) {
  Driver driver;
  driver.campaign();
  driver.make_durable();
  driver.pass(130'000);
  EXPECT_EQ(driver.engine().role(), wire::Role::follower);
}

TEST(Identity, AMessageOfAnOlderIncarnationIsDropped) {
  Driver driver;
  wire::PeerMessage message = driver.message(2, ballot_of_2, wire::Heartbeat{});
  message.incarnation.open_count = 2;
  driver.hear(message);
  message.incarnation.open_count = 1;
  driver.hear(message);
  EXPECT_EQ(driver.count<wire::HeartbeatAnswer>(), 1U);
  EXPECT_EQ(driver.engine().counters().refused_identity, 1U);
}

TEST(Identity, AVoterWithAnotherUuidIsRefused) {
  Driver driver;
  wire::PeerMessage message = driver.message(2, ballot_of_2, wire::Prepare{});
  message.incarnation.disk = uuid_of(77);
  driver.hear(message);
  EXPECT_TRUE(driver.persists.empty());
  EXPECT_EQ(driver.engine().counters().refused_identity, 1U);
}

TEST(Identity, ADiskThatWasFormattedAgainGetsNoIntroduction) {
  Driver driver;
  wire::PeerMessage hello = driver.message(2, Ballot{}, wire::Hello{1});
  hello.incarnation.disk = uuid_of(77);
  driver.hear(hello);
  EXPECT_EQ(driver.count<wire::Hello>(), 0U);
}

TEST(Identity, NothingIsPromisedBeforeAllMembersAreRecorded) {
  Driver driver({.knows_members = false});
  driver.hear(2, ballot_of_2, wire::Prepare{});
  driver.pass(1'000'000);
  EXPECT_TRUE(driver.persists.empty());
}

// Follows replica 2, and has asked it whether it is there.
Driver asking_follower() {
  Driver driver;
  driver.hear(2, ballot_of_2, wire::Heartbeat{});
  driver.sends.clear();
  driver.pass(Timeouts{}.ask_us + 1'000);
  return driver;
}

TEST(Follower, AsksASilentLeaderAndNobodyElse) {
  Driver driver = asking_follower();
  ASSERT_EQ(driver.count<wire::Suspect>(), 1U);
  EXPECT_EQ(driver.sent<wire::Suspect>()[0].to, ReplicaId(2));
  // It is there: then only a long silence counts.
  driver.hear(2, ballot_of_2, wire::SuspectAnswer{0});
  driver.pass(100'000);
  EXPECT_EQ(driver.engine().leader(), ReplicaId(2));
}

TEST(Follower, WhoseLeaderIsGoneAsksTheOthersAtOnceAndCampaigns) {
  Driver driver = asking_follower();
  driver.sends.clear();
  driver.engine().leader_gone(ReplicaId(2));
  driver.pass(Timeouts{}.heartbeat_us + 1'000);
  EXPECT_EQ(driver.engine().leader(), ReplicaId{});
  EXPECT_GE(driver.count<wire::Suspect>(), 2U);
  const std::uint64_t elections = driver.engine().counters().elections;
  driver.hear(3, Ballot{}, wire::SuspectAnswer{1});
  EXPECT_EQ(driver.engine().counters().elections, elections + 1);
}

TEST(Follower, WhoseLeaderWasStartedAgainCampaigns) {
  Driver driver = asking_follower();
  driver.hear(2, Ballot{}, wire::SuspectAnswer{1});
  driver.pass(Timeouts{}.heartbeat_us + 1'000);
  EXPECT_EQ(driver.engine().leader(), ReplicaId{});
}

TEST(Follower, DoesNotBelieveThatALeaderIsGoneWhichItHears) {
  Driver driver;
  for (int i = 0; i < 50; ++i) {
    driver.hear(2, ballot_of_2, wire::Heartbeat{});
    driver.engine().leader_gone(ReplicaId(2));  // forged, or a packet that was late
    driver.pass(Timeouts{}.heartbeat_us);
  }
  EXPECT_EQ(driver.engine().leader(), ReplicaId(2));
  // Nor of another what is said of one.
  driver.pass(Timeouts{}.ask_us);
  driver.engine().leader_gone(ReplicaId(3));
  driver.pass(50'000);
  EXPECT_EQ(driver.engine().leader(), ReplicaId(2));
}

TEST(Leader, ThatHearsNoQuorumStepsDown) {
  Driver driver;
  driver.lead();
  driver.pass(Timeouts{}.step_down_us - 10'000);
  EXPECT_TRUE(driver.engine().is_leader());
  driver.pass(20'000);
  EXPECT_FALSE(driver.engine().is_leader());
}

TEST(Leader, ThatHearsAQuorumStays) {
  Driver driver;
  driver.lead();
  for (int i = 0; i < 20; ++i) {
    driver.pass(100'000);
    driver.hear(2, driver.engine().promised(), wire::HeartbeatAnswer{});
  }
  EXPECT_TRUE(driver.engine().is_leader());
}

TEST(Leader, StepsDownForAHigherBallot) {
  Driver driver;
  driver.lead();
  driver.propose(11);
  driver.hear(3, ballot_of(90, 3), wire::Nack{driver.engine().promised()});
  EXPECT_FALSE(driver.engine().is_leader());
  driver.hear(3, ballot_of(91, 3), accept(1, ballot_of(91, 3), 31));
  EXPECT_EQ(driver.bodies_alive(), 1U);
}

TEST(Leader, WithAStalledDiskStepsDownAndGoesOnAnsweringHeartbeats) {
  Driver driver;
  driver.lead();
  driver.propose(11);
  const auto hear_for = [&](std::uint64_t us) {
    for (std::uint64_t passed = 0; passed < us; passed += 80'000) {
      driver.hear(2, driver.engine().promised(), wire::HeartbeatAnswer{});
      driver.pass(80'000);
    }
  };
  hear_for(Timeouts{}.stall_us / 2);
  EXPECT_TRUE(driver.engine().is_leader()) << "disks pause";
  hear_for(Timeouts{}.stall_us / 2 + 80'000);
  EXPECT_FALSE(driver.engine().is_leader());
  driver.hear(2, ballot_of(90, 2), wire::Heartbeat{}, Slot{}, Probe(4));
  ASSERT_EQ(driver.count<wire::HeartbeatAnswer>(), 1U);
  EXPECT_EQ(driver.sent<wire::HeartbeatAnswer>()[0].probe, Probe(4));
  // And it raises no ballot while the disk stands still.
  const std::uint64_t elections = driver.engine().counters().elections;
  driver.pass(2'000'000);
  for (std::uint16_t peer = 2; peer <= 3; ++peer) driver.hear(peer, Ballot{}, wire::SuspectAnswer{1});
  EXPECT_EQ(driver.engine().counters().elections, elections);
}

TEST(Probe, IsConfirmedByASetThatMeetsEveryPhase1Quorum) {
  Driver driver({.members = 5});
  driver.lead();
  const Probe probe = driver.engine().ask_probe();
  driver.tick(1000);
  const auto beats = driver.sent<wire::Heartbeat>();
  ASSERT_EQ(beats.back().probe, probe);
  driver.hear(2, driver.engine().promised(), wire::HeartbeatAnswer{}, Slot{}, probe);
  driver.hear(2, driver.engine().promised(), wire::HeartbeatAnswer{}, Slot{}, probe);
  EXPECT_LT(driver.engine().confirmed_probe(), probe);
  driver.hear(3, driver.engine().promised(), wire::HeartbeatAnswer{}, Slot{}, probe);
  EXPECT_EQ(driver.engine().confirmed_probe(), probe);
}

TEST(Probe, IsNotConfirmedByAnswersToAnEarlierOne) {
  Driver driver;
  driver.lead();
  const Probe earlier = driver.engine().ask_probe();
  driver.tick(1000);
  const Probe probe = driver.engine().ask_probe();
  driver.hear(2, driver.engine().promised(), wire::HeartbeatAnswer{}, Slot{}, earlier);
  EXPECT_LT(driver.engine().confirmed_probe(), probe);
}

TEST(Suspicion, OfADeafReplicaAloneRaisesNoBallot) {
  Driver driver;
  driver.pass(5'000'000);
  EXPECT_GT(driver.count<wire::Suspect>(), 2U);
  for (std::uint16_t peer = 2; peer <= 3; ++peer) driver.hear(peer, Ballot{}, wire::SuspectAnswer{0});
  EXPECT_TRUE(driver.persists.empty());
}

TEST(Suspicion, IsNotSharedByOneWhoHearsTheLeader) {
  Driver driver;
  driver.hear(2, ballot_of_2, wire::Heartbeat{});
  driver.hear(3, Ballot{}, wire::Suspect{});
  ASSERT_EQ(driver.count<wire::SuspectAnswer>(), 1U);
  EXPECT_EQ(std::get<wire::SuspectAnswer>(driver.sent<wire::SuspectAnswer>()[0].payload).lost, 0);
}

TEST(Suspicion, IsNotHeldByAMachineThatWasPaused) {
  Driver driver;
  driver.hear(2, ballot_of_2, wire::Heartbeat{});
  driver.tick(1000);
  driver.tick(60'000'000);
  EXPECT_EQ(driver.count<wire::Suspect>(), 0U);
}

TEST(CatchUp, IsServedOnlyFromWhatTheServerKnowsAsCommitted) {
  Driver driver;
  for (std::uint64_t slot = 1; slot <= 3; ++slot) driver.hear(2, ballot_of_2, accept(slot, ballot_of_2, 11));
  driver.hear(2, ballot_of_2, wire::Heartbeat{}, Slot(2));
  driver.hear(3, Ballot{}, wire::CatchUp{Slot(1), Slot(9)});
  ASSERT_EQ(driver.serves.size(), 1U);
  EXPECT_EQ(driver.serves[0].from, Slot(1));
  EXPECT_EQ(driver.serves[0].last, Slot(2));
}

// The leader may have lost what we need, and only another follower may have a state that leads beyond it.
TEST(CatchUp, InVainIsAskedOfEverybody) {
  Driver driver;
  const auto asked = [&](std::uint16_t peer) {
    return std::ranges::any_of(driver.sent<wire::CatchUp>(), [&](const auto& sent) { return sent.to == ReplicaId(peer); });
  };
  const auto lag_for = [&](std::uint64_t us) {
    for (std::uint64_t passed = 0; passed < us; passed += 5'000) {
      driver.hear(2, ballot_of_2, wire::Heartbeat{}, Slot(9));
      driver.tick(5'000);
    }
  };
  lag_for(100'000);
  EXPECT_TRUE(asked(2));
  EXPECT_FALSE(asked(3)) << "it is not known to know more";
  lag_for(300'000);
  EXPECT_TRUE(asked(3));
}

TEST(CatchUp, AnswerReplacesAnAcceptedValueThatWasNotChosen) {
  Driver driver;
  driver.hear(2, ballot_of_2, accept(1, ballot_of_2, 11));
  driver.hear(3, ballot_of_3, wire::Chosen{record(1, ballot_of_3, 12)}, Slot(1));
  ASSERT_EQ(driver.commits.size(), 1U);
  EXPECT_EQ(driver.commits[0].value.checksum, Checksum(12));
  EXPECT_EQ(driver.bodies_alive(), 0U);
}

}  // namespace
}  // namespace synod::consensus::testing
