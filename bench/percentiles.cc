#include "bench/percentiles.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace synod::bench {

namespace {

// HdrHistogram's PercentileIterator.
double next_level(double percent) {
  constexpr double ticks_per_half = 5;
  const double halvings = std::floor(std::log(100 / (100 - percent)) / std::numbers::ln2) + 1;
  return percent + 100 / (ticks_per_half * std::exp2(halvings));
}

double middle_of(const Histogram::Bucket& bucket) {
  const std::uint64_t middle = bucket.lowest + (bucket.highest - bucket.lowest + 1) / 2;
  return static_cast<double>(middle);
}

}  // namespace

std::vector<PercentileStep> percentile_steps(const Histogram& histogram) {
  std::vector<PercentileStep> steps;
  double level = 0;
  std::uint64_t total = 0;
  histogram.for_each_bucket([&](const Histogram::Bucket& bucket) {
    total += bucket.count;
    const double reached = 100 * static_cast<double>(total) / static_cast<double>(histogram.count());
    while (reached >= level) {
      steps.push_back({level, bucket.highest, total});
      if (total == histogram.count()) break;
      level = next_level(level);
    }
    if (total == histogram.count()) steps.push_back({100, bucket.highest, total});
  });
  return steps;
}

std::vector<Bar> log_bars(const Histogram& histogram) {
  if (histogram.count() == 0) return {};
  // Whole fractions of powers of two: bars of several runs lie on each other.
  const double octaves = std::log2(static_cast<double>(std::max<std::uint64_t>(histogram.max(), 1))) -
                         std::log2(static_cast<double>(std::max<std::uint64_t>(histogram.min(), 1)));
  double per_octave = 16;
  while (per_octave > 1 && (octaves + 1) * per_octave + 2 > static_cast<double>(bars_max)) per_octave /= 2;
  // Bar n ends at 2^(n / per_octave).
  const auto number_of = [&](std::uint64_t value_ns) {
    const double octave = std::log2(static_cast<double>(std::max<std::uint64_t>(value_ns, 1)));
    return static_cast<std::int64_t>(std::ceil(octave * per_octave - 1e-9));
  };
  const auto end_of = [&](std::int64_t number) { return std::exp2(static_cast<double>(number) / per_octave); };
  std::vector<Bar> bars;
  std::int64_t next = number_of(std::min(histogram.min(), Histogram::highest));
  histogram.for_each_bucket([&](const Histogram::Bucket& bucket) {
    const std::int64_t number = number_of(std::clamp(bucket.highest, histogram.min(), histogram.max()));
    for (; next <= number; ++next) bars.push_back({.lower_ns = end_of(next - 1), .upper_ns = end_of(next)});
    bars.back().count += bucket.count;
  });
  return bars;
}

Spread spread(const Histogram& histogram) {
  if (histogram.count() == 0) return {};
  const auto count = static_cast<double>(histogram.count());
  Spread spread;
  histogram.for_each_bucket(
      [&](const Histogram::Bucket& bucket) { spread.mean_ns += middle_of(bucket) * static_cast<double>(bucket.count) / count; });
  double variance = 0;
  histogram.for_each_bucket([&](const Histogram::Bucket& bucket) {
    const double distance = middle_of(bucket) - spread.mean_ns;
    variance += distance * distance * static_cast<double>(bucket.count) / count;
  });
  spread.deviation_ns = std::sqrt(variance);
  return spread;
}

}  // namespace synod::bench
