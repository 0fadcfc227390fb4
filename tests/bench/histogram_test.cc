#include "bench/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/prng.h"
#include "tests/seed.h"

namespace synod::bench {
namespace {

// The definition, on all values.
std::uint64_t exact_percentile(std::vector<std::uint64_t> values, double percent) {
  std::ranges::sort(values);
  const double wanted = std::ceil(percent / 100 * static_cast<double>(values.size()) - 1e-6);
  return values[static_cast<std::size_t>(std::max(wanted, 1.0)) - 1];
}

void expect_within_a_thousandth(std::uint64_t found, std::uint64_t exact) {
  EXPECT_GE(found, exact);
  EXPECT_LE(static_cast<double>(found), static_cast<double>(exact) * 1.001) << "exact " << exact;
}

TEST(Histogram, EmptyHasNoPercentiles) {
  const Histogram histogram;
  EXPECT_EQ(histogram.count(), 0U);
  EXPECT_EQ(histogram.percentile(50), 0U);
  EXPECT_EQ(histogram.max(), 0U);
  EXPECT_EQ(histogram.min(), 0U);
}

TEST(Histogram, SmallValuesAreExact) {
  Histogram histogram;
  for (std::uint64_t value = 1; value <= 1000; ++value) histogram.record(value);
  EXPECT_EQ(histogram.percentile(0), 1U);
  EXPECT_EQ(histogram.percentile(50), 500U);
  EXPECT_EQ(histogram.percentile(99), 990U);
  EXPECT_EQ(histogram.percentile(99.9), 999U);
  EXPECT_EQ(histogram.percentile(100), 1000U);
}

TEST(Histogram, OneValueIsEveryPercentile) {
  for (const std::uint64_t value : {1ULL, 2047ULL, 2048ULL, 2049ULL, 4095ULL, 4096ULL, 123'456'789ULL, 3'600'000'000'000ULL}) {
    Histogram histogram;
    histogram.record(value);
    for (const double percent : {0.0, 50.0, 99.9, 100.0}) EXPECT_EQ(histogram.percentile(percent), value);
  }
}

TEST(Histogram, RandomValuesKeepThreeDigits) {
  const std::uint64_t seed = first_seed();
  for (std::uint64_t round = 0; round < 20; ++round) {
    Prng prng(seed + round);
    Histogram histogram;
    std::vector<std::uint64_t> values;
    for (int i = 0; i < 5000; ++i) {
      // Any number of digits from 1 ns to an hour.
      values.push_back(1 + prng.next() % (std::uint64_t{1} << (1 + prng.next() % 41)));
      histogram.record(values.back());
    }
    for (const double percent : {1.0, 10.0, 50.0, 90.0, 99.0, 99.9, 100.0}) {
      SCOPED_TRACE(testing::Message() << "seed " << seed + round << ", percentile " << percent);
      expect_within_a_thousandth(histogram.percentile(percent), exact_percentile(values, percent));
    }
    EXPECT_EQ(histogram.max(), *std::ranges::max_element(values));
    EXPECT_EQ(histogram.min(), *std::ranges::min_element(values));
  }
}

TEST(Histogram, MergedIsTheSameAsRecordedTogether) {
  Prng prng(first_seed());
  Histogram left;
  Histogram right;
  Histogram both;
  for (int i = 0; i < 10'000; ++i) {
    const std::uint64_t value = 1 + prng.next() % 10'000'000;
    (i % 3 == 0 ? left : right).record(value);
    both.record(value);
  }
  left.merge(right);
  EXPECT_EQ(left.count(), both.count());
  EXPECT_EQ(left.max(), both.max());
  EXPECT_EQ(left.min(), both.min());
  for (double percent = 0; percent <= 100; percent += 0.5) EXPECT_EQ(left.percentile(percent), both.percentile(percent));
}

TEST(Histogram, CountsStandForRepeatedValues) {
  Histogram histogram;
  histogram.record(10, 99);
  histogram.record(5000, 1);
  EXPECT_EQ(histogram.count(), 100U);
  EXPECT_EQ(histogram.percentile(99), 10U);
  EXPECT_EQ(histogram.percentile(99.5), 5000U);
}

TEST(Histogram, BeyondAnHourIsCountedAndTheMaximumKnown) {
  Histogram histogram;
  histogram.record(1);
  histogram.record(Histogram::highest * 10);
  EXPECT_EQ(histogram.count(), 2U);
  EXPECT_EQ(histogram.percentile(100), Histogram::highest * 10);
}

TEST(Histogram, ClearForgetsEverything) {
  Histogram histogram;
  histogram.record(77);
  histogram.clear();
  histogram.record(5);
  EXPECT_EQ(histogram.count(), 1U);
  EXPECT_EQ(histogram.max(), 5U);
  EXPECT_EQ(histogram.percentile(100), 5U);
}

}  // namespace
}  // namespace synod::bench
