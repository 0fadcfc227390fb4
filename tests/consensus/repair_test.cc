// Rule 6, one fault at a time: records that are lost in the middle, at the end, or with the whole disk.
#include <gtest/gtest.h>

#include "tests/consensus/driver.h"

namespace synod::consensus::testing {
namespace {

constexpr Ballot low = ballot_of(3, 2);
constexpr Ballot bound = ballot_of(5, 2);
constexpr Ballot high = ballot_of(6, 3);

wire::PeerPayload accept(std::uint64_t slot, Ballot ballot, std::uint32_t checksum) {
  return wire::Accept{record(slot, ballot, checksum)};
}

wire::Hello word(Position heard, Ballot seen = {}, Slot slot = {}) {
  return {.is_certain = 1, .position = heard, .highest_ballot = seen, .highest_slot = slot};
}

// Slot 1 is open and in doubt; nothing else is.
DriverOptions bounded() {
  return {.promised = low, .open_count = 2, .doubt = Doubt::below(bound, Slot(1)), .highest_slot = Slot(1)};
}

DriverOptions unbounded() {
  return {.promised = low, .open_count = 2, .is_confirmed = false, .doubt = Doubt::without_bound(), .highest_slot = Slot(1)};
}

// A stale image: the others have heard of block 50 of open 4.
DriverOptions stale() {
  return {.promised = low, .open_count = 5, .is_confirmed = false, .claim = {4, 20}};
}

// --- bounded ----------------------------------------------------------------------------------------------------------------

TEST(BoundedDoubt, AcceptsAtTheBound) {
  Driver driver(bounded());
  EXPECT_EQ(driver.engine().promised(), bound);
  driver.hear(2, bound, accept(1, bound, 11));
  driver.make_durable();
  EXPECT_EQ(driver.count<wire::Accepted>(), 1U);
}

TEST(BoundedDoubt, DoesNotAcceptBelowTheBound) {
  Driver driver(bounded());
  driver.hear(2, low, accept(1, low, 11));
  EXPECT_TRUE(driver.persists.empty());
}

TEST(BoundedDoubt, NeitherPromisesNorRefusesAHigherBallot) {
  Driver driver(bounded());
  driver.hear(3, high, wire::Prepare{});
  driver.make_durable();
  EXPECT_EQ(driver.engine().promised(), bound);
  EXPECT_TRUE(driver.persists.empty());
  EXPECT_TRUE(driver.sends.empty());
}

TEST(BoundedDoubt, DoesNotRepeatAPromiseOfTheBound) {
  Driver driver(bounded());
  driver.hear(2, bound, wire::Prepare{});
  EXPECT_EQ(driver.count<wire::Promise>(), 0U);
  EXPECT_EQ(driver.count<wire::Nack>(), 0U);
}

TEST(BoundedDoubt, PromisesOnceTheSlotHoldsAVoteOfTheBound) {
  Driver driver(bounded());
  driver.hear(2, bound, accept(1, bound, 11));
  driver.hear(3, high, wire::Prepare{});
  driver.make_durable();
  ASSERT_EQ(driver.count<wire::Promise>(), 1U);
  const auto promise = std::get<wire::Promise>(driver.sent<wire::Promise>()[0].payload);
  ASSERT_EQ(promise.slots.size(), 1U);
  EXPECT_EQ(promise.slots[0].ballot, bound);
}

TEST(BoundedDoubt, IsNotResolvedByAVoteBelowTheBound) {
  Driver driver(bounded());
  driver.restore(1, low, 11);
  driver.hear(3, high, wire::Prepare{});
  EXPECT_TRUE(driver.persists.empty());
}

TEST(BoundedDoubt, PromisesOnceTheSlotIsKnownAsChosen) {
  Driver driver(bounded());
  driver.hear(3, Ballot{}, wire::Chosen{record(1, low, 11)});
  EXPECT_EQ(driver.engine().commit(), Slot(1));
  driver.hear(3, high, wire::Prepare{}, Slot(1));
  driver.make_durable();
  EXPECT_EQ(driver.count<wire::Promise>(), 1U);
}

TEST(BoundedDoubt, WaitsForEverySlot) {
  DriverOptions options = bounded();
  options.doubt.last = Slot(3);
  Driver driver(options);
  driver.hear(2, bound, accept(1, bound, 11));
  driver.hear(2, bound, accept(3, bound, 13));
  EXPECT_FALSE(driver.engine().may_promise());
  driver.hear(2, bound, accept(2, bound, 12));
  EXPECT_TRUE(driver.engine().may_promise());
}

TEST(BoundedDoubt, OfSlotsBehindTheWindowWaitsForThem) {
  DriverOptions options = bounded();
  options.window_slots = 2;
  options.doubt.last = Slot(3);
  Driver driver(options);
  driver.hear(2, bound, accept(1, bound, 11));
  driver.hear(2, bound, accept(2, bound, 12));
  EXPECT_FALSE(driver.engine().may_promise());
}

TEST(BoundedDoubt, DoesNotCampaign) {
  Driver driver(bounded());
  driver.pass(1'000'000);
  EXPECT_EQ(driver.engine().role(), wire::Role::follower);
  EXPECT_EQ(driver.count<wire::Suspect>(), 0U);
}

TEST(BoundedDoubt, TellsACandidateHonestlyThatItHasLostTheLeader) {
  Driver driver(bounded());
  driver.pass(Timeouts{}.election_us_min + 10'000);
  driver.hear(2, Ballot{}, wire::Suspect{});
  ASSERT_EQ(driver.count<wire::SuspectAnswer>(), 1U);
  EXPECT_EQ(std::get<wire::SuspectAnswer>(driver.sent<wire::SuspectAnswer>()[0].payload).lost, 1);
}

TEST(BoundedDoubt, AnswersProbes) {
  Driver driver(bounded());
  driver.hear(3, high, wire::Heartbeat{}, Slot{}, Probe(7));
  ASSERT_EQ(driver.count<wire::HeartbeatAnswer>(), 1U);
  EXPECT_EQ(driver.sent<wire::HeartbeatAnswer>()[0].probe, Probe(7));
}

// --- unbounded --------------------------------------------------------------------------------------------------------------

TEST(UnboundedDoubt, NeitherAcceptsNorPromisesNorRefuses) {
  Driver driver(unbounded());
  driver.hear(2, bound, accept(1, bound, 11));
  driver.hear(3, high, wire::Prepare{});
  EXPECT_TRUE(driver.persists.empty());
  EXPECT_TRUE(driver.sends.empty());
}

TEST(UnboundedDoubt, StillLearns) {
  Driver driver(unbounded());
  driver.hear(3, Ballot{}, wire::Chosen{record(1, low, 11)});
  EXPECT_EQ(driver.engine().commit(), Slot(1));
}

TEST(UnboundedDoubt, AnswersAHeartbeatButVouchesForNoPromise) {
  Driver driver(unbounded());
  driver.hear(3, high, wire::Heartbeat{}, Slot{}, Probe(7));
  ASSERT_EQ(driver.count<wire::HeartbeatAnswer>(), 1U);
  EXPECT_EQ(driver.sent<wire::HeartbeatAnswer>()[0].probe, Probe{});
}

TEST(UnboundedDoubt, IsSilentUntilEveryOtherMemberHasAnswered) {
  Driver driver(unbounded());
  driver.tick(1'000);
  driver.answer(2, word({}, bound, Slot(2)));
  driver.make_durable();
  driver.pass(100'000);
  driver.make_durable();
  EXPECT_TRUE(driver.engine().doubt().is_unbounded());
  driver.answer(3, word({}, high, Slot(1)));
  EXPECT_TRUE(driver.engine().doubt().is_unbounded()) << "before the repair record is durable";
  driver.make_durable();
  EXPECT_EQ(driver.engine().doubt(), Doubt::below(high, Slot(2)));
}

TEST(UnboundedDoubt, AdoptsTheHighestOfAllAndItsOwn) {
  DriverOptions options = unbounded();
  options.promised = ballot_of(9, 2);
  options.highest_slot = Slot(7);
  Driver driver(options);
  driver.tick(1'000);
  driver.answer(2, word({}, bound, Slot(2)));
  driver.answer(3, word({}, high, Slot(1)));
  driver.make_durable();
  EXPECT_EQ(driver.engine().doubt(), Doubt::below(ballot_of(9, 2), Slot(7)));
  EXPECT_TRUE(driver.engine().may_vote());
  EXPECT_FALSE(driver.engine().may_promise());
}

TEST(UnboundedDoubt, WritesDownFirstThatThereIsNoBound) {
  Driver driver(unbounded());
  driver.answer(2, word({}, bound));
  driver.answer(3, word({}, high));
  driver.tick(1'000);
  ASSERT_EQ(driver.persists.size(), 2U);
  EXPECT_EQ(driver.persists[0].kind, wire::RecordKind::repair);
  EXPECT_TRUE(driver.persists[0].ballot.is_none());
  EXPECT_EQ(driver.persists[1].kind, wire::RecordKind::repair);
  EXPECT_EQ(driver.persists[1].ballot, high);
}

TEST(UnboundedDoubt, SurvivesACrashBetweenItsTwoRecords) {
  Driver driver(unbounded());
  driver.tick(1'000);
  driver.answer(2, word({}, bound));
  driver.answer(3, word({}, high));
  driver.make_durable(1);
  EXPECT_TRUE(driver.engine().doubt().is_unbounded());
  EXPECT_FALSE(driver.engine().may_vote());
}

TEST(UnboundedDoubt, WhereNobodyHasSeenABallotIsBoundedAllTheSame) {
  Driver driver({.open_count = 2, .is_confirmed = false, .doubt = Doubt::without_bound()});
  driver.tick(1'000);
  driver.answer(2, word({}));
  driver.answer(3, word({}));
  driver.make_durable();
  EXPECT_TRUE(driver.engine().may_promise());
}

TEST(UnboundedDoubt, IgnoresTheAnswerToAnotherQuestion) {
  Driver driver(unbounded());
  driver.tick(1'000);
  driver.answer(2, word({}, bound));
  driver.hear(3, Ballot{}, word({}, high), {}, driver.engine().question() + 1);
  driver.make_durable();
  EXPECT_TRUE(driver.engine().doubt().is_unbounded());
}

TEST(UnboundedDoubt, OfTwoAmongThreeIsNotRepairedByEachOther) {
  Driver driver(unbounded());
  driver.tick(1'000);
  driver.answer(2, word({}, bound));
  driver.answer(3, wire::Hello{.highest_ballot = high});  // not certain
  driver.make_durable();
  EXPECT_TRUE(driver.engine().doubt().is_unbounded());
}

TEST(UnboundedDoubt, OfTwoAmongFiveIsRepairedByTheOtherThree) {
  DriverOptions options = unbounded();
  options.members = 5;
  Driver driver(options);
  driver.tick(1'000);
  for (std::uint16_t peer = 2; peer <= 4; ++peer) driver.answer(peer, word({}, bound));
  EXPECT_TRUE(driver.engine().doubt().is_unbounded());
  driver.answer(5, wire::Hello{.highest_ballot = high});
  driver.make_durable();
  EXPECT_EQ(driver.engine().doubt().bound, high);
}

TEST(UnboundedDoubt, OfTheOnlyMemberIsForEver) {
  DriverOptions options = unbounded();
  options.members = 1;
  Driver driver(options);
  driver.pass(100'000);
  driver.make_durable();
  driver.pass(100'000);
  EXPECT_FALSE(driver.engine().may_vote());
}

// --- who starts -------------------------------------------------------------------------------------------------------------

TEST(Start, IsSilentUntilAQuorumHasConfirmedTheDisk) {
  Driver driver({.open_count = 2, .is_confirmed = false, .claim = {1, 30}});
  driver.hear(2, bound, accept(1, bound, 11));
  driver.hear(3, high, wire::Prepare{});
  EXPECT_TRUE(driver.persists.empty());
  EXPECT_TRUE(driver.sends.empty());
  driver.answer(2, word({1, 30}));
  EXPECT_TRUE(driver.engine().may_promise());
}

TEST(Start, AsksAgainWhoHasNotAnswered) {
  Driver driver({.open_count = 2, .is_confirmed = false, .claim = {1, 30}});
  driver.tick(1'000);
  ASSERT_EQ(driver.count<wire::Hello>(), 2U);
  EXPECT_EQ(std::get<wire::Hello>(driver.sends[0].payload).position, (Position{1, 30}));
  driver.pass(50'000);
  EXPECT_GE(driver.count<wire::Hello>(), 4U);
}

TEST(Start, DoesNotCampaignBeforeItIsConfirmed) {
  Driver driver({.open_count = 2, .is_confirmed = false});
  driver.pass(1'000'000);
  EXPECT_EQ(driver.count<wire::Suspect>(), 0U);
}

TEST(Start, WithFlexibleQuorumsNeedsTheLargerOne) {
  Driver driver({.members = 4, .open_count = 2, .is_confirmed = false, .phase1 = 3, .phase2 = 2});
  driver.answer(2, word({}));
  EXPECT_FALSE(driver.engine().confirmed());
  driver.answer(3, word({}));
  EXPECT_TRUE(driver.engine().confirmed());
}

TEST(Start, OfTheOnlyMemberNeedsNobody) {
  Driver driver({.members = 1, .open_count = 2, .is_confirmed = false});
  EXPECT_TRUE(driver.engine().confirmed());
}

TEST(Start, AnnouncesNoPositionBeforeABlockThatVouchesForItself) {
  Driver driver({.open_count = 2, .is_confirmed = false, .claim = {1, 30}});
  driver.hear(3, Ballot{}, wire::Chosen{record(1, low, 11)});  // staged before it is confirmed
  driver.answer(2, word({}));
  driver.make_durable();
  driver.hear(3, high, wire::Heartbeat{});
  EXPECT_EQ(std::get<wire::HeartbeatAnswer>(driver.sends.back().payload).sequence, 0U);
  driver.hear(3, high, accept(2, high, 22));
  driver.make_durable();
  EXPECT_EQ(std::get<wire::Accepted>(driver.sends.back().payload).sequence, 2U);
}

// --- stale images -----------------------------------------------------------------------------------------------------------

TEST(StaleImage, IsFoundByOneWhoHeardMore) {
  Driver driver(stale());
  driver.answer(2, word({4, 50}, bound, Slot(3)));
  EXPECT_TRUE(driver.engine().doubt().is_unbounded());
  EXPECT_EQ(driver.engine().counters().stale_found, 1U);
  driver.answer(3, word({}, high, Slot(1)));
  EXPECT_FALSE(driver.engine().may_vote());
  driver.make_durable();
  driver.tick(1'000);
  driver.make_durable();
  EXPECT_EQ(driver.engine().doubt(), Doubt::below(high, Slot(3)));
  EXPECT_EQ(driver.open_count_floor(), 0U);
}

TEST(StaleImage, ThatWasConfirmedIsFoundByALateAnswer) {
  Driver driver(stale());
  driver.answer(3, word({}));
  EXPECT_TRUE(driver.engine().may_vote());
  driver.answer(2, word({4, 50}));
  EXPECT_FALSE(driver.engine().may_vote());
}

TEST(StaleImage, ThatWasConfirmedIsFoundByALeadersGossip) {
  Driver driver(stale());
  driver.answer(3, word({}));
  driver.hear(3, high, wire::Heartbeat{.heard = {{{4, 50}}}});
  EXPECT_TRUE(driver.engine().doubt().is_unbounded());
}

TEST(StaleImage, ThatCountsItsOpensAgainNeedsAHigherCountAndAsksAgain) {
  Driver driver(stale());
  driver.answer(2, word({7, 50}, bound));
  driver.answer(3, word({}, high));
  EXPECT_EQ(driver.open_count_floor(), 8U);
  const Probe asked = driver.engine().question();
  driver.make_durable();
  driver.tick(1'000);
  driver.make_durable();
  EXPECT_TRUE(driver.engine().doubt().is_unbounded()) << "repaired under a count that the others refuse";
  driver.engine().raise_open_count(8);
  EXPECT_NE(driver.engine().question(), asked);
  driver.answer(2, word({7, 50}, bound));
  driver.answer(3, word({}, high));
  driver.make_durable();
  EXPECT_EQ(driver.engine().doubt().bound, high);
  // What the image's successor did lies behind it now.
  driver.hear(3, high, wire::Heartbeat{.heard = {{{7, 60}}}});
  EXPECT_TRUE(driver.engine().may_vote());
}

TEST(StaleImage, WithTheVeryOpenCountOfTheLostProcessIsFound) {
  Driver driver({.open_count = 5, .is_confirmed = false, .claim = {4, 20}});
  driver.answer(2, word({5, 1}));
  EXPECT_TRUE(driver.engine().doubt().is_unbounded());
  EXPECT_EQ(driver.open_count_floor(), 6U);
}

TEST(StaleImage, HearsOfItsPositionFromOneWhoHeardOfItByGossip) {
  Driver driver;
  // The leader heard replica 3 at block 50 and says so to us; then it dies.
  driver.hear(2, bound, wire::Heartbeat{.heard = {{{}, {}, {4, 50}}}});
  wire::PeerMessage hello = Driver::message(3, Ballot{}, wire::Hello{.wants_answer = 1, .position = {4, 20}}, {}, Probe(9));
  hello.incarnation.open_count = 5;
  driver.hear(hello);
  const Send answer = driver.sent<wire::Hello>().back();
  EXPECT_EQ(std::get<wire::Hello>(answer.payload).position, (Position{4, 50}));
  EXPECT_EQ(answer.probe, Probe(9));
}

TEST(StaleImage, WithALowerOpenCountIsAnsweredAndNotAdmitted) {
  Driver driver;
  wire::PeerMessage message = Driver::message(2, bound, accept(1, bound, 11));
  message.incarnation.open_count = 7;
  driver.hear(message);
  driver.sends.clear();
  wire::PeerMessage old = Driver::message(2, Ballot{}, wire::Hello{.wants_answer = 1}, {}, Probe(9));
  old.incarnation.open_count = 5;
  driver.hear(old);
  ASSERT_EQ(driver.count<wire::Hello>(), 1U);
  EXPECT_EQ(std::get<wire::Hello>(driver.sends[0].payload).position, (Position{7, 0}));
  old.payload = wire::Prepare{};
  old.ballot = ballot_of(9, 2);
  driver.hear(old);
  EXPECT_EQ(driver.engine().promised(), bound);
}

TEST(StaleImage, OfALeaderStepsDown) {
  DriverOptions options = stale();
  options.is_confirmed = true;
  Driver driver(options);
  driver.lead();
  ASSERT_TRUE(driver.engine().is_leader());
  driver.answer(3, word({4, 50}));
  EXPECT_FALSE(driver.engine().is_leader());
}

TEST(StaleImage, SendsNoVoteThatWaitedForTheDisk) {
  DriverOptions options = stale();
  options.is_confirmed = true;
  Driver driver(options);
  driver.hear(2, bound, accept(1, bound, 11));
  driver.answer(3, word({4, 50}));
  driver.make_durable();
  EXPECT_EQ(driver.count<wire::Accepted>(), 0U);
}

// --- the table --------------------------------------------------------------------------------------------------------------

TEST(Witness, KeepsTheHighestPositionOfEachMember) {
  Driver driver({.heard = {{{}, {1, 9}, {1, 5}}}});
  driver.hear(2, bound, wire::HeartbeatAnswer{7});
  EXPECT_EQ(driver.engine().heard()[1], (Position{1, 9}));
  driver.hear(3, bound, wire::HeartbeatAnswer{7});
  EXPECT_EQ(driver.engine().heard()[2], (Position{1, 7}));
}

TEST(Witness, PassesItsTableOnAsALeader) {
  Driver driver({.heard = {{{}, {1, 9}, {1, 5}}}});
  driver.lead();
  ASSERT_GT(driver.count<wire::Heartbeat>(), 0U);
  EXPECT_EQ(std::get<wire::Heartbeat>(driver.sent<wire::Heartbeat>()[0].payload).heard[2], (Position{1, 5}));
}

TEST(Witness, RemembersAcrossARestartHowOftenADiskWasOpened) {
  Driver driver({.heard = {{{}, {7, 9}}}});
  driver.hear(2, bound, wire::Prepare{});  // of open 1
  EXPECT_TRUE(driver.persists.empty());
}

// --- trim and checkpoints ---------------------------------------------------------------------------------------------------

TEST(Trim, IsInPromises) {
  Driver driver({.commit = Slot(9)});
  driver.set_trim(Slot(6));
  driver.hear(2, bound, wire::Prepare{}, Slot(9));
  driver.make_durable();
  ASSERT_EQ(driver.count<wire::Promise>(), 1U);
  EXPECT_EQ(std::get<wire::Promise>(driver.sent<wire::Promise>()[0].payload).trim, Slot(6));
}

TEST(Trim, OfAPeerIsNotFilledWithNoOps) {
  Driver driver;
  driver.campaign();
  driver.make_durable();
  const std::array<wire::PromisedSlot, 1> beyond{{{Slot(6), low, Checksum(66), 8}}};
  driver.hear(2, driver.engine().promised(), wire::Promise{Slot(6), Slot(21), beyond}, Slot(5));
  driver.pass(2'000);
  EXPECT_EQ(driver.engine().role(), wire::Role::candidate);
  EXPECT_EQ(driver.count<wire::Accept>(), 0U);
  EXPECT_GT(driver.count<wire::CatchUp>(), 0U);
}

TEST(Checkpoint, MovesTheWindowAndKeepsWhatIsBeyond) {
  Driver driver;
  driver.hear(2, bound, accept(1, bound, 11));
  driver.hear(2, bound, accept(8, bound, 88));
  driver.make_durable();
  driver.install(Slot(7));
  EXPECT_EQ(driver.engine().commit(), Slot(7));
  EXPECT_EQ(driver.bodies_alive(), 1U);
  ASSERT_NE(driver.engine().open_slot(Slot(8)), nullptr);
  driver.hear(2, bound, wire::Heartbeat{}, Slot(8));
  EXPECT_EQ(driver.engine().commit(), Slot(8));
}

TEST(Checkpoint, FarBehindTheWindowReleasesEverything) {
  Driver driver;
  driver.hear(2, bound, accept(1, bound, 11));
  driver.hear(2, bound, accept(8, bound, 88));
  driver.install(Slot(1'000'000'000));
  EXPECT_EQ(driver.engine().commit(), Slot(1'000'000'000));
  EXPECT_EQ(driver.bodies_alive(), 0U);
}

TEST(Checkpoint, MakesALeaderStepDown) {
  Driver driver;
  driver.lead();
  driver.propose(11);
  driver.install(Slot(7));
  EXPECT_EQ(driver.engine().role(), wire::Role::follower);
  EXPECT_EQ(driver.bodies_alive(), 0U);
}

TEST(Checkpoint, OfCommittedSlotsChangesNothing) {
  Driver driver({.commit = Slot(9)});
  driver.install(Slot(7));
  EXPECT_EQ(driver.engine().commit(), Slot(9));
}

TEST(Checkpoint, ResolvesADoubt) {
  Driver driver(bounded());
  driver.install(Slot(1));
  EXPECT_TRUE(driver.engine().may_promise());
}

}  // namespace
}  // namespace synod::consensus::testing
