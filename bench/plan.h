// Several measurements in one: every combination of the values that were asked for, from a workload file (TOML) or from --sweep.
//
// A workload file has the names of the options as keys; a value that is a list is swept over:
//
//   title = "durable throughput by payload"
//   bench = "throughput"
//   payload = [128, 1024, 4096]
//   in-flight = [64, 1024]
//   seconds = 10
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "bench/options.h"

namespace synod::bench {

inline constexpr std::size_t points_max = 500;

struct Point {
  Options options;   // complete
  std::string name;  // what is special about it: "payload 128, in-flight 64"; empty: there is only one
};

struct Plan {
  std::string title;
  std::vector<Point> points;
};

// A key and the values that it takes, as text.
struct Sweep {
  std::string key;
  std::vector<std::string> values;
};

// "KEY=VALUE,VALUE,..."
[[nodiscard]] Result<Sweep> parse_sweep(const std::string& text);
// `name`: of the file, for messages. The sweeps of the file come in the order of its keys as they stand here, see set().
struct WorkloadFile {
  std::string title;
  std::vector<Sweep> sweeps;
};
[[nodiscard]] Result<WorkloadFile> parse_workload(std::string_view text, const std::string& name);
[[nodiscard]] Result<WorkloadFile> load_workload(const std::string& path);

// All combinations, the last sweep running fastest, over what `base` says of everything else.
[[nodiscard]] Result<Plan> make_plan(const Options& base, const std::string& title, std::span<const Sweep> sweeps);

}  // namespace synod::bench
