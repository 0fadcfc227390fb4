// The engines' share of one append: propose at the leader, accept at two followers, their votes, the commit. Everything that a
// port or a disk would add is left out.
#include <benchmark/benchmark.h>

#include "base/per_entry.h"
#include "consensus/engine_trio.h"

namespace synod::consensus {
namespace {

void append_through_three_engines(benchmark::State& state) {
  constexpr std::size_t payload_bytes = 128;
  EngineTrio trio;
  const std::uint64_t messages = trio.messages();
  const std::uint64_t records = trio.records();
  std::uint64_t appends = 0;
  const PerEntry per_entry;
  for (auto _ : state) {
    trio.append(payload_bytes);
    // Followers learn the watermark with the next accept; a heartbeat now and then, as in life.
    if (++appends % 1024 == 0) trio.tick();
  }
  per_entry.report(state, 1, payload_bytes);
  const auto per_append = [&](std::uint64_t count) {
    return benchmark::Counter(static_cast<double>(count), benchmark::Counter::kAvgIterations);
  };
  state.counters["messages"] = per_append(trio.messages() - messages);
  state.counters["records"] = per_append(trio.records() - records);
}
BENCHMARK(append_through_three_engines);

}  // namespace
}  // namespace synod::consensus

BENCHMARK_MAIN();
