// What the data plane costs a core, end to end: a diskless cluster in a box and its client take turns on one thread, so nothing
// here waits for another core; and time is counted in passes, a microsecond each, so that a run does the same work wherever and
// under whatever it runs. To count instructions: valgrind --tool=callgrind --toggle-collect='*append_and_wait*' box_bench
#include <benchmark/benchmark.h>

#include <memory>
#include <vector>

#include "base/per_entry.h"
#include "bench/target.h"
#include "dataplane/eal.h"
#include "replica/box.h"
#include "replica/config.h"

namespace synod::bench {
namespace {

constexpr std::size_t replicas = 3;
constexpr std::size_t payload_bytes = 128;
constexpr std::uint64_t patience_us = 2'000'000;

class Cluster {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Cluster>> make(std::size_t in_flight, std::size_t entries_per_packet) {
    if (auto started = dataplane::start_eal({}); !started) return std::unexpected(started.error());
    replica::BoxOptions options;
    options.replicas = replicas;
    options.data = replica::data_memory;
    options.memory_bytes = 256U << 20;
    options.touch_memory = true;
    options.client_links = true;
    options.trace = true;
    auto box = replica::Box::make(options);
    if (!box) return std::unexpected(box.error());
    return std::make_unique<Cluster>(*std::move(box), in_flight, entries_per_packet);
  }

  Cluster(std::unique_ptr<replica::Box> box, std::size_t in_flight, std::size_t entries_per_packet)
      : box_(std::move(box)),
        link_(ways_to(*box_, "synod"),
              {.in_flight = in_flight, .payload_bytes = payload_bytes, .entries_per_packet_max = entries_per_packet}),
        finished_(in_flight) {}

  void pass() { box_->poll_once(++passes_); }
  void elect() {
    while (box_->node(0).engine().leader() == ReplicaId{} && passes_ < patience_us) pass();
  }
  [[nodiscard]] std::uint64_t passes() const { return passes_; }
  // As many as may be in flight. False: no answer came.
  [[gnu::noinline]] bool append_and_wait() {
    const std::uint64_t last = passes_ + patience_us;
    std::size_t taken = 0;
    for (std::size_t done = 0; done < finished_.size() && passes_ < last;) {
      while (taken < finished_.size() && link_.try_append(0, number_, payload_, 0, passes_ * 1000)) ++taken, ++number_;
      link_.turn(passes_ * 1000);
      pass();
      done += link_.take_finished(finished_);
    }
    return passes_ < last;
  }

 private:
  std::unique_ptr<replica::Box> box_;
  Link link_;
  std::vector<std::byte> payload_ = std::vector<std::byte>(payload_bytes);
  std::vector<Finished> finished_;  // room for all in flight
  std::uint64_t number_ = 0;
  std::uint64_t passes_ = 0;
};

std::unique_ptr<Cluster> make_cluster(benchmark::State& state, std::size_t in_flight, std::size_t entries_per_packet) {
  auto cluster = Cluster::make(in_flight, entries_per_packet);
  if (!cluster) return state.SkipWithError(cluster.error().text.c_str()), nullptr;
  (*cluster)->elect();
  if (!(*cluster)->append_and_wait()) return state.SkipWithError("the cluster takes no appends"), nullptr;
  return *std::move(cluster);
}

// All nodes once, with nothing to do: what everything that comes waits for.
void idle_pass(benchmark::State& state) {
  const auto cluster = make_cluster(state, 1, 1);
  if (cluster == nullptr) return;
  for (auto _ : state) cluster->pass();
}
BENCHMARK(idle_pass)->Iterations(1'000'000);

// entries: in flight at once, and then none; per_packet: entries that may share a packet (0: as many as fit).
void append(benchmark::State& state) {
  const auto entries = static_cast<std::size_t>(state.range(0));
  const auto cluster = make_cluster(state, entries, static_cast<std::size_t>(state.range(1)));
  if (cluster == nullptr) return;
  const std::uint64_t passes = cluster->passes();
  const PerEntry per_entry;
  for (auto _ : state) {
    if (!cluster->append_and_wait()) return state.SkipWithError("an append had no answer");
  }
  per_entry.report(state, entries, payload_bytes);
  state.counters["passes"] = static_cast<double>(cluster->passes() - passes) / static_cast<double>(state.iterations());
}
BENCHMARK(append)->ArgNames({"entries", "per_packet"})->Args({1, 1})->Iterations(20'000);
BENCHMARK(append)->ArgNames({"entries", "per_packet"})->Args({64, 1})->Args({1024, 0})->Iterations(1'000);

}  // namespace
}  // namespace synod::bench

BENCHMARK_MAIN();
