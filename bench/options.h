// What `synod bench` is asked to measure.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "bench/arrivals.h"
#include "dataplane/link.h"
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
[[nodiscard]] const char* name(ArrivalKind kind);

struct Options {
  Measure measure = Measure::latency;
  Where where = Where::box;
  std::string port = "ring";  // of a box
  std::string addresses;      // of a cluster that is there
  std::string cluster = "synod";
  std::uint32_t group = 0;  // of a cluster that runs already
  std::string data;         // a directory, "memory", or empty: a temporary directory on a disk
  std::string ack = "quorum";
  std::size_t payload_bytes = 128;
  std::string wal;  // a PostgreSQL WAL segment: entries have the sizes of what its commits flush, instead of payload_bytes
  std::shared_ptr<const std::vector<std::uint32_t>> sizes;  // of it
  std::size_t clients = 1;
  std::size_t in_flight = 0;           // of each client; 0: 1 for latency, 1024 for throughput, as many as can be with a rate
  std::size_t entries_per_packet = 0;  // at most; 0: as many as fit
  std::size_t replicas = 3;
  std::uint64_t rate = 0;    // appends a second of all clients; 0: closed loop
  bool poisson = false;      // with a rate: random arrivals of that mean
  bool ladder = false;       // latency at several shares of the peak
  bool kill_leader = false;  // in the middle of the load
  double seconds = 5;        // of each load
  bool verify = true;
  std::uint64_t capacity_bytes = 0;  // of each journal that is made; 0: what all loads may need
  std::uint64_t seed = 1;            // of random arrivals

  // Of options that complete() has let through.
  [[nodiscard]] wire::AckLevel ack_level() const { return *wire::ack_level_of(ack); }
  [[nodiscard]] dataplane::LinkKind links() const { return *dataplane::link_kind_of(port); }
  [[nodiscard]] bool diskless() const { return data == "memory"; }
  [[nodiscard]] ArrivalKind arrivals() const {
    if (rate == 0) return ArrivalKind::closed;
    return poisson ? ArrivalKind::poisson : ArrivalKind::constant;
  }
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
