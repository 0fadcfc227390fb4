// Reads back everything that a run wrote, from the journal of the replica that leads, and compares every byte.
//
// Thread: that of the link; spins until it is done. Entries of other clients between ours are skipped.
#pragma once

#include "base/error.h"
#include "bench/appender.h"
#include "bench/link.h"
#include "bench/written.h"

namespace synod::bench {

// Fails if the replica stops answering.
[[nodiscard]] Result<Verified> read_back(Link& link, Written& written, Payloads& payloads, Progress& progress);

}  // namespace synod::bench
