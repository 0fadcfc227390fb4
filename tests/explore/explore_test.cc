// Small explorations to the fixpoint, and deliberate faults that an exploration must find.
#include "tests/explore/explorer.h"

#include <gtest/gtest.h>

namespace synod::consensus::explore {
namespace {

void explore_all(const Bounds& bounds, std::uint64_t states_min, std::uint64_t ballots_min = 2) {
  Explorer explorer(bounds);
  EXPECT_TRUE(explorer.run()) << explorer.failure() << "\n" << ::testing::PrintToString(explorer.trace());
  const Totals& totals = explorer.totals();
  EXPECT_EQ(totals.frontier, 0U);
  // An exploration that meets nothing shows nothing.
  EXPECT_GT(totals.states, states_min);
  EXPECT_GE(totals.ballots_voted, ballots_min);
  EXPECT_EQ(totals.slots_chosen, bounds.slots);
  EXPECT_EQ(totals.commits, bounds.slots * bounds.members);
}

TEST(Explore, TwoProposersOnSlowDisksAgree) {
  explore_all({.campaigns = 1}, 30'000);
}

TEST(Explore, TwoProposersAgreeAcrossACrashOfAnyReplica) {
  explore_all({.campaigns = 1, .crashes = 1}, 1'000'000);
}

TEST(Explore, TwoProposersThatAreToldOfRefusalsAgree) {
  explore_all({.campaigns = 1, .nacks = true}, 100'000);
}

TEST(Explore, ReceiptsNeverCountAsVotes) {
  explore_all({.campaigns = 1, .receipts = true}, 30'000);
}

TEST(Explore, OneProposerThatRestartsAgreesWithItself) {
  explore_all({.proposers = 1, .campaigns = 2, .crashes = 1}, 50'000);
}

TEST(Explore, TwoSlotsOnFastDisksAgree) {
  explore_all({.campaigns = 1, .slots = 2, .slow_disks = false}, 100'000);
}

TEST(Explore, FiveMembersAgree) {
  explore_all({.members = 5, .proposers = 1, .campaigns = 2, .slow_disks = false}, 10'000);
}

TEST(Explore, ALostRecordInTheMiddleIsBoundedByItsNeighbours) {
  explore_all({.campaigns = 1, .crashes = 1, .lost_middles = true, .slow_disks = false}, 2'000'000);
}

TEST(Explore, ALostTailIsBoundedByEverybodysWord) {
  explore_all({.proposers = 1, .campaigns = 1, .crashes = 1, .lost_tails = true, .slow_disks = false}, 10'000, 1);
}

TEST(Explore, AReplicaThatForgetsItsDiskIsFound) {
  Explorer explorer({.campaigns = 1, .crashes = 1, .amnesia = true});
  EXPECT_FALSE(explorer.run());
  EXPECT_NE(explorer.failure().find("was chosen twice"), std::string::npos) << explorer.failure();
  // The way there is the shortest: two phase 1s, two phase 2s and the crash between them.
  EXPECT_EQ(explorer.trace().size(), 17U);
}

TEST(Explore, ReplicasWithTheSameFingerprintActTheSame) {
  for (const Bounds& bounds :
       {Bounds{.campaigns = 1, .twins_every = 10}, Bounds{.campaigns = 1, .crashes = 1, .twins_every = 50}}) {
    Explorer explorer(bounds);
    EXPECT_TRUE(explorer.run()) << explorer.failure();
    EXPECT_EQ(explorer.space().differing_twins(), 0U);
    EXPECT_GT(explorer.space().twins(), 50U);
  }
}

}  // namespace
}  // namespace synod::consensus::explore
