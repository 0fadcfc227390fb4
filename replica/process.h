// One replica as a process: opens what its configuration names and polls its nodes, one a group and each on a thread of its own,
// until it is told to stop.
#pragma once

#include "base/error.h"
#include "replica/config.h"

namespace synod::replica {

// Returns when stop_requested is set (replica/stop.h), or why it could not start. Prints one line when it is ready.
[[nodiscard]] Result<> run_process(const Config& config);

}  // namespace synod::replica
