// One run of `synod bench`: floors, load, read back, floors again, and a report.
#pragma once

#include "base/error.h"
#include "bench/options.h"
#include "bench/progress.h"
#include "bench/report.h"

namespace synod::bench {

// Control thread; blocks until it is done. SIGINT and SIGTERM (replica/stop.h) end it early, with an error, and cleaned up.
[[nodiscard]] Result<Report> run(const Options& options, Watch& watch);

}  // namespace synod::bench
