// What a bench found, for people and for scripts. The keys of the JSON object are a contract (docs/BENCHMARKS.md).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench/floor.h"
#include "bench/options.h"

namespace synod::bench {

// Both floors, measured before and after the run; what counts is the lower one of each.
struct Floors {
  std::vector<FloorTime> wire;    // one per measurement; empty: cannot be measured from here
  std::vector<FloorTime> device;  // one per measurement and method; empty: diskless, or not from here
  std::optional<std::string> device_name;
  bool device_stable = false;
  bool diskless = false;

  [[nodiscard]] std::optional<double> wire_us() const;
  [[nodiscard]] std::optional<double> device_us() const;
  [[nodiscard]] std::optional<double> total_us() const;
};

struct Latency {
  double p50 = 0;
  double p90 = 0;
  double p99 = 0;
  double p999 = 0;
  double max = 0;
};

struct Report {
  Options options;
  CpuLayout cpu;
  std::string cpu_layout;
  std::string port;
  std::string device;
  bool device_stable = false;
  std::size_t replicas = 0;
  Floors floors;

  double seconds = 0;
  std::uint64_t appended = 0;  // in the measured seconds
  Latency latency_us;
  std::uint64_t errors = 0;
  double entries_per_packet = 0;
  std::uint64_t elections = 0;        // ballots raised during the run
  std::uint64_t packets_dropped = 0;  // by replicas, for any reason
  std::uint64_t late_sends = 0;
  std::uint64_t busy = 0;
  std::uint64_t resent = 0;

  std::optional<bool> verified;       // nothing: not asked for
  std::uint64_t entries_written = 0;  // with warm-up
  std::uint64_t entries_verified = 0;
  std::vector<std::string> notes;  // what a reader must know to judge the figures

  [[nodiscard]] double appends_per_second() const;
  [[nodiscard]] std::optional<double> ratio_to_floor() const;
};

[[nodiscard]] std::string to_json(const Report& report);
[[nodiscard]] std::string to_table(const Report& report);

}  // namespace synod::bench
