// A load on something that a test controls: what is counted, and from when latency runs.
#include "bench/workload.h"

#include <gtest/gtest.h>

#include <deque>

#include "bench/written.h"

namespace synod::bench {
namespace {

// Finishes appends when it is told to.
class Scripted final : public Appender {
 public:
  explicit Scripted(std::size_t clients) : clients_(clients) {}

  [[nodiscard]] std::size_t clients() const override { return clients_; }
  bool try_append(std::size_t client, std::uint64_t number, Bytes, std::uint32_t tag, std::uint64_t now_ns) override {
    if (asked_ns_ == 0) asked_ns_ = now_ns;
    if (now_ns < asked_ns_ + deaf_ns) return false;
    EXPECT_EQ(number, taken_of[client]++);
    taken.push_back({tag, now_ns});
    most = std::max(most, taken.size());
    return true;
  }
  bool turn(std::uint64_t now_ns) override {
    now_ns_ = now_ns;
    return false;
  }
  std::size_t take_finished(std::span<Finished> out) override {
    std::size_t count = 0;
    while (count < out.size() && !taken.empty() && now_ns_ >= taken.front().at_ns + delay_ns && !is_dead) {
      out[count++] = {taken.front().tag, outcome};
      taken.pop_front();
    }
    return count;
  }
  [[nodiscard]] Result<Health> health() override {
    if (is_dead) return fail("it is dead");
    return is_full ? Health::full : Health::good;
  }
  [[nodiscard]] AppenderCounters counters() const override { return {}; }
  [[nodiscard]] Result<Verified> verify(Payloads&, Progress&) override { return Verified{}; }

  struct Taken {
    std::uint32_t tag;
    std::uint64_t at_ns;
  };
  std::deque<Taken> taken;
  std::array<std::uint64_t, 8> taken_of{};
  std::size_t most = 0;
  std::uint64_t delay_ns = 0;
  std::uint64_t deaf_ns = 0;  // from the first append on
  client::Outcome outcome = client::Outcome::appended;
  bool is_dead = false;
  bool is_full = false;

 private:
  std::size_t clients_;
  std::uint64_t asked_ns_ = 0;
  std::uint64_t now_ns_ = 0;
};

class Load : public ::testing::Test {
 protected:
  WorkloadResult run(Scripted& appender, const WorkloadOptions& options) {
    return Workload(appender, payloads_, options, progress_).run(numbers_);
  }

