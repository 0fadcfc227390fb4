// What the journal costs on top of its device. Needs a disk: files go to $TMPDIR or /var/tmp, and are removed.
//
// `p50_us` is the median time of one operation. Next to the journal stand the same writes without it, by every durability
// method: a stall of a scheduler tick (p50 of milliseconds, see durability.h) shows at once, as it does for the spinning method
// on a device that needs a flush.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "base/crc32c.h"
#include "base/per_entry.h"
#include "storage/aligned_buffer.h"
#include "storage/format.h"
#include "storage/memory_device.h"
#include "storage/uring_device.h"
#include "wire/cluster.h"

namespace synod::storage {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t file_bytes = 512U << 20;

// A directory on a disk, removed at the end.
class Scratch {
 public:
  Scratch() {
    const char* chosen = ::getenv("TMPDIR");
    path_ = std::string(chosen != nullptr ? chosen : "/var/tmp") + "/synod-bench-XXXXXX";
    if (::mkdtemp(path_.data()) == nullptr) path_.clear();
  }
  ~Scratch() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

class Percentiles {
 public:
  explicit Percentiles(benchmark::State& state) : state_(state) {}
  ~Percentiles() {
    if (times_.empty()) return;
    std::ranges::sort(times_);
    state_.counters["p50_us"] = times_[times_.size() / 2];
    state_.counters["p99_us"] = times_[times_.size() * 99 / 100];
  }
  Percentiles(const Percentiles&) = delete;
  Percentiles& operator=(const Percentiles&) = delete;
  void add(Clock::duration time) { times_.push_back(std::chrono::duration<double, std::micro>(time).count()); }

 private:
  benchmark::State& state_;
  std::vector<double> times_;
};

void raw_write(benchmark::State& state) {
  const auto method = static_cast<DurabilityMethod>(state.range(0));
  const auto bytes = static_cast<std::uint64_t>(state.range(1));
  const auto depth = static_cast<std::uint64_t>(state.range(2));
  const Scratch scratch;
  const std::string path = scratch.path() + "/file";
  if (auto made = create_prewritten(path, file_bytes, {}); !made) return state.SkipWithError(made.error().text.c_str());
  const auto device = UringDevice::open(path, method);
  if (!device) return state.SkipWithError(device.error().text.c_str());
  state.SetLabel((*device)->info().description);
  AlignedBuffer buffer(bytes);
  std::ranges::fill(buffer.bytes(), std::byte{1});
  Percentiles percentiles(state);
  std::array<Completion, 8> finished;
  std::uint64_t place = 0;
  std::uint64_t in_flight = 0;
  for (auto _ : state) {
    const auto start = Clock::now();
    (*device)->write_durable(place++ % (file_bytes / bytes) * bytes, buffer.bytes(), 0);
    (*device)->submit();
    for (++in_flight; in_flight >= depth;) in_flight -= (*device)->poll(finished);
    percentiles.add(Clock::now() - start);
  }
  while (in_flight > 0) in_flight -= (*device)->poll(finished);
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes));
}
BENCHMARK(raw_write)
    ->ArgNames({"method", "bytes", "depth"})
    ->Args({0, 4096, 1})
    ->Args({2, 4096, 1})
    ->Args({3, 4096, 1})
    ->Iterations(3000)
    ->UseRealTime();
BENCHMARK(raw_write)->ArgNames({"method", "bytes", "depth"})->Args({1, 4096, 1})->Iterations(100)->UseRealTime();
BENCHMARK(raw_write)
    ->ArgNames({"method", "bytes", "depth"})
    ->Args({0, 64 << 10, 4})
    ->Args({2, 64 << 10, 4})
    ->Iterations(3000)
    ->UseRealTime();

struct Record {
  wire::RecordHeader header;
  std::vector<std::byte> body;
};

Record make_record(std::size_t body_bytes) {
  Record record;
  record.body.assign(body_bytes, std::byte{7});
  record.header = wire::seal({.slot = Slot(1),
                              .ballot = Ballot(1, ReplicaId(1)),
                              .body_bytes = static_cast<std::uint32_t>(body_bytes),
                              .body_checksum = Checksum(crc32c(record.body))});
  return record;
}

