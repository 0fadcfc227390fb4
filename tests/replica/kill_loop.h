// A cluster of real processes under load, killed at random: what the test, the demo and the long run share.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"

namespace synod::test {

struct KillLoopOptions {
  std::string binary;     // of synod
  std::string directory;  // a fresh one; stays for the caller to remove
  std::uint64_t seed = 1;
  int kills = 10;
  bool verbose = false;  // a line a kill
};

struct KillLoopSummary {
  int kills = 0;
  int leader_kills = 0;
  std::uint64_t acknowledged = 0;
  std::uint64_t entries = 0;     // in the log at the end
  std::uint64_t gap_ms_max = 0;  // the longest time without an acknowledgement
};

// Appends numbered entries without a pause, while random replicas are killed with SIGKILL and started again, at most a minority
// at a time; then reads everything back. An error is a broken promise, in one line: every acknowledged entry is at its LSN, once,
// in order; nothing appears twice; no replica comes back with a lower promised ballot than it held for a while.
[[nodiscard]] Result<KillLoopSummary> run_kill_loop(const KillLoopOptions& options);

}  // namespace synod::test
