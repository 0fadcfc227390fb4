// Times the durability methods of a device (see durability.h).
#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "storage/aligned_buffer.h"
#include "storage/layout.h"
#include "storage/uring_device.h"

namespace synod::storage {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int rounds_before_giving_up = 6;
constexpr double stall_us = 1500;  // below the shortest scheduler tick (1 ms at 1000 Hz is caught by the comparison below)

double microseconds(Clock::duration time) {
  return std::chrono::duration<double, std::micro>(time).count();
}

double median(std::vector<double>& times) {
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

// One round: `depth` writes at once, until all are durable. An errno, or 0.
int run_round(UringDevice& device, UringDevice::ProbeArea area, Bytes zeros, std::uint32_t depth, std::uint64_t& place) {
  const std::uint64_t places = area.bytes / device_block_bytes;
  for (std::uint32_t i = 0; i < depth; ++i) {
    device.write_durable(area.offset + (place++ % places) * device_block_bytes, zeros, i);
  }
  int error = 0;
  std::array<Completion, 4> finished;
  for (std::uint32_t done = 0; done < depth;) {
    device.submit();
    const std::size_t count = device.poll(finished);
    for (std::size_t i = 0; i < count; ++i) error = std::max(error, finished[i].error);
    done += static_cast<std::uint32_t>(count);
  }
  return error;
}

// The median time of a round; stops early where rounds stall. An error text if a write fails.
Result<double> time_rounds(UringDevice& device, UringDevice::ProbeArea area, Bytes zeros, std::uint32_t depth, int rounds) {
  std::vector<double> times;
  std::uint64_t place = 0;
  for (int round = 0; round < rounds; ++round) {
    const auto start = Clock::now();
    if (const int error = run_round(device, area, zeros, depth, place); error != 0) {
      return fail(fmt::format("a durable write failed while probing ({}): replace the disk", std::strerror(error)));
    }
    times.push_back(microseconds(Clock::now() - start));
    if (round + 1 == rounds_before_giving_up && median(times) > stall_us) break;
  }
  return median(times);
}

}  // namespace

Result<std::vector<MethodTime>> measure_methods(UringDevice& device, UringDevice::ProbeArea area, int rounds,
                                                std::span<const DurabilityMethod> methods) {
  CHECK_GE(area.bytes, 4 * device_block_bytes);
  const DurabilityMethod before = device.method();
  const AlignedBuffer zeros(device_block_bytes);
  std::vector<MethodTime> results;
  for (const DurabilityMethod method : methods) {
    device.use(method);
    const auto one = time_rounds(device, area, zeros.bytes(), 1, rounds);
    if (!one) return std::unexpected(one.error());
    const auto four = time_rounds(device, area, zeros.bytes(), 4, std::max(rounds / 4, 1));
    if (!four) return std::unexpected(four.error());
    results.push_back({.method = method, .one_us_p50 = *one, .four_us_p50 = *four});
  }
  device.use(before);
  return results;
}

DurabilityMethod choose_method(std::span<const MethodTime> times, bool needs_flush) {
  // A method that spins may look good in a quiet probe and stall for a whole tick once another thread is busy on the CPU that the
  // kernel's worker needs: it is allowed only for plain writes that need no worker. And a method must be clearly better, at one
  // and at several writes in flight, to replace the first: that one needs no worker of io_uring, which would have to find a free
  // CPU.
  constexpr double clearly = 0.7;
  DurabilityMethod best = DurabilityMethod::dsync_yield;
  double best_score = 0;
  for (const MethodTime& time : times) {
    const bool safe = yields(time.method) || (time.method == DurabilityMethod::dsync_spin && !needs_flush);
    const double score = time.one_us_p50 * time.four_us_p50;
    if (!safe) continue;
    if (best_score == 0 || score < best_score * clearly * clearly) {
      best = time.method;
      best_score = score;
    }
  }
  return best;
}

}  // namespace synod::storage
