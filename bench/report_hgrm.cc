// The text that HdrHistogram prints, for its plotters.
#include <fmt/format.h>

#include "bench/percentiles.h"
#include "bench/report.h"

namespace synod::bench {

std::string to_hgrm(const Histogram& latency_ns) {
  const auto us = [](auto value_ns) { return static_cast<double>(value_ns) / 1000; };
  std::string text = fmt::format("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
  std::uint64_t highest = 0;
  for (const PercentileStep& step : percentile_steps(latency_ns)) {
    const double share = step.percent / 100;
    highest = step.value_ns;
    text += fmt::format("{:12.3f} {:.12f} {:10}", us(step.value_ns), share, step.total);
    text += step.percent < 100 ? fmt::format(" {:14.2f}\n", 1 / (1 - share)) : "\n";
  }
  const Spread spread = bench::spread(latency_ns);
  text += fmt::format("#[Mean    = {:12.3f}, StdDeviation   = {:12.3f}]\n", us(spread.mean_ns), us(spread.deviation_ns));
  text += fmt::format("#[Max     = {:12.3f}, Total count    = {:12}]\n", us(highest), latency_ns.count());
  text += fmt::format("#[Buckets = {:12}, SubBuckets     = {:12}]\n", Histogram::bucket_count, Histogram::sub_bucket_count);
  return text;
}

}  // namespace synod::bench
