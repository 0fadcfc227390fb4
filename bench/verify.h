// Reads back everything that a run wrote, from one replica's journal, and compares every byte.
//
// Thread: that of the link; spins until it is done. Entries of other clients between ours are skipped.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "bench/link.h"
#include "bench/workload.h"
#include "bench/written.h"

namespace synod::bench {

struct Verified {
  std::uint64_t entries = 0;  // ours, read back as they were written
  std::uint64_t wrong = 0;    // ours, with other bytes
  double seconds = 0;
};

// Fails if the replica stops answering.
[[nodiscard]] Result<Verified> verify(Link& link, const client::Peer& replica, const Written& written, Payloads& payloads,
                                      Progress& progress);

}  // namespace synod::bench
