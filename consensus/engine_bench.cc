// The engines' share of one append: propose at the leader, accept at two followers, their votes, the commit. Everything that a
// port or a disk would add is left out.
#include <benchmark/benchmark.h>

#include "consensus/engine_trio.h"

namespace synod::consensus {
namespace {

void append_through_three_engines(benchmark::State& state) {
  EngineTrio trio;
  const std::uint64_t messages = trio.messages();
  const std::uint64_t records = trio.records();
  std::uint64_t appends = 0;
  for (auto _ : state) {
    trio.append(128);
    // Followers learn the watermark with the next accept; a heartbeat now and then, as in life.
    if (++appends % 1024 == 0) trio.tick();
  }
  const auto per_append = [&](std::uint64_t count) {
    return benchmark::Counter(static_cast<double>(count), benchmark::Counter::kAvgIterations);
  };
  state.counters["messages"] = per_append(trio.messages() - messages);
  state.counters["records"] = per_append(trio.records() - records);
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(append_through_three_engines);

}  // namespace
}  // namespace synod::consensus

BENCHMARK_MAIN();
