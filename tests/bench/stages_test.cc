// The steps of a slot, and the parts of an append between them.
#include "bench/stages.h"

#include <gtest/gtest.h>

#include <numeric>

#include "dataplane/clock.h"

namespace synod::bench {
namespace {

using replica::SlotTimes;
using replica::StageTrace;
using replica::Step;

std::uint64_t at(const SlotTimes& times, Step step) {
  return times.ticks[static_cast<std::size_t>(step)];
}

// A slot with one entry, in an order of steps that is usual with two peers.
void pass(StageTrace& trace, Slot slot, Lsn lsn) {
  trace.on_received();
  trace.on_proposed(slot);
  trace.on_flushed();
  trace.on_peer_durable(slot, 1);
  trace.on_own_durable(slot);
  trace.on_committed(slot, lsn, 1);
  trace.on_flushed();
}

TEST(StageTrace, publishes_a_slot_once_its_answers_have_left) {
  StageTrace trace(1);
  trace.on_received();
  trace.on_proposed(Slot(7));
  trace.on_flushed();
  trace.on_peer_durable(Slot(7), 2);
  trace.on_own_durable(Slot(7));
  trace.on_committed(Slot(7), Lsn(100), 3);
  SlotTimes times;
  EXPECT_FALSE(trace.take(times));
  trace.on_flushed();
  ASSERT_TRUE(trace.take(times));
  EXPECT_EQ(times.first, Lsn(100));
  EXPECT_EQ(times.count, 3U);
  EXPECT_TRUE(std::ranges::is_sorted(times.ticks));
  EXPECT_GT(at(times, Step::sent), at(times, Step::proposed));
  EXPECT_FALSE(trace.take(times));
}

TEST(StageTrace, gives_no_time_to_what_the_commit_did_not_wait_for) {
  StageTrace trace(2);
  trace.on_received();
  trace.on_proposed(Slot(1));
  trace.on_flushed();
  trace.on_peer_durable(Slot(1), 1);
  trace.on_peer_durable(Slot(1), 1);  // once more: the same vote
  trace.on_committed(Slot(1), Lsn(0), 1);
  trace.on_peer_durable(Slot(1), 2);  // too late
  trace.on_own_durable(Slot(1));
  trace.on_flushed();
  SlotTimes times;
  ASSERT_TRUE(trace.take(times));
  EXPECT_EQ(at(times, Step::peers_durable), at(times, Step::committed));
  EXPECT_EQ(at(times, Step::own_durable), at(times, Step::committed));
}

TEST(StageTrace, loses_slots_of_a_reader_that_is_too_slow_and_goes_on) {
  StageTrace trace(1);
  for (std::uint64_t slot = 1; slot <= 10'000; ++slot) pass(trace, Slot(slot), Lsn(slot));
  SlotTimes times;
  std::uint64_t taken = 0;
  while (trace.take(times)) EXPECT_EQ(times.first, Lsn(++taken));
  EXPECT_EQ(taken, 4096U);
  pass(trace, Slot(10'001), Lsn(10'001));
  ASSERT_TRUE(trace.take(times));
  EXPECT_EQ(times.first, Lsn(10'001));
}

TEST(StageRecorder, has_parts_that_add_up_to_the_whole) {
  StageTrace trace(1);
  std::array<StageTrace*, 1> traces{&trace};
  StageRecorder recorder(traces);
  EXPECT_TRUE(trace.enabled());
  double whole_ns = 0;
  constexpr int appends = 1000;
  for (std::uint64_t i = 1; i <= appends; ++i) {
    const std::uint64_t begin_ns = dataplane::now_ns();
    pass(trace, Slot(i), Lsn(i));
    const std::uint64_t end_ns = dataplane::now_ns();
    recorder.add(Lsn(i), begin_ns, end_ns);
    whole_ns += static_cast<double>(end_ns - begin_ns);
  }
  const auto times = recorder.times();
  ASSERT_EQ(times.size(), replica::steps + 1);
  EXPECT_EQ(recorder.count(), static_cast<std::uint64_t>(appends));
  const double sum_us =
      std::accumulate(times.begin(), times.end(), 0.0, [](double sum, const StageTime& time) { return sum + time.mean_us; });
  EXPECT_NEAR(sum_us, whole_ns / appends / 1000, 1e-6);
}

TEST(StageRecorder, leaves_out_an_append_whose_slot_it_does_not_know) {
  StageTrace trace(1);
  std::array<StageTrace*, 1> traces{&trace};
  StageRecorder recorder(traces);
  pass(trace, Slot(1), Lsn(10));
  recorder.add(Lsn(9), 0, 1);
  recorder.add(Lsn(11), 0, 1);
  EXPECT_EQ(recorder.count(), 0U);
  EXPECT_TRUE(recorder.times().empty());
  recorder.add(Lsn(10), 0, 1);
  EXPECT_EQ(recorder.count(), 1U);
}

}  // namespace
}  // namespace synod::bench
