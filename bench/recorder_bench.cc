// What recording a sample costs the run that is being measured.
#include <benchmark/benchmark.h>

#include <cmath>
#include <vector>

#include "base/per_entry.h"
#include "base/prng.h"
#include "bench/histogram.h"
#include "bench/timeline.h"

namespace synod::bench {
namespace {

// Latencies as runs have them: most near the median, some a thousand times as long; so the counters that are touched are many.
std::vector<std::uint64_t> latencies_ns() {
  std::vector<std::uint64_t> latencies(1 << 16);
  Prng prng(1);
  for (std::uint64_t& latency : latencies) {
    const double unit = static_cast<double>(prng.below(1'000'000) + 1) / 1e6;
    latency = static_cast<std::uint64_t>(100'000 / std::sqrt(unit));
  }
  return latencies;
}

void record_latency(benchmark::State& state) {
  const auto latencies = latencies_ns();
  Histogram histogram;
  std::size_t next = 0;
  const PerEntry per_entry;
  for (auto _ : state) histogram.record(latencies[next++ % latencies.size()]);
  per_entry.report(state, 1, 0);
  benchmark::DoNotOptimize(histogram.percentile(99));
}
BENCHMARK(record_latency);

// All that is written down of one answer: its latency, and what happened in its tenth of a second.
void record_answer(benchmark::State& state) {
  const auto latencies = latencies_ns();
  Histogram histogram;
  Timeline timeline(0, 60);
  std::size_t next = 0;
  std::uint64_t now_ns = 0;
  const PerEntry per_entry;
  for (auto _ : state) {
    const std::uint64_t latency_ns = latencies[next++ % latencies.size()];
    histogram.record(latency_ns);
    Interval& interval = timeline.at(now_ns += 1000);
    ++interval.appended;
    interval.latency_max_ns = std::max(interval.latency_max_ns, latency_ns);
  }
  per_entry.report(state, 1, 0);
  benchmark::DoNotOptimize(histogram.percentile(99));
}
BENCHMARK(record_answer);

}  // namespace
}  // namespace synod::bench

BENCHMARK_MAIN();
