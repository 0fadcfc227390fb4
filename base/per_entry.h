// What one entry costs, as counters of a Google Benchmark: cycles of the time stamp counter, and bytes.
//
//   PerEntry per_entry;
//   for (auto _ : state) ...;
//   per_entry.report(state, entries_an_iteration, bytes_an_entry);
#pragma once

#include <benchmark/benchmark.h>

#include <cstddef>

#include "base/ticks.h"

namespace synod {

class PerEntry {
 public:
  // `bytes`: of one entry, on the wire or on the disk as the benchmark has it; 0: does not matter.
  void report(benchmark::State& state, std::size_t entries_an_iteration, double bytes) const {
    const auto entries = static_cast<double>(state.iterations()) * static_cast<double>(entries_an_iteration);
    state.counters["cycles/entry"] = static_cast<double>(ticks() - begin_) / entries;
    if (bytes > 0) state.counters["bytes/entry"] = bytes;
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(entries_an_iteration));
  }

 private:
  std::uint64_t begin_ = ticks();
};

}  // namespace synod
