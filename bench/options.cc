#include "bench/options.h"

#include <fmt/format.h>

#include <numeric>

#include "bench/link.h"
#include "bench/wal_sizes.h"
#include "dataplane/lcore.h"
#include "wire/limits.h"

namespace synod::bench {

namespace {

constexpr std::size_t in_flight_throughput = 1024;
constexpr std::size_t replicas_max_box = 5;  // DPDK takes 32 ports a process
constexpr double seconds_max = 3600;
constexpr std::uint64_t capacity_min = 32ULL << 20;
constexpr std::uint64_t rate_max = 50'000'000;  // no port here carries more

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

const char* name(ArrivalKind kind) {
  switch (kind) {
    case ArrivalKind::closed: return "closed";
    case ArrivalKind::constant: return "constant";
    case ArrivalKind::poisson: return "poisson";
  }
  return "unknown";
}

namespace {

// An open loop must not wait for answers.
std::size_t default_in_flight(const Options& options) {
  if (options.rate > 0) return client::entries_in_flight_limit;
  return options.measure == Measure::throughput ? in_flight_throughput : 1;
}

Result<> check_load(const Options& options) {
  if (options.clients == 0 || options.clients > clients_max) {
    return fail(fmt::format("--clients {} is not possible: choose 1 to {}", options.clients, clients_max));
  }
  if (options.in_flight > client::entries_in_flight_limit) {
    return fail(
        fmt::format("--in-flight {} is not possible: choose 1 to {}", options.in_flight, client::entries_in_flight_limit));
  }
  if (options.rate > rate_max) {
    return fail(fmt::format("--rate {} is not possible: choose 1 to {}, or leave it out", options.rate, rate_max));
  }
  if (options.poisson && options.rate == 0) return fail("--poisson needs a --rate: arrivals of a closed loop follow the answers");
  if (options.ladder && (options.rate > 0 || options.measure != Measure::latency)) {
    return fail("--ladder belongs to 'bench latency' without --rate: it finds the rates itself");
  }
  if (options.capacity_bytes != 0 && (options.where == Where::cluster || options.capacity_bytes < capacity_min)) {
    return fail(fmt::format("--capacity needs --box or --processes, and at least {} MiB", capacity_min >> 20));
  }
  if (options.group > 0 && options.where != Where::cluster) return fail("--group needs --cluster: others have one group");
  if (options.kill_leader && options.where != Where::processes) {
    return fail(
        "--kill-leader needs --processes: the replicas of a box are one process, and other clusters are not ours to kill");
  }
  return {};
}

}  // namespace

Result<Options> complete(Options options) {
  if (!options.wal.empty()) {
    auto sizes = load_wal_sizes(options.wal);
    if (!sizes) return std::unexpected(sizes.error());
    const std::uint64_t sum = std::accumulate(sizes->begin(), sizes->end(), std::uint64_t{0});
    options.payload_bytes = sum / sizes->size();
    options.sizes = std::make_shared<const std::vector<std::uint32_t>>(*std::move(sizes));
  }
  if (options.in_flight == 0) options.in_flight = default_in_flight(options);
  if (auto checked = check_load(options); !checked) return std::unexpected(checked.error());
  if (!wire::ack_level_of(options.ack)) {
    return fail(fmt::format("--ack {} is no acknowledgement level: choose memory, leader, one, quorum or all", options.ack));
  }
  if (options.payload_bytes == 0 || options.payload_bytes > entry_bytes_max) {
    return fail(fmt::format("--payload {} is not possible: choose 1 to {} bytes", options.payload_bytes, entry_bytes_max));
  }
  const std::size_t replicas_max = options.where == Where::box ? replicas_max_box : members_max;
  if (options.replicas == 0 || options.replicas > replicas_max) {
    return fail(fmt::format("--replicas {} is not possible here: choose 1 to {}", options.replicas, replicas_max));
  }
  if (!(options.seconds > 0) || options.seconds > seconds_max) {
    return fail(fmt::format("--seconds {} is not possible: choose up to {}", options.seconds, seconds_max));
  }
  if (!dataplane::link_kind_of(options.port)) {
    return fail(fmt::format("--port {} is not possible: choose ring, pair, af_packet, af_xdp or udp", options.port));
  }
  if (options.where != Where::box && options.links() != dataplane::LinkKind::ring) {
    return fail("--port belongs to --box: processes have pairs, and a cluster that is there has what it was given");
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
