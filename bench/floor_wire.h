// The wire floor of a box: client -> leader -> followers -> leader -> client over links like those of the box, with the packets
// of a real append in size and number, as bare bursts of received and transmitted buffers (of kernel UDP: bare datagrams) and
// nothing else. No header is written or read but a round's number, nothing is checked, copied or decided.
//
// All bare nodes take turns on one thread on the replica core, polling as many ports as real ones; the client spins on the
// other core. The leader answers when the quorum of replicas, itself included, has the round.
//
// Control thread; blocks for `seconds`. The EAL runs. Starts and ends its two threads; makes and destroys its links.
#pragma once

#include "base/error.h"
#include "bench/floor.h"
#include "bench/message_sizes.h"
#include "dataplane/link.h"

namespace synod::bench {

struct WireFloorOptions {
  dataplane::LinkKind links = dataplane::LinkKind::ring;
  std::size_t replicas = 3;
  MessageSizes sizes;
  unsigned replica_core = 0;
  unsigned client_core = 0;
  double seconds = 0.5;
};

[[nodiscard]] Result<FloorTime> measure_wire_floor(const WireFloorOptions& options);

}  // namespace synod::bench
