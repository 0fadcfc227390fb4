// The client's part of a run: loads on a cluster, one after the other, and reading back.
#pragma once

#include <vector>

#include "base/error.h"
#include "bench/link.h"
#include "bench/progress.h"
#include "bench/report.h"
#include "bench/target.h"

namespace synod::bench {

// How long loads write until the journal has room again: of all loads together, or of the longest one where a trim follows each.
[[nodiscard]] double seconds_of_load(const Options& options);

// Loads on one link. What one wrote is read back (if asked for) before the next begins. Thread: that of the link.
class Loads {
 public:
  Loads(Link& link, Payloads& payloads, const Options& options, bool shares_core, Watch& watch, Report& report);

  // Fails only where there is nothing to report. Check `cut_short` of the result.
  [[nodiscard]] Result<Run> run(const WorkloadOptions& workload);
  // The stages of the same load, measured in a short one behind it.
  [[nodiscard]] Result<> stages(WorkloadOptions workload, std::span<replica::StageTrace* const> traces);
  // Gives back the space of what was read back. `wait_us`: for the replicas to release it.
  [[nodiscard]] Result<> trim(std::uint64_t wait_us);
  // Whether more than half of every journal is free.
  [[nodiscard]] bool is_roomy();
  [[nodiscard]] WorkloadOptions closed(std::size_t in_flight, double seconds) const;
  [[nodiscard]] WorkloadOptions open(double rate, double seconds) const;

 private:
  [[nodiscard]] Result<> await_commit(Lsn tail_before, const Run& run);
  [[nodiscard]] Result<> verify();

  Link& link_;
  Payloads& payloads_;
  const Options& options_;
  bool shares_core_;
  Watch& watch_;
  Report& report_;
  std::vector<std::uint64_t> numbers_;
};

// Everything that is asked of the client's thread. Notes and the parts that were measured go into the report, also where it
// fails.
[[nodiscard]] Result<> measure(Target& target, const Options& options, const CpuLayout& cpu, Watch& watch, Report& report);

}  // namespace synod::bench
