// What `synod bench` is asked to measure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "wire/client.h"

namespace synod::bench {

enum class Measure : std::uint8_t { latency, throughput, floor };
enum class Where : std::uint8_t {
  box,        // all replicas in this process on one core, the client on another
  processes,  // a process for each replica
  cluster,    // what is there
};

[[nodiscard]] const char* name(Measure measure);
[[nodiscard]] const char* name(Where where);

struct Options {
  Measure measure = Measure::latency;
  Where where = Where::box;
  std::string addresses;  // of a cluster that is there
  std::string cluster = "synod";
  std::string data;  // a directory, "memory", or empty: a temporary directory on a disk
  std::string ack = "quorum";
  std::size_t payload_bytes = 128;
  std::size_t in_flight = 0;  // 0: 1 for latency, 1024 for throughput
  std::size_t replicas = 3;
  std::uint64_t rate = 0;
  double seconds = 5;
  bool verify = true;

  // Of options that complete() has let through.
  [[nodiscard]] wire::AckLevel ack_level() const { return *wire::ack_level_of(ack); }
  [[nodiscard]] bool diskless() const { return data == "memory"; }
};

// Fills what was left open, and refuses what cannot be measured.
[[nodiscard]] Result<Options> complete(Options options);

// What a failure may take although it was answered at this level; empty for those that lose nothing while a quorum of disks
// lives.
[[nodiscard]] const char* can_lose(wire::AckLevel level);

// Which cores do what. With one core everything shares it.
struct CpuLayout {
  unsigned replica_core = 0;
  unsigned client_core = 0;

  [[nodiscard]] bool one_core() const { return replica_core == client_core; }
};

[[nodiscard]] CpuLayout choose_cores();

}  // namespace synod::bench
