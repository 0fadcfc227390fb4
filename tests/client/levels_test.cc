// What a session does with answers that come early, and with the news that they were lost (rule 10). The test plays the leader.
#include <fmt/format.h>

#include "tests/client/world.h"

namespace synod::test {
namespace {

using client::EndReason;
using client::Outcome;
using wire::AckLevel;

class Levels : public ::testing::Test {
 protected:
  // A session that is open, and a cluster that says nothing more by itself: whatever it answers comes from `answered` and `gap`.
  void SetUp() override {
    ASSERT_TRUE(world_.append("first"));
    ASSERT_TRUE(world_.run_until_finished());
    world_.cluster.script.silent = true;
  }
  void append(AckLevel level) {
    ASSERT_TRUE(world_.append(fmt::format("{}", world_.submitted.size()), level));
    world_.run_for(100);
  }
  template <class T>
  void deliver(wire::MessageType type, const T& body, std::uint64_t round, std::uint16_t from) {
    dataplane::Message message;
    message.header.type = type;
    message.header.source = ReplicaId(from);
    message.header.ballot = Ballot(round, ReplicaId(from));
    message.payload = bytes_of(body);
    world_.session.on_message(message, world_.network.now_us);
    while (const auto completion = world_.session.poll_completion()) completions_.push_back(*completion);
  }
  void answered(std::uint64_t sequence, AckLevel level, std::uint64_t round, std::uint16_t from = 1) {
    const wire::Appended appended{world_.session.id(), Sequence(sequence), Lsn(100 + sequence), 1, level};
    deliver(wire::MessageType::appended, appended, round, from);
  }
  void gap(std::uint64_t next, std::uint64_t round, std::uint16_t from = 1) {
    const wire::Refused refused{.session = world_.session.id(), .sequence = Sequence(next), .reason = wire::RefusalReason::gap};
    deliver(wire::MessageType::refused, refused, round, from);
  }

