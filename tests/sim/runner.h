// Runs of many seeds: each in a process of its own, so that a CHECK that fails is a result like any other.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/faults.h"
#include "tests/sim/run.h"

namespace synod::sim {

struct SeedResult {
  std::uint64_t seed = 0;
  bool failed = false;
  std::string check;  // which check failed: a name, or "CHECK" and its condition
  std::string text;
  std::uint64_t failed_at_us = 0;
  double cpu_seconds = 0;
  Tally tally;
};

// Changes the options that a seed draws: what the command line, or the search for a smaller failure, asks for.
using Adjust = std::function<void(Options&)>;

// One run in a child process.
[[nodiscard]] SeedResult run_apart(const Options& options);

// `on_result` is called in the order in which runs end; false ends it all.
void run_many(std::uint64_t first, std::uint64_t count, unsigned jobs, const Adjust& adjust,
              const std::function<bool(const SeedResult&)>& on_result);

// Faults that are left out of what a seed draws, and the number of writers.
struct Reduction {
  std::array<bool, faults> off{};
  std::optional<std::size_t> writers;

  [[nodiscard]] Options of(std::uint64_t seed) const;
};

// A failure with fewer faults and less time: of the same check, and perhaps with another seed.
struct Smaller {
  Options options;
  SeedResult result;
  std::uint64_t runs = 0;
};
[[nodiscard]] Smaller minimise(const Options& options, const SeedResult& result);

}  // namespace synod::sim
