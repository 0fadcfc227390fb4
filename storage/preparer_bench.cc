// Why segments have files of their own: one 4 KiB O_DSYNC write at a time (the journal's pattern), (a) alone, (b) while the rest
// of its own file is being zeroed, (c) while other files are being zeroed by the preparer. Arguments: mode, MB/s of the zeroing
// (0: no limit).
//
// Measured on a shared 2-core virtual machine (ext4 on virtio, write-back cache without FUA), p50/p99 in us, quiet runs:
//   alone                                        104-115 / 240-270
//   200 MB/s   own file  96-101 / 670-710        other files  92-105 / 500-640
//   800 MB/s   own file 101-200 / 790-4100       other files  96-98  / 680-760
//   no limit   own file 630-1040 / 1460-5350     other files 114-129 / 850-930
// So files of their own matter when zeroing is fast, which is when the journal waits for it; at a gentle rate the two are alike,
// and what is left of the p99 is the device being busy with the zeros.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <thread>
#include <vector>

#include "storage/aligned_buffer.h"
#include "storage/file.h"
#include "storage/format.h"
#include "storage/preparer.h"
#include "storage/uring_device.h"

namespace synod::storage {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t file_bytes = 64U << 20;
constexpr std::uint64_t zeroed_bytes = 2ULL << 30;
constexpr Geometry geometry{.segment_bytes = 64U << 20, .segments = zeroed_bytes / (64U << 20)};
enum Mode : std::int64_t { alone, same_file, other_files };

// Zeroes [file_bytes, + zeroed_bytes) of a file, over and over.
void zero_behind(const std::string& path, std::uint64_t mb_per_second, const std::atomic<bool>& stop,
                 std::atomic<std::uint64_t>& zeroed) {
  const Descriptor file(::open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
  const AlignedBuffer zeros(1U << 20);
  while (!stop) {
    if (::ftruncate(file.fd(), file_bytes) != 0 || ::posix_fallocate(file.fd(), file_bytes, zeroed_bytes) != 0) return;
    auto next = Clock::now();
    for (std::uint64_t at = 0; at < zeroed_bytes && !stop; at += zeros.size()) {
      if (!write_all(file.fd(), path, zeros.bytes(), file_bytes + at)) return;
      zeroed += zeros.size();
      if (at % geometry.segment_bytes == 0 && at > 0) (void)::fdatasync(file.fd());
      if (mb_per_second == 0) continue;
      next += std::chrono::microseconds(zeros.size() / mb_per_second);
      std::this_thread::sleep_until(next);
    }
  }
}

void durable_write(benchmark::State& state) {
  const auto mode = static_cast<Mode>(state.range(0));
  const auto rate = static_cast<std::uint64_t>(state.range(1));
  const char* chosen = ::getenv("TMPDIR");
  std::string directory = std::string(chosen != nullptr ? chosen : "/var/tmp") + "/synod-bench-XXXXXX";
  if (::mkdtemp(directory.data()) == nullptr) return state.SkipWithError("no directory");
  const std::string path = directory + "/file";
  if (auto made = create_prewritten(path, file_bytes, {}); !made) return state.SkipWithError(made.error().text.c_str());
  {
    const auto device = UringDevice::open(path, DurabilityMethod::dsync_yield);
    if (!device) return state.SkipWithError(device.error().text.c_str());
    std::atomic<bool> stop = false;
    std::atomic<std::uint64_t> zeroed = 0;  // in the same file
    std::jthread zeroing;
    SegmentTable table(directory, geometry);
    std::unique_ptr<Preparer> preparer;
    if (mode == same_file) zeroing = std::jthread([&] { zero_behind(path, rate, stop, zeroed); });
    const PreparerOptions options{.bytes_per_second = rate * 1'000'000, .bytes_per_second_behind = rate * 1'000'000};
    if (mode == other_files) preparer = std::make_unique<Preparer>(table, options);

    AlignedBuffer buffer(4096);
    std::ranges::fill(buffer.bytes(), std::byte{1});
    std::vector<double> times;
    Completion finished;
    std::uint64_t place = 0;
    for (auto _ : state) {
      const auto start = Clock::now();
      (*device)->write_durable(place++ % (file_bytes / 4096) * 4096, buffer.bytes(), 0);
      (*device)->submit();
      while ((*device)->poll(std::span(&finished, 1)) == 0) {
      }
      times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
    }
    stop = true;
    std::ranges::sort(times);
    state.counters["p50_us"] = times[times.size() / 2];
    state.counters["p99_us"] = times[times.size() * 99 / 100];
    state.counters["zeroed_mib"] = static_cast<double>((zeroed + table.ready * geometry.segment_bytes) >> 20);
  }
  std::error_code ignored;
  std::filesystem::remove_all(directory, ignored);
}
BENCHMARK(durable_write)
    ->ArgNames({"mode", "rate"})
    ->Args({alone, 0})
    ->Args({same_file, 200})
    ->Args({same_file, 800})
    ->Args({same_file, 0})
    ->Args({other_files, 200})
    ->Args({other_files, 400})
    ->Args({other_files, 800})
    ->Args({other_files, 0})
    ->Iterations(8000)
    ->UseRealTime();

}  // namespace
}  // namespace synod::storage

BENCHMARK_MAIN();
