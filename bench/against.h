// A run beside an older one, whose JSON somebody kept.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"

namespace synod::bench {

struct Report;

struct Change {
  std::string figure;  // its place in the JSON object, e.g. latency_us/p50
  double before = 0;
  double now = 0;

  [[nodiscard]] std::optional<double> ratio() const { return before > 0 ? std::optional(now / before) : std::nullopt; }
};

// Text that came from the file is quoted as JSON: nothing in it reaches a terminal as it is.
struct Comparison {
  std::string path;
  std::string commit;
  std::string time_utc;
  std::vector<std::string> differences;  // why the two runs say nothing about each other; then the rest is empty
  std::vector<std::string> cautions;     // why only the ratio to the floor does
  std::vector<Change> changes;
  std::vector<std::pair<double, double>> percentiles;  // the old curve: per cent, microseconds

  [[nodiscard]] bool is_comparable() const { return differences.empty(); }
};

// A report that was read and found to be one.
struct OldReport {
  std::string path;
  std::string text;
};

// The file is hostile until this is done: it must be the JSON of one run.
[[nodiscard]] Result<OldReport> read_report(const std::string& path);

[[nodiscard]] Comparison compare(const OldReport& before, const Report& now);

}  // namespace synod::bench