// Appends one record per iteration, each in its own block, waiting while `staged_max` of them are not durable.
void append(benchmark::State& state, DeviceRef device, std::size_t body_bytes, std::uint64_t staged_max) {
  auto journal = Journal::open(device, wire::cluster_id("bench"), ReplicaId(1), {}, {});
  if (!journal) return state.SkipWithError(journal.error().text.c_str());
  state.SetLabel(device.info().description);
  const Record record = make_record(body_bytes);
  Percentiles percentiles(state);
  std::uint64_t durable = 0;
  std::uint64_t staged = 0;
  const PerEntry per_entry;
  const auto turn = [&] {
    durable = (*journal)->poll([](const ReadResult&) {}).value();
    (*journal)->flush({});
    (*journal)->submit();
  };
  for (auto _ : state) {
    const auto start = Clock::now();
    if (!(*journal)->can_stage(record.header.kind, body_bytes)) return state.SkipWithError("the journal is full");
    staged = (*journal)->stage(record.header, record.body).number.value();
    (*journal)->flush({});
    (*journal)->submit();
    while (staged - durable >= staged_max) turn();
    percentiles.add(Clock::now() - start);
  }
  while (durable < staged) turn();
  const auto written = (*journal)->counters().bytes_written;
  state.SetBytesProcessed(static_cast<std::int64_t>(written));
  per_entry.report(state, 1, static_cast<double>(written) / static_cast<double>(state.iterations()));  // a record each
}

// All segments are ready: what their preparing costs is preparer_bench's matter.
void journal_on_disk(benchmark::State& state) {
  const Scratch scratch;
  const auto made = format({.directory = scratch.path(),
                            .cluster = "bench",
                            .replica = ReplicaId(1),
                            .capacity_bytes = file_bytes,
                            .prepare_all = true},
                           {});
  if (!made) return state.SkipWithError(made.error().text.c_str());
  const auto device = open_directory(scratch.path());
  if (!device) return state.SkipWithError(device.error().text.c_str());
  append(state, DeviceRef(**device), static_cast<std::size_t>(state.range(0)), static_cast<std::uint64_t>(state.range(1)));
}
// One record that is not durable; or five: four writes in flight (the journal's limit), and the next block is filled meanwhile.
BENCHMARK(journal_on_disk)->ArgNames({"body", "staged"})->Args({192, 1})->Args({65000, 5})->Iterations(3000)->UseRealTime();

void journal_in_memory(benchmark::State& state) {
  MemoryDevice device(file_bytes);
  if (auto made = format_memory(device, {.cluster = wire::cluster_id("bench"), .replica = ReplicaId(1), .members = 3}); !made) {
    return state.SkipWithError(made.error().text.c_str());
  }
  append(state, DeviceRef(device), static_cast<std::size_t>(state.range(0)), 1);
}
BENCHMARK(journal_in_memory)->ArgNames({"body"})->Args({192})->Iterations(50000)->UseRealTime();
BENCHMARK(journal_in_memory)->ArgNames({"body"})->Args({65000})->Iterations(5000)->UseRealTime();

void journal_recovery(benchmark::State& state) {
  MemoryDevice device(file_bytes);
  if (auto made = format_memory(device, {.cluster = wire::cluster_id("bench"), .replica = ReplicaId(1), .members = 3}); !made) {
    return state.SkipWithError(made.error().text.c_str());
  }
  const Record record = make_record(65000);
  std::uint64_t bytes = 0;
  {
    auto journal = Journal::open(DeviceRef(device), wire::cluster_id("bench"), ReplicaId(1), {}, {});
    for (int i = 0; i < 4000; ++i) {
      (void)(*journal)->stage(record.header, record.body);
      (*journal)->flush({});
      (*journal)->submit();
      (void)(*journal)->poll([](const ReadResult&) {});
    }
    bytes = (*journal)->bytes_used();
  }
  for (auto _ : state) {
    auto journal = Journal::open(DeviceRef(device), wire::cluster_id("bench"), ReplicaId(1), {}, {});
    if (!journal) return state.SkipWithError(journal.error().text.c_str());
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes));
}
BENCHMARK(journal_recovery)->Iterations(5)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace synod::storage

BENCHMARK_MAIN();
