// What a floor measurement found: the time of one round of the same work with nothing of Synod in it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/histogram.h"

namespace synod::bench {

struct FloorTime {
  std::string method;  // how the round was done
  double p50_us = 0;
  double p99_us = 0;
  double p9999_us = 0;
  std::uint64_t rounds = 0;
};

[[nodiscard]] inline FloorTime floor_time(std::string method, const Histogram& rounds_ns) {
  return {.method = std::move(method),
          .p50_us = static_cast<double>(rounds_ns.percentile(50)) / 1000,
          .p99_us = static_cast<double>(rounds_ns.percentile(99)) / 1000,
          .p9999_us = static_cast<double>(rounds_ns.percentile(99.99)) / 1000,
          .rounds = rounds_ns.count()};
}

// The lowest p50 of several; 0 for none.
[[nodiscard]] inline double lowest_us(const std::vector<FloorTime>& times) {
  const auto least = std::ranges::min_element(times, {}, &FloorTime::p50_us);
  return least == times.end() ? 0 : least->p50_us;
}

}  // namespace synod::bench
