// Bugs that reading and random runs found, each with the shortest script that showed it.
#include <gtest/gtest.h>

#include "tests/consensus/driver.h"

namespace synod::consensus::testing {
namespace {

TEST(Regression, ARestoredChosenRecordMayCarryABallotAboveThePromisedOne) {
  Driver driver({.promised = ballot_of(2, 2), .commit = Slot(4)});
  driver.engine().restore(Slot(5), ballot_of(9, 3), {Checksum(7), 8, driver.new_body()}, true);
  driver.tick(1000);
  ASSERT_EQ(driver.commits.size(), 1U);
  EXPECT_EQ(driver.commits[0].value.checksum, Checksum(7));
}

TEST(Regression, AFetchedBodyIsReleasedWhenALaterPromiseReportsANewerValue) {
  Driver driver({.members = 5});
  driver.campaign();
  driver.make_durable();
  const Ballot ballot = driver.engine().promised();
  const std::array older{wire::PromisedSlot{Slot(1), ballot_of(1, 5), Checksum(11), 8}};
  const std::array other{wire::PromisedSlot{Slot(2), ballot_of(1, 5), Checksum(12), 8}};
  driver.hear(2, ballot, wire::Promise{Slot{}, Slot(16), older});
  driver.hear(3, ballot, wire::Promise{Slot{}, Slot(16), other});
  driver.hear(2, ballot, wire::Value{record(1, ballot_of(1, 5), 11)});
  ASSERT_EQ(driver.bodies_alive(), 1U);
  const std::array newer{wire::PromisedSlot{Slot(1), ballot_of(2, 5), Checksum(13), 8}};
  driver.hear(4, ballot, wire::Promise{Slot{}, Slot(16), newer});
  driver.hear(2, ballot_of(50, 2), wire::Prepare{});
  EXPECT_EQ(driver.engine().role(), wire::Role::follower);
  EXPECT_EQ(driver.bodies_alive(), 0U);
}

TEST(Regression, ALeaderThatLearnsASlotBeyondItsProposalsStepsDown) {
  Driver driver;
  driver.lead();
  ASSERT_TRUE(driver.engine().is_leader());
  // Slot 2 was chosen in a higher ballot that this leader has not heard of; slot 1 is still on its way.
  driver.hear(3, ballot_of(50, 3), wire::Chosen{record(2, ballot_of(50, 3), 99)}, Slot(2));
  EXPECT_FALSE(driver.engine().can_propose());
  EXPECT_EQ(driver.engine().role(), wire::Role::follower);
}

TEST(Regression, ACandidateThatLearnsASlotBeyondWhatItFoundDoesNotLead) {
  Driver driver;
  driver.campaign();
  driver.make_durable();
  driver.hear(3, ballot_of(50, 3), wire::Chosen{record(2, ballot_of(50, 3), 99)}, Slot(2));
  driver.hear(2, driver.engine().promised(), wire::Promise{Slot{}, Slot(16), {}});
  EXPECT_FALSE(driver.engine().is_leader());
}

TEST(Regression, AVoteThatCompletesAQuorumCommitsInTheSamePump) {
  Driver driver({.members = 1});
  driver.campaign();
  driver.make_durable();
  ASSERT_TRUE(driver.engine().is_leader());
  driver.propose(5);
  driver.make_durable();
  EXPECT_EQ(driver.engine().commit(), Slot(1));
}

TEST(Regression, AHelloThatWasMeantForTheDiskBeforeThisOneIsNoIntroduction) {
  // A packet to this replica's former disk arrives late. Its sender has recorded that disk and would refuse this one.
  Driver driver({.knows_members = false});
  driver.hear(2, Ballot{}, wire::Hello{1});
  driver.hear(3, Ballot{}, wire::Hello{1});
  driver.hear(2, Ballot{}, wire::Hello{0}, Slot{}, Probe(12345));  // answers the former disk's question
  driver.hear(3, Ballot{}, wire::Hello{0}, Slot{}, Probe(12345));
  driver.pass(50'000);
  driver.make_durable();
  EXPECT_FALSE(driver.engine().may_vote());
  // Asked by this disk, they answer what it asked.
  ASSERT_FALSE(driver.sent<wire::Hello>().empty());
  const Send asked = driver.sent<wire::Hello>().back();
  driver.hear(2, Ballot{}, wire::Hello{0}, Slot{}, asked.probe);
  driver.hear(3, Ballot{}, wire::Hello{0}, Slot{}, asked.probe);
  driver.pass(50'000);
  driver.make_durable();
  driver.tick(1000);
  EXPECT_TRUE(driver.engine().may_vote());
}

// Found by exploring every state of three replicas: the accept raised the promise, the slot was committed and left the window,
// and the late prepare of that ballot was answered while the only record of the promise was still on its way to the disk.
TEST(Regression, APromiseThatAnAcceptMadeIsNotRepeatedBeforeItsRecordIsDurable) {
  Driver driver;
  driver.hear(2, ballot_of(1, 2), wire::Accept{record(1, ballot_of(1, 2), 11)});
  driver.hear(2, ballot_of(1, 2), wire::Heartbeat{}, Slot(1));
  ASSERT_EQ(driver.engine().commit(), Slot(1));
  driver.hear(2, ballot_of(1, 2), wire::Prepare{});
  EXPECT_EQ(driver.count<wire::Promise>(), 0U);
  driver.make_durable();
  driver.hear(2, ballot_of(1, 2), wire::Prepare{});
  EXPECT_EQ(driver.count<wire::Promise>(), 1U);
}

// Found by exploring every state of three replicas: the accept of a deposed leader meets the value that was chosen after it.
TEST(Regression, AnAcceptOfADeposedLeaderAgainstAChosenValueIsNoBugOfItsSender) {
  Driver driver;
  driver.hear(3, ballot_of(5, 3), wire::Chosen{record(2, ballot_of(5, 3), 99)}, Slot(2));
  ASSERT_NE(driver.engine().open_slot(Slot(2)), nullptr);
  driver.hear(2, ballot_of(2, 2), wire::Accept{record(2, ballot_of(2, 2), 11)});
  driver.make_durable();
  EXPECT_EQ(driver.count<wire::Accepted>(), 0U);
  EXPECT_EQ(driver.engine().open_slot(Slot(2))->value.checksum, Checksum(99));
  EXPECT_EQ(driver.engine().counters().conflicting_values, 0U);
  // The same ballot with two values is one.
  driver.hear(3, ballot_of(5, 3), wire::Accept{record(2, ballot_of(5, 3), 11)});
  EXPECT_EQ(driver.engine().counters().conflicting_values, 1U);
}

// Found by exploring: one more call of pump, which should do nothing, sent something. A promise that is not sent any more ended
// the round of replies, and the vote behind it waited for the next message or tick.
TEST(Regression, AVoteBehindAPromiseThatIsNotSentLeavesInTheSamePump) {
  Driver driver;
  driver.hear(2, ballot_of(1, 2), wire::Prepare{});
  driver.hear(2, ballot_of(1, 2), wire::Accept{record(1, ballot_of(1, 2), 11)});
  driver.make_durable();
  EXPECT_EQ(driver.count<wire::Promise>(), 0U);
  EXPECT_EQ(driver.count<wire::Accepted>(), 1U);
}

}  // namespace
}  // namespace synod::consensus::testing
