// The floors of a report, and how they are measured for it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
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

// Measures both once more, as far as it can be done from here. `directory`: where the journals are; empty: there are none.
[[nodiscard]] Result<> add_floors(Floors& floors, const Options& options, const CpuLayout& cpu, const std::string& directory);

}  // namespace synod::bench
