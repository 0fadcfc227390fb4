#include "bench/options.h"

#include <fmt/format.h>

#include "client/session.h"
#include "dataplane/lcore.h"
#include "wire/limits.h"

namespace synod::bench {

namespace {

constexpr std::size_t in_flight_throughput = 1024;
constexpr std::size_t replicas_max_box = 5;  // DPDK takes 32 ports a process
constexpr double seconds_max = 3600;

}  // namespace

const char* name(Measure measure) {
  switch (measure) {
    case Measure::latency: return "latency";
    case Measure::throughput: return "throughput";
    case Measure::floor: return "floor";
  }
  return "unknown";
}

const char* name(Where where) {
  switch (where) {
    case Where::box: return "box";
    case Where::processes: return "processes";
    case Where::cluster: return "cluster";
  }
  return "unknown";
}

Result<Options> complete(Options options) {
  if (options.in_flight == 0) options.in_flight = options.measure == Measure::throughput ? in_flight_throughput : 1;
  if (!wire::ack_level_of(options.ack)) {
    return fail(fmt::format("--ack {} is no acknowledgement level: choose memory, leader, one, quorum or all", options.ack));
  }
  if (options.payload_bytes == 0 || options.payload_bytes > entry_bytes_max) {
    return fail(fmt::format("--payload {} is not possible: choose 1 to {} bytes", options.payload_bytes, entry_bytes_max));
  }
  if (options.in_flight > client::entries_in_flight_limit) {
    return fail(
        fmt::format("--in-flight {} is not possible: choose 1 to {}", options.in_flight, client::entries_in_flight_limit));
  }
  const std::size_t replicas_max = options.where == Where::box ? replicas_max_box : members_max;
  if (options.replicas == 0 || options.replicas > replicas_max) {
    return fail(fmt::format("--replicas {} is not possible here: choose 1 to {}", options.replicas, replicas_max));
  }
  if (!(options.seconds > 0) || options.seconds > seconds_max) {
    return fail(fmt::format("--seconds {} is not possible: choose up to {}", options.seconds, seconds_max));
  }
  if (options.where == Where::cluster && !options.data.empty()) {
    return fail("--data belongs to clusters that the bench starts: leave it out with --cluster");
  }
  if (options.where == Where::cluster && options.measure == Measure::floor) {
    return fail("the floors of a cluster elsewhere cannot be measured from here: run 'synod bench floor' on its machine");
  }
  return options;
}

const char* can_lose(wire::AckLevel level) {
  switch (level) {
    case wire::AckLevel::memory: return "a power failure of a quorum, or a crash and a failover at once, loses the last answers";
    case wire::AckLevel::leader: return "a failover loses the last answers";
    case wire::AckLevel::one: return "a failover and the crash of another replica at once lose the last answers";
    case wire::AckLevel::quorum:
    case wire::AckLevel::all: break;
  }
  return "";
}

CpuLayout choose_cores() {
  const std::vector<unsigned> cores = dataplane::allowed_cores();
  if (cores.empty()) return {};
  // The first core of a machine has the most to do for others: the client gets it.
  return {.replica_core = cores.size() == 1 ? cores[0] : cores[1], .client_core = cores[0]};
}

}  // namespace synod::bench