  Payloads payloads_{1, {16}};
  Progress progress_;
  std::vector<std::uint64_t> numbers_;
};

TEST_F(Load, closed_keeps_as_many_in_flight_as_asked_and_no_more) {
  Scripted appender(4);
  appender.delay_ns = 100'000;
  const auto result = run(appender, {.in_flight = 8, .seconds = 0.05, .warmup_seconds = 0.01, .warmup_seconds_max = 0.01});
  EXPECT_EQ(appender.most, 32U);
  EXPECT_EQ(result.submitted, numbers_[0] + numbers_[1] + numbers_[2] + numbers_[3]);
  EXPECT_GT(result.appended, 0U);
  EXPECT_LE(result.appended, result.submitted);
  EXPECT_GE(result.latency_ns.min(), 100'000U);
  EXPECT_TRUE(result.cut_short.empty());
}

// What a stall delays is charged with the whole stall, not only the one append that met it.
TEST_F(Load, open_measures_from_the_intended_time) {
  Scripted appender(1);
  appender.deaf_ns = 100'000'000;
  const auto result = run(appender, {.in_flight = 1000,
                                     .arrivals = ArrivalKind::constant,
                                     .rate = 1000,
                                     .seconds = 0.2,
                                     .warmup_seconds = 0,
                                     .warmup_seconds_max = 0});
  EXPECT_GE(result.latency_ns.max(), 90'000'000U);
  EXPECT_GE(result.latency_ns.percentile(75), 40'000'000U) << "a hundred of two hundred were due while nobody listened";
  EXPECT_GE(result.late_sends + result.unsent, 90U);
}

TEST_F(Load, open_counts_what_was_due_and_never_sent) {
  Scripted appender(1);
  appender.delay_ns = 50'000'000;
  const auto result = run(appender, {.in_flight = 1,
                                     .arrivals = ArrivalKind::poisson,
                                     .rate = 10'000,
                                     .seconds = 0.2,
                                     .warmup_seconds = 0,
                                     .warmup_seconds_max = 0});
  EXPECT_LE(result.submitted, 6U);
  EXPECT_GE(result.unsent, 1'500U);
  EXPECT_EQ(result.latency_ns.count(), result.unsent + result.submitted) << "each unsent one has a latency too";
}

TEST_F(Load, ends_with_what_was_measured_when_the_cluster_is_gone) {
  Scripted appender(1);
  appender.is_dead = true;
  const auto result = run(appender, {.in_flight = 4, .seconds = 100, .warmup_seconds = 0, .warmup_seconds_max = 0});
  EXPECT_EQ(result.cut_short, "it is dead");
  EXPECT_EQ(result.appended, 0U);
}

TEST_F(Load, ends_early_on_a_full_journal) {
  Scripted appender(1);
  appender.is_full = true;
  const auto result = run(appender, {.in_flight = 4, .seconds = 100, .warmup_seconds = 0, .warmup_seconds_max = 0});
  EXPECT_TRUE(result.filled);
  EXPECT_TRUE(result.cut_short.empty());
}

TEST_F(Load, counts_errors) {
  Scripted appender(1);
  appender.outcome = client::Outcome::unknown;
  const auto result = run(appender, {.in_flight = 4, .seconds = 0.01, .warmup_seconds = 0, .warmup_seconds_max = 0});
  EXPECT_EQ(result.errors, result.submitted);
  EXPECT_EQ(result.appended, 0U);
}

TEST(Arrivals, of_a_poisson_process_have_the_mean_and_the_spread_of_one) {
  constexpr int count = 100'000;
  Arrivals arrivals(ArrivalKind::poisson, 1e6, 1000, 7);
  double sum = 0;
  double squares = 0;
  std::uint64_t last = arrivals.next_ns();
  EXPECT_EQ(last, 1000U);
  for (int i = 0; i < count; ++i) {
    arrivals.advance();
    const auto gap = static_cast<double>(arrivals.next_ns() - last);
    last = arrivals.next_ns();
    sum += gap;
    squares += gap * gap;
  }
  const double mean = sum / count;
  EXPECT_NEAR(mean, 1000, 20);
  EXPECT_NEAR(std::sqrt(squares / count - mean * mean), 1000, 40);
}

TEST(Arrivals, at_a_constant_rate_do_not_drift) {
  Arrivals arrivals(ArrivalKind::constant, 3, 0, 0);
  for (int i = 0; i < 3'000'000; ++i) arrivals.advance();
  EXPECT_EQ(arrivals.next_ns(), 1'000'000'000'000'000U);
}

TEST(Written, joins_neighbours_of_one_client_and_sorts_by_place) {
  Written written(2);
  EXPECT_TRUE(written.add({0, 0}, Lsn(10)));
  EXPECT_TRUE(written.add({1, 0}, Lsn(12)));
  EXPECT_TRUE(written.add({0, 1}, Lsn(11)));
  EXPECT_TRUE(written.add({0, 2}, Lsn(13)));
  EXPECT_FALSE(written.add({1, 1}, Lsn(12))) << "not behind its last one";
  const auto& stretches = written.sorted();
  ASSERT_EQ(stretches.size(), 3U);
  EXPECT_EQ(stretches[0].count, 2U);
  EXPECT_EQ(stretches[1].key.client, 1U);
  EXPECT_EQ(written.entries(), 4U);
  EXPECT_EQ(written.overlaps(), 0U);
}

TEST(Written, finds_a_place_that_was_given_twice) {
  Written written(2);
  EXPECT_TRUE(written.add({0, 0}, Lsn(10)));
  EXPECT_TRUE(written.add({0, 1}, Lsn(11)));
  EXPECT_TRUE(written.add({1, 0}, Lsn(11)));
  (void)written.sorted();
  EXPECT_EQ(written.overlaps(), 1U);
}

TEST(Payloads, follow_client_number_and_the_list_of_sizes) {
  Payloads payloads(5, {3, 40});
  EXPECT_EQ(payloads.make({0, 0}).size(), 3U);
  EXPECT_EQ(payloads.make({0, 3}).size(), 40U);
  const Bytes made = payloads.make({1, 7});
  const std::vector<std::byte> bytes(made.begin(), made.end());
  EXPECT_TRUE(payloads.matches({1, 7}, bytes));
  EXPECT_FALSE(payloads.matches({2, 7}, bytes));
  EXPECT_FALSE(payloads.matches({1, 9}, bytes));
}

}  // namespace
}  // namespace synod::bench
