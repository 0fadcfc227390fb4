// How much journal the replicas of a bench get.
#pragma once

#include <cstdint>

#include "bench/directory.h"
#include "bench/options.h"

namespace synod::bench {

// What was asked for, or else what all loads together may need on each replica; but never more than there is: a run ends early if
// that is too little, and says so. `directory`: where the journals go; none: memory.
[[nodiscard]] std::uint64_t journal_bytes(const Options& options, const Directory* directory);

}  // namespace synod::bench
