// One session against a cluster that behaves well, or badly in one way at a time.
#include <fmt/format.h>

#include "tests/client/world.h"

namespace synod::test {
namespace {

using client::EndReason;
using client::Outcome;

void append_all(World& world, std::size_t count, std::size_t bytes = 0) {
  for (std::size_t i = 0; i < count;) {
    if (world.append(fmt::format("{:08}", world.submitted.size()) + std::string(bytes, 'x'))) {
      ++i;
    } else {
      world.step();
    }
  }
}

TEST(Session, CompletesAppendsInOrder) {
  World world({});
  append_all(world, 3000);
  ASSERT_TRUE(world.run_until_finished());
  EXPECT_EQ(world.count(Outcome::appended), 3000U);
  EXPECT_EQ(world.session.counters().messages_resent, 0U);
  world.expect_one_story();
}

TEST(Session, PacksWaitingEntriesIntoOnePacket) {
  World world({});
  append_all(world, 100);
  ASSERT_TRUE(world.run_until_finished());
  EXPECT_EQ(world.cluster.append_messages, 1U);
}

TEST(Session, SendsOneEntryAPacketIfAsked) {
  WorldOptions options;
  options.session.entries_per_packet_max = 1;
  World world(options);
  append_all(world, 100);
  ASSERT_TRUE(world.run_until_finished());
  EXPECT_EQ(world.cluster.append_messages, 100U);
  world.expect_one_story();
}

TEST(Session, HasNoMorePacketsUnansweredThanTheLeaderGivesCreditFor) {
  WorldOptions options;
  options.session.entries_per_packet_max = 1;
  World world(options);
  world.cluster.script.credit = 5;
  append_all(world, 1);
  ASSERT_TRUE(world.run_until_finished());
  world.cluster.script.silent = true;
  append_all(world, 600);
  world.run_for(4'000);  // before it sends anything again
  const auto unanswered = [&] { return world.cluster.log.size() - world.completions.size(); };
  EXPECT_EQ(unanswered(), 5U);
  // The next answer brings another word.
  world.cluster.script.silent = false;
  world.cluster.script.credit = 20;
  ASSERT_TRUE(world.run_until([&] { return world.completions.size() > 300; }));
  world.cluster.script.silent = true;
  world.run_for(4'000);
  ASSERT_GT(world.session.unfinished(), 40U);
  EXPECT_EQ(unanswered(), 20U);
  world.cluster.script.silent = false;
  ASSERT_TRUE(world.run_until_finished());
  world.expect_one_story();
}

TEST(Session, RefusesToQueueMoreEntriesThanTheWindowHolds) {
  WorldOptions options;
  options.session.entries_in_flight_max = 10;
  World world(options);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(world.append(fmt::format("{}", i)));
  EXPECT_FALSE(world.append("one more"));
  ASSERT_TRUE(world.run_until_finished());
  EXPECT_TRUE(world.append("one more"));
  ASSERT_TRUE(world.run_until_finished());
  world.expect_one_story();
}

TEST(Session, RefusesToQueueMoreBytesThanTheWindowHolds) {
  WorldOptions options;
  options.session.bytes_in_flight_max = 2U << 20;
  World world(options);
  EXPECT_TRUE(world.append("a" + std::string(1'000'000, 'x')));
  EXPECT_TRUE(world.append("b" + std::string(1'000'000, 'x')));
  EXPECT_FALSE(world.append("c" + std::string(1'000'000, 'x')));
  ASSERT_TRUE(world.run_until_finished());
  EXPECT_TRUE(world.append("c" + std::string(1'000'000, 'x')));
  ASSERT_TRUE(world.run_until_finished());
  world.expect_one_story();
}

TEST(Session, AppendsTheLargestEntry) {
  World world({});
  ASSERT_TRUE(world.append(std::string(entry_bytes_max, 'x')));
  ASSERT_TRUE(world.append(""));
  ASSERT_TRUE(world.run_until_finished());
  EXPECT_EQ(world.count(Outcome::appended), 2U);
  world.expect_one_story();
}

TEST(Session, RetransmissionFillsTheHolesOfALargeEntry) {
  WorldOptions options;
  options.faults.loss_permille = 100;  // no attempt of 800 packets arrives whole
  World world(options);
  ASSERT_TRUE(world.append(std::string(entry_bytes_max, 'x')));
  ASSERT_TRUE(world.run_until_finished());
  EXPECT_EQ(world.count(Outcome::appended), 1U);
}

TEST(Session, FollowsAFollowersHint) {
  WorldOptions options;
  options.leader = ReplicaId(3);
  World world(options);
  append_all(world, 1);
  ASSERT_TRUE(world.run_until_finished(10'000));
  EXPECT_EQ(world.session.leader().moves(), 1U);
}

TEST(Session, FindsTheLeaderWithoutHints) {
  WorldOptions options;
  options.leader = ReplicaId(3);
  World world(options);
  world.cluster.script.hints = false;
  append_all(world, 1);
  ASSERT_TRUE(world.run_until_finished(50'000));
  EXPECT_EQ(world.session.leader().moves(), 2U);
}

TEST(Session, FollowsAHandOverInMidStream) {
  World world({});
  append_all(world, 1000);
  world.run_until([&] { return world.completions.size() > 100; });
  world.cluster.hand_over(ReplicaId(2));
  append_all(world, 1000);
  ASSERT_TRUE(world.run_until_finished());
  EXPECT_EQ(world.count(Outcome::appended), 2000U);
  world.expect_one_story();
}

TEST(Session, GoesOnWithTheSuccessorOfADeadLeader) {
  World world({});
  append_all(world, 500);
  ASSERT_TRUE(world.run_until_finished());
  append_all(world, 500);
  world.run_for(100);
  world.cluster.kill_leader(ReplicaId(3), 200'000);
  const std::uint64_t killed_us = world.network.now_us;
  ASSERT_TRUE(world.run_until_finished());
  EXPECT_LT(world.network.now_us - killed_us, 300'000U) << "100 ms beyond the election";
  EXPECT_EQ(world.count(Outcome::appended), 1000U);
  world.expect_one_story();
}

TEST(Session, LeavesALeaderThatIsGoneAtOnce) {
  World world({});
  append_all(world, 500);
  ASSERT_TRUE(world.run_until_finished());
  world.network.refuse(world.session.leader().target().route.endpoint);
  world.cluster.kill_leader(ReplicaId(3), 5'000);
  const std::uint64_t killed_us = world.network.now_us;
  append_all(world, 500, 500);
  ASSERT_TRUE(world.run_until_finished());
  EXPECT_LT(world.network.now_us - killed_us, 20'000U) << "sooner than a silent one is left";
  world.expect_one_story();
}

TEST(Session, StaysWithALeaderThoughAnotherReplicaIsGone) {
  World world({});
  append_all(world, 1);
  ASSERT_TRUE(world.run_until_finished());
  const std::uint64_t moves = world.session.leader().moves();
  world.network.inject_refusal(world.cluster.peers()[2].route.endpoint, {2, 1});
  append_all(world, 100, 1);
  ASSERT_TRUE(world.run_until_finished());
  EXPECT_EQ(world.session.leader().moves(), moves);
}

TEST(Session, AsksSparinglyWhileNobodyLeads) {
  World world({});
  append_all(world, 1000);
  ASSERT_TRUE(world.run_until_finished());
  world.cluster.kill_leader(ReplicaId(2), 2'000'000);
  append_all(world, 1000, 1000);
  const std::uint64_t before = world.network.counters().sent;
  world.run_for(2'000'000);
  EXPECT_LT(world.network.counters().sent - before, 700U) << "a storm of retransmissions";
  ASSERT_TRUE(world.run_until_finished());
  world.expect_one_story();
}

TEST(Session, ReturnsToALeaderThatWasOnlySlow) {
  World world({});
  append_all(world, 1);
  ASSERT_TRUE(world.run_until_finished());
  world.cluster.script.commit_us = 150'000;
  append_all(world, 1);
  ASSERT_TRUE(world.run_until_finished(1'000'000));
  EXPECT_GT(world.session.leader().moves(), 0U);
  world.expect_one_story();
}

TEST(Session, SendsAgainFromTheGap) {
  WorldOptions options;
  options.session.entries_per_packet_max = 1;
  World world(options);
  append_all(world, 1);
  ASSERT_TRUE(world.run_until_finished());
  world.network.faults.loss_permille = 1000;
  append_all(world, 1);
  world.step();  // its packet is lost
  world.network.faults = {};
  append_all(world, 50);
  ASSERT_TRUE(world.run_until_finished(5'000)) << "not before the retransmission timer";
  EXPECT_EQ(world.session.counters().gaps, 1U);
  EXPECT_EQ(world.session.counters().timeouts, 0U);
  world.expect_one_story();
}

TEST(Session, BacksOffFromABusyLeader) {
  WorldOptions options;
  options.session.entries_per_packet_max = 1;
  World world(options);
  world.cluster.script.pending_runs_max = 4;
  world.cluster.script.commit_us = 1000;
  append_all(world, 300);
  ASSERT_TRUE(world.run_until_finished());
  EXPECT_GT(world.session.counters().busy, 0U);
  EXPECT_LT(world.cluster.append_messages, 300U * 10);
  EXPECT_EQ(world.count(Outcome::appended), 300U);
  world.expect_one_story();
}

TEST(Session, DeadlineBehindABusyLeaderMeansNotAppended) {
  WorldOptions options;
  options.session.append_timeout_us = 300'000;
  World world(options);
  world.cluster.script.busy_permille = 1000;
  append_all(world, 100);
  ASSERT_TRUE(world.run_until_finished());
  EXPECT_EQ(world.session.end_reason(), EndReason::deadline);
  EXPECT_EQ(world.session.refusal(), wire::RefusalReason::busy);
  EXPECT_EQ(world.count(Outcome::not_appended), 100U);
  world.expect_one_story();
}

TEST(Session, DeadlineWithFullJournalsMeansNotAppended) {
  WorldOptions options;
  options.session.append_timeout_us = 300'000;
  World world(options);
  append_all(world, 100);
  ASSERT_TRUE(world.run_until_finished());
  world.cluster.script.no_space = true;
  append_all(world, 100);
  ASSERT_TRUE(world.run_until_finished());
  EXPECT_EQ(world.session.refusal(), wire::RefusalReason::no_space);
  EXPECT_EQ(world.count(Outcome::not_appended), 100U);
  world.expect_one_story();
}

// Whoever asks why nothing is answered must not be told what was true once (the second load of a bench on a journal that was full
// ended before it began).
TEST(Session, ForgetsARefusalWhenThereIsRoomAgain) {
  World world({});
  append_all(world, 100);
  ASSERT_TRUE(world.run_until_finished());
  world.cluster.script.no_space = true;
  append_all(world, 100);
  ASSERT_TRUE(world.run_until([&] { return world.session.refusal() == wire::RefusalReason::no_space; }));
  world.cluster.script.no_space = false;
  ASSERT_TRUE(world.run_until_finished());
  EXPECT_FALSE(world.session.refusal().has_value());
  world.expect_one_story();
}

TEST(Session, DeadlineBeforeAnySessionMeansNotAppended) {
  WorldOptions options;
  options.session.append_timeout_us = 300'000;
  options.faults.loss_permille = 1000;
  World world(options);
  append_all(world, 10);
  ASSERT_TRUE(world.run_until_finished());
  EXPECT_EQ(world.count(Outcome::not_appended), 10U);
}

TEST(Session, DeadlineInSilenceMeansOutcomeUnknown) {
  WorldOptions options;
  options.session.append_timeout_us = 300'000;
  World world(options);
  append_all(world, 10);
  ASSERT_TRUE(world.run_until_finished());
  world.cluster.script.silent = true;
  append_all(world, 10);
  ASSERT_TRUE(world.run_until_finished());
  EXPECT_EQ(world.count(Outcome::appended), 10U);
  EXPECT_EQ(world.count(Outcome::unknown), 10U);
  EXPECT_EQ(world.cluster.log.size(), 20U);
  EXPECT_FALSE(world.append("after the end"));
  world.expect_one_story();
}

TEST(Session, RefusedEntryEndsTheSessionAsNotAppended) {
  World world({});
  world.cluster.script.too_large = true;
  append_all(world, 10);
  ASSERT_TRUE(world.run_until_finished());
  EXPECT_EQ(world.session.end_reason(), EndReason::refused);
  EXPECT_EQ(world.count(Outcome::not_appended), 10U);
  world.expect_one_story();
}

TEST(Session, EvictionMakesSentEntriesUnknown) {
  World world({});
  append_all(world, 10);
  ASSERT_TRUE(world.run_until_finished());
  world.cluster.script.silent = true;
  append_all(world, 10);
  world.run_for(1000);
  world.cluster.evict_all_sessions();
  ASSERT_TRUE(world.run_until_finished());
  EXPECT_EQ(world.session.end_reason(), EndReason::evicted);
  EXPECT_EQ(world.count(Outcome::unknown), 10U);
  world.expect_one_story();
}

TEST(Session, ReopensAsAFreshSession) {
  World world({});
  append_all(world, 10);
  ASSERT_TRUE(world.run_until_finished());
  world.cluster.evict_all_sessions();
  append_all(world, 1);
  ASSERT_TRUE(world.run_until_finished());
  ASSERT_TRUE(world.session.ended());
  world.session.reopen();
  EXPECT_EQ(world.append("again"), Sequence(1));
  ASSERT_TRUE(world.run_until_finished());
  EXPECT_EQ(world.completions.back().outcome, Outcome::appended);
  EXPECT_EQ(world.cluster.sessions_opened, 2U);
  EXPECT_EQ(world.cluster.log.back().payload, "again");
}

TEST(Session, IgnoresAnswersThatDoNotFit) {
  World world({});
  append_all(world, 1);
  ASSERT_TRUE(world.run_until_finished());
  world.cluster.script.silent = true;
  append_all(world, 5);
  world.run_for(1000);
  const auto deliver = [&](const auto& body, wire::MessageType type) {
    dataplane::Message message;
    message.header.type = type;
    message.header.source = ReplicaId(1);
    message.payload = bytes_of(body);
    world.session.on_message(message, world.network.now_us);
  };
  const SessionId session = world.session.id();
  const SessionId foreign(session.value() + 1);
  const auto appended = wire::MessageType::appended;
  deliver(wire::Appended{.session = foreign, .first = Sequence(2), .first_lsn = Lsn(9), .count = 5, .ack = {}, .zero = {}},
          appended);
  deliver(wire::Appended{.session = session, .first = Sequence(7), .first_lsn = Lsn(9), .count = ~0U, .ack = {}, .zero = {}},
          appended);
  deliver(wire::Appended{.session = session, .first = Sequence(~0ULL), .first_lsn = Lsn(9), .count = 9, .ack = {}, .zero = {}},
          appended);
  deliver(wire::Appended{.session = session, .first = Sequence(1), .first_lsn = Lsn(0), .count = 1, .ack = {}, .zero = {}},
          appended);
  deliver(std::uint64_t{1}, appended);
  for (std::uint8_t reason = 0; reason < 12; ++reason) {
    wire::Refused refused;
    refused.session = foreign;
    refused.sequence = Sequence(2);
    refused.reason = static_cast<wire::RefusalReason>(reason);
    deliver(refused, wire::MessageType::refused);
  }
  EXPECT_EQ(world.session.unfinished(), 5U);
  EXPECT_FALSE(world.session.ended());
  EXPECT_FALSE(world.session.poll_completion());
}

// The network may deliver one refusal twice. The second copy says nothing about the attempt that was made between them.
TEST(Session, DoesNotTakeARefusalOfOneAttemptForThatOfTheNext) {
  WorldOptions options;
  options.session.append_timeout_us = 50'000;
  World world(options);
  append_all(world, 1);
  ASSERT_TRUE(world.run_until_finished());
  world.cluster.script.busy_permille = 1000;
  append_all(world, 1);
  world.run_for(30'000);  // by now it pauses so long that the next attempt but one would come behind the deadline
  ASSERT_TRUE(world.cluster.last_refused.has_value());
  const wire::Refused first = *world.cluster.last_refused;
  world.cluster.script.busy_permille = 0;
  world.cluster.script.silent = true;
  const std::uint64_t sent = world.session.counters().messages_sent;
  ASSERT_TRUE(world.run_until([&] { return world.session.counters().messages_sent > sent; })) << "no second attempt";
  dataplane::Message again;
  again.header.type = wire::MessageType::refused;
  again.header.source = ReplicaId(1);
  again.payload = bytes_of(first);
  world.session.on_message(again, world.network.now_us);
  ASSERT_TRUE(world.run_until_finished());
  EXPECT_EQ(world.completions.back().outcome, Outcome::unknown) << "nobody has refused the second attempt";
}

TEST(Session, AsksTheLeaderForTheTail) {
  WorldOptions options;
  options.leader = ReplicaId(2);
  World world(options);
  append_all(world, 7);
  ASSERT_TRUE(world.run_until_finished());
  world.cluster.hand_over(ReplicaId(3));
  client::Call& call = world.session.call();
  call.start_tail(world.session.next_request(), world.network.now_us, 1'000'000);
  ASSERT_TRUE(world.run_until_answered());
  EXPECT_EQ(call.tail(), Lsn(7));
}

TEST(Session, ReadsFromAGivenReplica) {
  World world({});
  append_all(world, 7);
  ASSERT_TRUE(world.run_until_finished());
  client::Call& call = world.session.call();
  call.start_read(world.session.next_request(), Lsn(2), Lsn(5), 1 << 16, world.cluster.peers()[2], world.network.now_us,
                  1'000'000);
  ASSERT_TRUE(world.run_until_answered());
  EXPECT_EQ(call.read().count, 3U);
  EXPECT_EQ(wire::split_entry(call.entries()).payload.size(), 8U);
}

// It may have been asked because the leader was silent for a moment.
TEST(Session, AReadGoesOnWhereAReplicaHasNothing) {
  WorldOptions options;
  options.leader = ReplicaId(2);
  World world(options);
  append_all(world, 7);
  ASSERT_TRUE(world.run_until_finished());
  world.cluster.script.lagging = ReplicaId(2);
  client::Call& call = world.session.call();
  call.start_read(world.session.next_request(), Lsn(2), Lsn(5), 1 << 16, {}, world.network.now_us, 1'000'000);
  ASSERT_TRUE(world.run_until_answered());
  EXPECT_EQ(call.read().count, 3U);
  call.start_read(world.session.next_request(), Lsn(2), Lsn(5), 1 << 16, world.cluster.peers()[1], world.network.now_us,
                  1'000'000);
  ASSERT_TRUE(world.run_until_answered());
  EXPECT_EQ(call.read().count, 0U) << "a given replica is taken at its word";
}

TEST(Session, TrimsThroughTheLeader) {
  WorldOptions options;
  options.leader = ReplicaId(2);
  World world(options);
  append_all(world, 7);
  ASSERT_TRUE(world.run_until_finished());
  client::Call& call = world.session.call();
  for (const std::uint64_t lsn : {5U, 3U}) {
    call.start_trim(world.session.next_request(), Lsn(lsn), world.network.now_us, 1'000'000);
    ASSERT_TRUE(world.run_until_answered());
    EXPECT_EQ(call.trimmed_to(), Lsn(5)) << "of an earlier one, too";
  }
}

TEST(Session, TrimsOverALossyNetwork) {
  WorldOptions options;
  options.faults.loss_permille = 400;
  World world(options);
  append_all(world, 7);
  ASSERT_TRUE(world.run_until_finished());
  client::Call& call = world.session.call();
  call.start_trim(world.session.next_request(), Lsn(6), world.network.now_us, 0);
  ASSERT_TRUE(world.run_until([&] { return !call.waiting(); }));
  EXPECT_EQ(call.trimmed_to(), Lsn(6));
}

TEST(Session, AReadOfWhatIsTrimmedIsToldTheFirstThatIsKept) {
  World world({});
  append_all(world, 7);
  ASSERT_TRUE(world.run_until_finished());
  world.cluster.trim = Lsn(4);
  client::Call& call = world.session.call();
  for (const std::uint64_t from : {3U, 4U}) {
    call.start_read(world.session.next_request(), Lsn(from), Lsn(7), 1 << 16, {}, world.network.now_us, 1'000'000);
    ASSERT_TRUE(world.run_until([&] { return !call.waiting(); }));
    EXPECT_EQ(call.state(), from < 4 ? client::CallState::refused : client::CallState::answered);
    EXPECT_EQ(call.first_kept(), from < 4 ? Lsn(4) : Lsn{});
  }
}

TEST(Session, AnUnansweredCallExpires) {
  WorldOptions options;
  options.faults.loss_permille = 1000;
  World world(options);
  client::Call& call = world.session.call();
  call.start_tail(world.session.next_request(), world.network.now_us, 500'000);
  ASSERT_TRUE(world.run_until([&] { return !call.waiting(); }, 600'000));
  EXPECT_EQ(call.state(), client::CallState::expired);
}

}  // namespace
}  // namespace synod::test
