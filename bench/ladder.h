// The ladder of load: the peak of a cluster, and its latency at shares of it.
#pragma once

#include "base/error.h"
#include "bench/measure.h"

namespace synod::bench {

inline constexpr double peak_seconds = 10;

// The peak is the highest rate of an open loop that misses no send and meets no `busy` for peak_seconds. It is looked for from
// the rate of a closed loop downwards. Then one load of options.seconds at each share. What was measured is in the report also
// where this fails.
[[nodiscard]] Result<> climb(Loads& loads, const Options& options, Watch& watch, Report& report);

}  // namespace synod::bench