  World world_{WorldOptions{}};
  std::vector<client::Completion> completions_;  // since the session is open
};

TEST_F(Levels, AnEarlyAnswerCompletesTheAppendThatAskedForIt) {
  append(AckLevel::leader);
  answered(2, AckLevel::leader, 5);
  ASSERT_EQ(completions_.size(), 1U);
  EXPECT_EQ(completions_[0].outcome, Outcome::appended);
  EXPECT_TRUE(completions_[0].is_early());
  EXPECT_EQ(completions_[0].ballot, Ballot(5, ReplicaId(1)));
  EXPECT_EQ(completions_[0].lsn, Lsn(102));
  answered(2, AckLevel::quorum, 5);  // the final one follows, and changes nothing
  EXPECT_EQ(completions_.size(), 1U);
}

TEST_F(Levels, AnAnswerOfLessThanWasAskedForCompletesNothing) {
  append(AckLevel::quorum);
  append(AckLevel::all);
  for (const AckLevel level : {AckLevel::memory, AckLevel::leader, AckLevel::one}) answered(2, level, 5);
  EXPECT_TRUE(completions_.empty());
  answered(2, AckLevel::quorum, 5);
  answered(3, AckLevel::quorum, 5);
  ASSERT_EQ(completions_.size(), 1U);
  EXPECT_FALSE(completions_[0].is_early());
  answered(3, AckLevel::all, 5);
  ASSERT_EQ(completions_.size(), 2U);
  EXPECT_EQ(completions_[1].met, AckLevel::all);
}

TEST_F(Levels, AFinalAnswerCompletesWhoAskedForLess) {
  append(AckLevel::one);
  answered(2, AckLevel::quorum, 5);
  ASSERT_EQ(completions_.size(), 1U);
  EXPECT_FALSE(completions_[0].is_early());
}

TEST_F(Levels, CompletionsStayInOrder) {
  append(AckLevel::quorum);
  append(AckLevel::memory);
  answered(3, AckLevel::memory, 5);
  EXPECT_TRUE(completions_.empty());
  answered(2, AckLevel::quorum, 5);
  EXPECT_EQ(completions_.size(), 2U);
}

TEST_F(Levels, OneMessageHasOneLevel) {
  world_.cluster.script.silent = false;
  const std::uint64_t before = world_.cluster.append_messages;
  for (const AckLevel level : {AckLevel::leader, AckLevel::leader, AckLevel::quorum, AckLevel::leader}) {
    ASSERT_TRUE(world_.append(fmt::format("{}", world_.submitted.size()), level));
  }
  ASSERT_TRUE(world_.run_until_finished());
  EXPECT_EQ(world_.cluster.append_messages - before, 3U);
}

TEST_F(Levels, ASessionWhoseEarlyAnswersWereLostEnds) {
  append(AckLevel::leader);
  append(AckLevel::leader);
  answered(2, AckLevel::leader, 5);
  answered(3, AckLevel::leader, 5);
  append(AckLevel::quorum);
  gap(3, 6);  // the leader of a later ballot holds the second entry, and not the third
  EXPECT_TRUE(world_.session.ended());
  EXPECT_EQ(world_.session.end_reason(), EndReason::lost);
  EXPECT_EQ(world_.session.lost_from(), Sequence(3));
  ASSERT_EQ(completions_.size(), 3U);
  EXPECT_EQ(completions_[2].outcome, Outcome::unknown);
  EXPECT_FALSE(world_.session.try_append(bytes_of(std::string_view("more")), world_.network.now_us));
  world_.session.reopen();
  EXPECT_FALSE(world_.session.ended());
  EXPECT_EQ(world_.session.lost_from(), Sequence{});
}

// It was answered early, and is not even taken yet, because one in front of it is not answered.
TEST_F(Levels, AnEarlyAnswerThatIsLostBeforeItIsTakenIsUnknown) {
  append(AckLevel::quorum);
  append(AckLevel::leader);
  append(AckLevel::quorum);
  answered(3, AckLevel::leader, 5);
  answered(2, AckLevel::quorum, 6);
  ASSERT_EQ(completions_.size(), 2U);
  completions_.clear();
  append(AckLevel::quorum);
  append(AckLevel::leader);
  answered(6, AckLevel::leader, 6);
  EXPECT_TRUE(completions_.empty());
  gap(6, 7);
  EXPECT_EQ(world_.session.end_reason(), EndReason::lost);
  ASSERT_EQ(completions_.size(), 3U);
  for (const auto& completion : completions_) EXPECT_EQ(completion.outcome, Outcome::unknown);
}

// The leader of ballot 6 was sent the second entry again, and so admits it; the third was answered early in ballot 5 and is gone.
TEST_F(Levels, ALossShowsBehindAnEntryThatTheNewLeaderHasAnswered) {
  append(AckLevel::quorum);
  append(AckLevel::leader);
  answered(3, AckLevel::leader, 5);
  answered(2, AckLevel::quorum, 6);
  append(AckLevel::quorum);
  gap(3, 6);
  EXPECT_EQ(world_.session.end_reason(), EndReason::lost);
}

TEST_F(Levels, AnOldGapIsNoLoss) {
  append(AckLevel::leader);
  answered(2, AckLevel::leader, 5);
  append(AckLevel::leader);
  gap(2, 5);  // of the same ballot, from before the entry came
  gap(2, 4);  // of a leader that was deposed
  EXPECT_FALSE(world_.session.ended());
  answered(3, AckLevel::leader, 7);  // who admits the third holds the second
  append(AckLevel::leader);
  gap(2, 6);
  EXPECT_FALSE(world_.session.ended());
}

TEST_F(Levels, AnEarlyAnswerOfADeposedLeaderIsNone) {
  append(AckLevel::leader);
  gap(2, 6);
  answered(2, AckLevel::leader, 5);
  answered(2, AckLevel::leader, 9, 2);  // of a replica that we do not ask
  EXPECT_TRUE(completions_.empty());
  answered(2, AckLevel::quorum, 5);  // what is committed is so, whoever says it
  EXPECT_EQ(completions_.size(), 1U);
}

}  // namespace
}  // namespace synod::test
