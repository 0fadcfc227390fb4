#include "bench/report.h"

namespace synod::bench {

Latency latency_us(const Histogram& latency_ns) {
  const auto us = [&](double percent) { return static_cast<double>(latency_ns.percentile(percent)) / 1000; };
  return {.p50 = us(50), .p90 = us(90), .p99 = us(99), .p999 = us(99.9), .p9999 = us(99.99), .max = us(100)};
}

double Run::appends_per_second() const {
  return result.seconds > 0 ? static_cast<double>(result.appended) / result.seconds : 0;
}

double Run::entries_per_packet() const {
  return counters.messages == 0 ? 0 : static_cast<double>(result.submitted) / static_cast<double>(counters.messages);
}

bool Run::keeps_up() const {
  return result.late_sends + result.unsent + result.errors + counters.busy == 0 && result.cut_short.empty() && !result.filled;
}

std::optional<double> Report::ratio_to_floor() const {
  const auto total = floors.total_us();
  if (!total || run.result.latency_ns.count() == 0) return std::nullopt;
  return static_cast<double>(run.result.latency_ns.percentile(50)) / 1000 / *total;
}

}  // namespace synod::bench
