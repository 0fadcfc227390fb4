// A histogram boiled down for reports: its curve of percentiles, bars to draw, mean and spread.
#pragma once

#include <cstdint>
#include <vector>

#include "bench/histogram.h"

namespace synod::bench {

// `total` values, `percent` of all or a little more, are at most `value_ns` (the highest one of its bucket).
struct PercentileStep {
  double percent = 0;
  std::uint64_t value_ns = 0;
  std::uint64_t total = 0;
};

// Five steps for each halving of the distance to 100 %, as HdrHistogram chooses them, up to the last value, and 100 %.
[[nodiscard]] std::vector<PercentileStep> percentile_steps(const Histogram& histogram);

// Values above the bar before, up to `upper_ns`.
struct Bar {
  double lower_ns = 0;
  double upper_ns = 0;
  std::uint64_t count = 0;
};

inline constexpr std::size_t bars_max = 200;

// Bars of the same width on a logarithmic axis, without gaps from the first value to the last; at most bars_max.
[[nodiscard]] std::vector<Bar> log_bars(const Histogram& histogram);

struct Spread {
  double mean_ns = 0;
  double deviation_ns = 0;
};

[[nodiscard]] Spread spread(const Histogram& histogram);

}  // namespace synod::bench
