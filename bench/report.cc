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
  return nearly_keeps_up() && result.late_sends == 0;
}

bool Run::nearly_keeps_up() const {
  return result.unsent + result.errors + counters.busy == 0 && result.late_sends * 100 <= result.submitted &&
         result.cut_short.empty() && !result.filled;
}

Failure failure_of(ReplicaId killed, const WorkloadResult& result) {
  constexpr double interval_seconds = static_cast<double>(Timeline::interval_ns) / 1e9;
  Failure failure{
      .killed = killed, .at_seconds = result.event_seconds, .outage_seconds = result.outage_seconds, .errors = result.errors};
  const std::vector<Interval> intervals = result.timeline.intervals();
  const auto last = static_cast<std::size_t>(result.event_seconds / interval_seconds);  // in which it happened
  std::uint64_t before = 0;
  for (std::size_t i = 0; i < std::min(last, intervals.size()); ++i) before += intervals[i].appended;
  if (last == 0) return failure;
  const double usual = static_cast<double>(before) / static_cast<double>(last);  // of an interval
  failure.rate_before = usual / interval_seconds;
  for (std::size_t i = last + 1; i < intervals.size() && !failure.recovered; ++i) {
    failure.recovered = static_cast<double>(intervals[i].appended) >= 0.9 * usual;
    failure.recovery_seconds = static_cast<double>(i) * interval_seconds - result.event_seconds;
  }
  return failure;
}

std::optional<double> Report::ratio_to_floor() const {
  const auto total = floors.total_us();
  if (!total || run.result.latency_ns.count() == 0) return std::nullopt;
  return static_cast<double>(run.result.latency_ns.percentile(50)) / 1000 / *total;
}

}  // namespace synod::bench
