// The device floor: what the disk alone asks for one append. One ring and one pre-written file for each replica, on the same
// device and in the same directory as the journals, the same bytes, each file made durable by its own barrier; the next round
// begins when the quorum-th file has it. Measured for every durability method that the journal could choose.
//
// A file has at most one write in flight: a straggler's next write, for the round of that moment, waits for its last one.
// Thread: runs on a thread of its own, pinned to the replica core; blocks for about `seconds_per_method` times the methods.
#pragma once

#include <string>

#include "base/error.h"
#include "bench/floor.h"

namespace synod::bench {

struct DeviceFloorOptions {
  std::string directory;  // exists; holds the floor's files while it runs
  std::size_t replicas = 3;
  std::size_t write_bytes = 4096;  // of one replica's write; a multiple of the device's block
  unsigned replica_core = 0;
  double seconds_per_method = 0.25;
};

struct DeviceFloor {
  std::vector<FloorTime> methods;
  std::string device;   // the device and its cache
  bool stable = false;  // what it made durable survives loss of power
};

[[nodiscard]] Result<DeviceFloor> measure_device_floor(const DeviceFloorOptions& options);

}  // namespace synod::bench
