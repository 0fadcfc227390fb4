// Reading in order: what is read before it is asked for, and that nobody is ever answered with what should not be read.
#include <gtest/gtest.h>

#include "storage/layout.h"
#include "tests/replica/clients.h"
#include "wire/body.h"

namespace synod::replica::test {
namespace {

class ReadAhead : public ::testing::Test {
 protected:
  // One slot an entry: each waits for the one before it.
  void append(int count, std::size_t bytes = 20) {
    for (int i = 0; i < count; ++i) {
      world_.append_and_wait(client_, text(appended_, bytes));
      ++appended_;
    }
    ASSERT_TRUE(world_.run_until([&] { return world_.cluster.has_settled(); }));
  }
  static std::string text(int number, std::size_t bytes) {
    std::string text = "entry " + std::to_string(number);
    text.resize(std::max(text.size(), bytes), '.');
    return text;
  }
  client::Call& read(std::uint64_t from, std::uint64_t to, std::uint32_t bytes_max = 64U << 10) {
    client::Call& call = client_.session().call();
    call.start_read(client_.session().next_request(), Lsn(from), Lsn(to), bytes_max, world_.cluster.peers()[place_],
                    world_.cluster.network.now_us, 4'000'000);
    world_.run_until([&] { return !call.waiting(); });
    return call;
  }
  // Reads [from, to) in order, and expects what was appended. Who gets no answer asks again. Returns the number of answers.
  int expect_in_order(std::uint64_t from, std::uint64_t to, std::size_t bytes = 20) {
    int answers = 0;
    for (int attempts = 0; from < to && attempts < 10'000; ++attempts) {
      const client::Call& call = read(from, to);
      if (call.state() != client::CallState::answered || call.read().count == 0) continue;
      ++answers;
      Bytes rest = call.entries();
      for (std::uint32_t i = 0; i < call.read().count; ++i, ++from) {
        const wire::EntrySplit split = wire::split_entry(rest);
        const std::string entry(reinterpret_cast<const char*>(split.payload.data()), split.payload.size());
        EXPECT_EQ(entry, text(static_cast<int>(from), bytes));
        rest = split.rest;
      }
    }
    EXPECT_EQ(from, to);
    return answers;
  }
  [[nodiscard]] const ReadCounters& counters() { return world_.cluster.node(place_).read_counters(); }

  World world_{{.seed = 1, .capacity_bytes = 16U << 20, .segment_bytes = 2U << 20}};
  Client& client_ = world_.add_client();
  std::size_t place_ = 1;
  int appended_ = 0;
};

TEST_F(ReadAhead, an_answer_holds_the_entries_of_many_slots) {
  append(1'200);  // more than a page of the index
  EXPECT_LT(expect_in_order(0, 1'200), 100) << "and not 1,200";
  EXPECT_GT(counters().stretches, 5U);
  EXPECT_GT(counters().answers_at_once, counters().answers / 2);
}

TEST_F(ReadAhead, an_answer_stays_within_what_was_asked_for) {
  append(100, 1'000);
  expect_in_order(0, 20, 1'000);
  const client::Call& some = read(20, 100, 5'100);
  ASSERT_EQ(some.state(), client::CallState::answered);
  EXPECT_EQ(some.read().count, 5U) << "entries of 1,004 bytes";
  const client::Call& few = read(25, 28);
  ASSERT_EQ(few.state(), client::CallState::answered);
  EXPECT_EQ(few.read().count, 3U);
}

TEST_F(ReadAhead, reads_here_and_there_read_nothing_ahead) {
  append(300);
  for (std::uint64_t i = 0; i < 200; ++i) {
    const std::uint64_t lsn = i * 77 % 299;
    const client::Call& call = read(lsn, lsn + 1);
    ASSERT_EQ(call.state(), client::CallState::answered);
    EXPECT_EQ(call.read().count, 1U);
  }
  EXPECT_EQ(counters().stretches, 0U);
  EXPECT_EQ(counters().answers, 200U);
  EXPECT_EQ(counters().answers_at_once, 0U);
}

TEST_F(ReadAhead, a_reader_at_the_tail_gets_what_comes) {
  append(50);
  expect_in_order(0, 50);
  for (int i = 0; i < 30; ++i) {
    append(3);
    expect_in_order(static_cast<std::uint64_t>(appended_) - 3, static_cast<std::uint64_t>(appended_));
  }
}

TEST_F(ReadAhead, entries_larger_than_a_stretch_are_read_ahead_one_by_one) {
  append(8, 400'000);
  EXPECT_EQ(expect_in_order(0, 8, 400'000), 8);
  EXPECT_GT(counters().stretches, 0U);
}

TEST_F(ReadAhead, damage_in_a_stretch_hides_nothing_beside_it_and_is_repaired) {
  append(300);
  constexpr std::uint64_t page = storage::device_block_bytes;
  const std::uint64_t from = storage::segments_offset + 100 * page;
  for (std::byte& byte : world_.cluster.disk(place_).sectors().subspan(from, 4 * page)) byte ^= std::byte{1};
  expect_in_order(0, 300);
  EXPECT_GT(counters().stretches, 0U);
  EXPECT_GT(world_.cluster.node(place_).repair_counters().records, 0U);
  expect_in_order(0, 300);
}

TEST_F(ReadAhead, what_is_trimmed_is_refused_although_it_was_read_ahead) {
  append(200);
  expect_in_order(0, 100);
  client::Call& call = client_.session().call();
  call.start_trim(client_.session().next_request(), Lsn(150), world_.cluster.network.now_us, 5'000'000);
  ASSERT_TRUE(world_.run_until([&] { return !call.waiting(); }));
  ASSERT_TRUE(world_.run_until([&] { return world_.cluster.node(place_).log().trim() == Lsn(150); }));
  for (const std::uint64_t lsn : {0U, 99U, 100U, 149U}) {
    EXPECT_EQ(read(lsn, 200).state(), client::CallState::refused) << lsn;
    EXPECT_EQ(client_.session().call().refusal(), wire::RefusalReason::trimmed);
  }
  expect_in_order(150, 200);
}

TEST_F(ReadAhead, places_that_are_used_again_are_never_read_from_an_old_copy) {
  for (int lap = 0; lap < 8; ++lap) {
    append(600, 6'000);
    const auto end = static_cast<std::uint64_t>(appended_);
    expect_in_order(end - 600, end, 6'000);
    client::Call& call = client_.session().call();
    call.start_trim(client_.session().next_request(), Lsn(end - 20), world_.cluster.network.now_us, 5'000'000);
    ASSERT_TRUE(world_.run_until([&] { return !call.waiting(); }));
  }
  EXPECT_GT(counters().stretches, 100U);
}

}  // namespace
}  // namespace synod::replica::test
