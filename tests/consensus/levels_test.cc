// Acknowledgement levels in the engine (rule 10): receipts tell when to answer early, and never what is chosen.
#include <gtest/gtest.h>

#include "tests/consensus/driver.h"

namespace synod::consensus::testing {
namespace {

using wire::AckLevel;

class Levels : public ::testing::Test {
 protected:
  void lead(std::uint16_t members = 3) {
    driver_.emplace(DriverOptions{.members = members});
    driver_->lead();
  }
  void received(std::uint16_t from, std::uint64_t slot, std::uint32_t checksum) {
    driver_->hear(from, driver_->engine().promised(), wire::Received{Slot(slot), Checksum(checksum)});
  }
  void accepted(std::uint16_t from, std::uint64_t slot, std::uint32_t checksum) {
    driver_->hear(from, driver_->engine().promised(), wire::Accepted{Slot(slot), Checksum(checksum)});
  }
  [[nodiscard]] Slot reached(AckLevel level) { return driver_->engine().reached(level); }
  [[nodiscard]] Slot commit() { return driver_->engine().commit(); }

  std::optional<Driver> driver_;
};

TEST_F(Levels, ReceiptsNeverCountTowardsChosen) {
  lead();
  driver_->propose(11, 8, wire::Asks::received);
  for (const int peer : {2, 3, 2, 3}) received(static_cast<std::uint16_t>(peer), 1, 11);
  EXPECT_EQ(commit(), Slot(0));
  driver_->make_durable();  // the leader's own vote, and two receipts
  received(2, 1, 11);
  EXPECT_EQ(commit(), Slot(0));
  accepted(2, 1, 11);
  EXPECT_EQ(commit(), Slot(1));
}

TEST_F(Levels, AreReachedOneByOne) {
  lead();
  driver_->propose(11, 8, wire::Asks::received);
  EXPECT_EQ(reached(AckLevel::memory), Slot(0));
  received(2, 1, 11);
  EXPECT_EQ(reached(AckLevel::memory), Slot(1));
  EXPECT_EQ(reached(AckLevel::leader), Slot(0));
  EXPECT_EQ(reached(AckLevel::one), Slot(0));
  driver_->make_durable();
  EXPECT_EQ(reached(AckLevel::leader), Slot(1));
  EXPECT_EQ(reached(AckLevel::one), Slot(1));
  EXPECT_EQ(reached(AckLevel::quorum), Slot(0));
}

TEST_F(Levels, LeaderNeedsNobodyElseAndOneNeedsAnother) {
  lead();
  driver_->propose(11, 8, wire::Asks::received);
  driver_->make_durable();
  EXPECT_EQ(reached(AckLevel::leader), Slot(1));
  EXPECT_EQ(reached(AckLevel::one), Slot(0));
  received(3, 1, 11);
  EXPECT_EQ(reached(AckLevel::one), Slot(1));
}

TEST_F(Levels, MemoryNeedsAQuorumWithTheLeader) {
  lead(5);
  driver_->propose(11, 8, wire::Asks::received);
  received(2, 1, 11);
  received(2, 1, 11);
  EXPECT_EQ(reached(AckLevel::memory), Slot(0));
  accepted(4, 1, 11);  // whoever voted has received
  EXPECT_EQ(reached(AckLevel::memory), Slot(1));
}

TEST_F(Levels, AreCumulativeOverEarlierSlots) {
  lead();
  driver_->propose(11, 8, wire::Asks::received);
  driver_->propose(12, 8, wire::Asks::received);
  driver_->propose(13, 8, wire::Asks::received);
  received(2, 2, 12);
  received(2, 3, 13);
  EXPECT_EQ(reached(AckLevel::memory), Slot(0));
  received(3, 1, 11);
  EXPECT_EQ(reached(AckLevel::memory), Slot(3));
  driver_->make_durable(driver_->persisted() - 1);
  EXPECT_EQ(reached(AckLevel::leader), Slot(2));
}

TEST_F(Levels, AnAcceptAsksForReceivedOnlyIfTheProposalDoes) {
  lead();
  driver_->sends.clear();
  driver_->propose(11);
  driver_->propose(12, 8, wire::Asks::received);
  const auto accepts = driver_->sent<wire::Accept>();
  ASSERT_EQ(accepts.size(), 4U);
  for (const Send& send : accepts) {
    const bool asks = std::get<wire::Accept>(send.payload).record.header.slot == Slot(2);
    EXPECT_EQ(send.probe, Probe(asks ? 1 : 0));
  }
}

TEST_F(Levels, AReceiptOfAnotherValueOrBallotIsNone) {
  lead();
  driver_->propose(11, 8, wire::Asks::received);
  received(2, 1, 12);
  driver_->hear(3, ballot_of(1, 3), wire::Received{Slot(1), Checksum(11)});
  received(2, 2, 12);  // never proposed
  received(2, 999, 12);
  EXPECT_EQ(reached(AckLevel::memory), Slot(0));
  EXPECT_EQ(driver_->engine().counters().conflicting_values, 1U);
}

TEST_F(Levels, AllNeedsEveryDiskAndHearsVotesAfterTheCommit) {
  lead();
  driver_->propose(11);
  driver_->make_durable();
  accepted(2, 1, 11);
  EXPECT_EQ(commit(), Slot(1));
  EXPECT_EQ(reached(AckLevel::all), Slot(0));
  accepted(3, 1, 11);
  EXPECT_EQ(reached(AckLevel::all), Slot(1));
}

TEST_F(Levels, AllIsNotReachedWithoutTheLeadersDisk) {
  lead();
  driver_->propose(11);
  accepted(2, 1, 11);
  accepted(3, 1, 11);
  EXPECT_EQ(commit(), Slot(1));
  EXPECT_EQ(reached(AckLevel::all), Slot(0));
  driver_->engine().on_durable_slot(Slot(1));
  EXPECT_EQ(reached(AckLevel::all), Slot(1));
}

TEST_F(Levels, AllHearsOfAMemberThatCaughtUp) {
  lead();
  driver_->propose(11);
  driver_->propose(12);
  driver_->make_durable();
  for (const std::uint64_t slot : {1, 2}) accepted(2, slot, static_cast<std::uint32_t>(10 + slot));
  accepted(3, 2, 12);  // its vote for slot 1 was lost on the way
  EXPECT_EQ(commit(), Slot(2));
  EXPECT_EQ(reached(AckLevel::all), Slot(0));
  driver_->hear(3, driver_->engine().promised(), wire::HeartbeatAnswer{.durable = Slot(1)});
  EXPECT_EQ(reached(AckLevel::all), Slot(1));
  driver_->hear(3, driver_->engine().promised(), wire::HeartbeatAnswer{.durable = Slot(9)});
  EXPECT_EQ(reached(AckLevel::all), Slot(2)) << "never above what is committed here";
}

TEST_F(Levels, AllRemembersWhatACheckpointStandsForSomewhere) {
  lead();
  EXPECT_EQ(driver_->engine().held_by_all_from(), Lsn(0));
  driver_->hear(3, driver_->engine().promised(), wire::HeartbeatAnswer{.durable = Slot(9), .first = Lsn(5)});
  driver_->hear(2, driver_->engine().promised(), wire::HeartbeatAnswer{.durable = Slot(9)});
  EXPECT_EQ(driver_->engine().held_by_all_from(), Lsn(5));
}

TEST_F(Levels, AFollowerSaysHowFarItsDiskIs) {
  Driver follower;
  follower.engine().on_durable_slot(Slot(7), Lsn(5));
  follower.hear(2, ballot_of(1, 2), wire::Heartbeat{});
  ASSERT_EQ(follower.count<wire::HeartbeatAnswer>(), 1U);
  EXPECT_EQ(std::get<wire::HeartbeatAnswer>(follower.sent<wire::HeartbeatAnswer>()[0].payload).durable, Slot(7));
  EXPECT_EQ(std::get<wire::HeartbeatAnswer>(follower.sent<wire::HeartbeatAnswer>()[0].payload).first, Lsn(5));
}

TEST(Receipt, IsSaidWhenAskedForAndStaged) {
  Driver driver;
  const Ballot ballot = ballot_of(1, 2);
  driver.hear(2, ballot, wire::Accept{record(1, ballot, 11)}, Slot{}, Probe(0));
  EXPECT_EQ(driver.count<wire::Received>(), 0U);
  driver.hear(2, ballot, wire::Accept{record(2, ballot, 12)}, Slot{}, Probe(1));
  ASSERT_EQ(driver.count<wire::Received>(), 1U);
  const Send sent = driver.sent<wire::Received>()[0];
  EXPECT_EQ(sent.to, ReplicaId(2));
  EXPECT_EQ(sent.ballot, ballot);
  EXPECT_EQ(std::get<wire::Received>(sent.payload).slot, Slot(2));
  EXPECT_EQ(std::get<wire::Received>(sent.payload).checksum, Checksum(12));
  EXPECT_EQ(driver.count<wire::Accepted>(), 0U) << "it is no vote";
}

TEST(Receipt, IsSaidToWhoeverHasNoHurry) {
  Driver driver;
  const Ballot ballot = ballot_of(1, 2);
  driver.hear(2, ballot, wire::Accept{record(1, ballot, 11)}, Slot{}, Probe(2));
  EXPECT_EQ(driver.count<wire::Received>(), 1U);
}

TEST_F(Levels, TheAcceptsSayWhatIsAskedAlsoWhenTheyAreSentAgain) {
  lead();
  for (const wire::Asks asks : {wire::Asks::nothing, wire::Asks::received, wire::Asks::received_at_leisure}) {
    driver_->propose(11 + static_cast<std::uint32_t>(asks), 8, asks);
  }
  driver_->pass(Timeouts{}.resend_us);
  EXPECT_EQ(driver_->count<wire::Accept>(), 3U * 2 * 2) << "of each slot to each peer, twice";
  for (const Send& accept : driver_->sent<wire::Accept>()) {
    const std::uint64_t slot = std::get<wire::Accept>(accept.payload).record.header.slot.value();
    EXPECT_EQ(accept.probe, Probe(slot - 1)) << "slot " << slot;
  }
}

TEST(Receipt, IsSaidAgainUntilTheVoteStandsForIt) {
  Driver driver;
  const Ballot ballot = ballot_of(1, 2);
  for (int i = 0; i < 2; ++i) driver.hear(2, ballot, wire::Accept{record(1, ballot, 11)}, Slot{}, Probe(1));
  EXPECT_EQ(driver.count<wire::Received>(), 2U);
  driver.make_durable();
  EXPECT_EQ(driver.count<wire::Accepted>(), 1U);
  driver.hear(2, ballot, wire::Accept{record(1, ballot, 11)}, Slot{}, Probe(1));
  EXPECT_EQ(driver.count<wire::Received>(), 2U);
  EXPECT_EQ(driver.count<wire::Accepted>(), 2U);
}

TEST(Receipt, IsNotSaidForWhatIsRefused) {
  Driver driver({.promised = ballot_of(5, 3)});
  const Ballot old_ballot = ballot_of(1, 2);
  driver.hear(2, old_ballot, wire::Accept{record(1, old_ballot, 11)}, Slot{}, Probe(1));
  const Ballot ballot = ballot_of(6, 2);
  driver.hear(2, ballot, wire::Accept{record(99, ballot, 11)}, Slot{}, Probe(1));  // beyond the window
  driver.hear(2, ballot, wire::Accept{record(1, ballot, 11)}, Slot{}, Probe(1));
  driver.hear(2, ballot, wire::Accept{record(1, ballot, 12)}, Slot{}, Probe(1));  // another value in the same ballot
  EXPECT_EQ(driver.count<wire::Received>(), 1U);
}

}  // namespace
}  // namespace synod::consensus::testing
