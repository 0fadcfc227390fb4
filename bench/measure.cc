#include "bench/measure.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <string_view>
#include <thread>

#include "bench/ladder.h"
#include "dataplane/eal.h"
#include "dataplane/lcore.h"

namespace synod::bench {

namespace {

constexpr std::uint64_t leader_wait_us = 15'000'000;
constexpr std::uint64_t status_wait_us = 1'000'000;
constexpr std::uint64_t commit_wait_us = 5'000'000;  // for what was answered early
constexpr double warmup_seconds_least = 0.5;
constexpr double warmup_seconds_most = 5;
constexpr double stage_seconds = 1;
constexpr std::uint64_t room_wait_us = 10'000'000;

constexpr std::string_view unsettled = "the rate had not settled when the warm-up ended";

double warmup_seconds(double seconds) {
  return std::min(warmup_seconds_least, seconds / 4);
}

// Only a run that is long enough waits for its rate to settle.
double warmup_seconds_max(double seconds) {
  return std::min(warmup_seconds_most, std::max(warmup_seconds(seconds), seconds / 4));
}

// How much a counter of all replicas grew. A replica that started anew in between counts from zero.
std::uint64_t growth(const std::vector<wire::StatusAnswer>& before, const std::vector<wire::StatusAnswer>& after,
                     std::uint64_t wire::StatusAnswer::* counter) {
  std::uint64_t growth = 0;
  for (const wire::StatusAnswer& now : after) {
    const auto then = std::ranges::find(before, now.replica, &wire::StatusAnswer::replica);
    const std::uint64_t base = then == before.end() || (*then).*counter > now.*counter ? 0 : (*then).*counter;
    growth += now.*counter - base;
  }
  return growth;
}

AppenderCounters operator-(const AppenderCounters& left, const AppenderCounters& right) {
  return {.messages = left.messages - right.messages,
          .resent = left.resent - right.resent,
          .busy = left.busy - right.busy,
          .misplaced = left.misplaced - right.misplaced};
}

// Whether others need the client's core while it waits: one core for all, or more processes than cores.
bool shares_core(const Options& options, const CpuLayout& cpu) {
  const bool is_crowded = options.where != Where::box && std::thread::hardware_concurrency() <= options.replicas;
  return cpu.one_core() || is_crowded;
}

std::size_t in_flight_most(const Options& options) {
  return options.ladder ? client::entries_in_flight_limit : options.in_flight;
}

}  // namespace

double seconds_of_load(const Options& options) {
  const double longest = options.ladder ? std::max(options.seconds, peak_seconds) : options.seconds;
  const double slack = options.ladder ? longest / 4 : 0;  // until a trim has an effect
  const double staged = options.where == Where::box ? std::min(options.seconds, stage_seconds) : 0;
  return longest + slack + warmup_seconds_max(longest) + staged + warmup_seconds_max(staged);
}

Loads::Loads(Link& link, Payloads& payloads, const Options& options, bool shares_core, Watch& watch, Report& report)
    : link_(link), payloads_(payloads), options_(options), shares_core_(shares_core), watch_(watch), report_(report) {}

WorkloadOptions Loads::closed(std::size_t in_flight, double seconds) const {
  return {.in_flight = in_flight,
          .seconds = seconds,
          .warmup_seconds = warmup_seconds(seconds),
          .warmup_seconds_max = warmup_seconds_max(seconds),
          .shares_core = shares_core_};
}

WorkloadOptions Loads::open(double rate, double seconds) const {
  return {.in_flight = in_flight_most(options_),
          .arrivals = options_.poisson ? ArrivalKind::poisson : ArrivalKind::constant,
          .rate = rate,
          .seconds = seconds,
          .warmup_seconds = warmup_seconds(seconds),
          .warmup_seconds_max = warmup_seconds(seconds),
          .seed = options_.seed,
          .shares_core = shares_core_};
}

Result<Run> Loads::run(const WorkloadOptions& workload) {
  watch_.stage = Stage::loading;
  const auto tail_before = link_.tail(leader_wait_us);
  if (!tail_before) return std::unexpected(tail_before.error());
  const auto before = link_.statuses(status_wait_us);
  const AppenderCounters counted = link_.counters();
  Run run{.arrivals = workload.arrivals, .rate = workload.rate};
  run.result = Workload(link_, payloads_, workload, watch_.progress).run(numbers_);
  run.counters = link_.counters() - counted;
  if (!run.result.cut_short.empty()) {
    report_.cut_short = run.result.cut_short;
    return run;
  }
  const auto after = link_.statuses(status_wait_us);
  run.elections = growth(before, after, &wire::StatusAnswer::elections);
  run.packets_dropped = growth(before, after, &wire::StatusAnswer::packets_dropped);
  if (before.size() != after.size()) report_.notes.emplace_back("a replica stopped or started answering during the run");
  if (run.result.latency_ns.count() == 0) {
    return fail(run.result.filled ? "the journal was full before anything was measured: choose fewer --seconds, or more space"
                                  : "nothing was appended in the measured time");
  }
  if (run.counters.misplaced > 0) {
    report_.notes.push_back(
        fmt::format("{} entries did not lie behind all earlier ones of their client", run.counters.misplaced));
  }
  if (run.result.filled) {
    report_.notes.push_back(
        fmt::format("the journal was full after {:.1f} s: choose fewer --seconds, or more space", run.result.seconds));
  }
  // Once, however many loads it is true of.
  if (!run.result.settled && std::ranges::find(report_.notes, unsettled) == report_.notes.end()) {
    report_.notes.emplace_back(unsettled);
  }
  if (run.result.unsent > 0) {
    report_.notes.push_back(
        fmt::format("{} appends were due and never sent: the rate is beyond what this cluster takes; "
                    "each counts with its age at the end",
                    run.result.unsent));
  }
  if (auto committed = await_commit(*tail_before, run); !committed) return std::unexpected(committed.error());
  if (options_.verify) {
    if (auto verified = verify(); !verified) return std::unexpected(verified.error());
  }
  return run;
}

Result<> Loads::stages(WorkloadOptions workload, std::span<replica::StageTrace* const> traces) {
  if (traces.empty()) return {};
  if (!is_roomy()) {
    if (auto trimmed = trim(room_wait_us); !trimmed) return trimmed;
  }
  StageRecorder recorder(traces);
  workload.seconds = std::min(workload.seconds, stage_seconds);
  workload.stages = &recorder;
  const auto traced = run(workload);
  if (!traced) return std::unexpected(traced.error());
  report_.stages = recorder.times();
  return {};
}

// Early answers come before the commit. Whatever was answered must be committed all the same, and soon.
Result<> Loads::await_commit(Lsn tail_before, const Run& run) {
  if (!wire::is_early(options_.ack_level())) return {};
  const std::uint64_t answered_us = dataplane::now_us();
  const std::uint64_t answered = run.result.submitted - run.result.errors;
  auto tail = link_.tail(leader_wait_us);
  while (tail && *tail < tail_before + answered && dataplane::now_us() < answered_us + commit_wait_us) {
    tail = link_.tail(leader_wait_us);
  }
  if (!tail) return std::unexpected(tail.error());
  report_.notes.push_back(fmt::format("early answers: {} appends answered, {} committed {:.1f} ms after the last answer",
                                      answered, *tail - tail_before,
                                      static_cast<double>(dataplane::now_us() - answered_us) / 1000));
  return {};
}

Result<> Loads::verify() {
  watch_.stage = Stage::verifying;
  const auto verified = link_.verify(payloads_, watch_.progress);
  if (!verified) return std::unexpected(verified.error());
  report_.verified.written += verified->written;
  report_.verified.entries += verified->entries;
  report_.verified.wrong += verified->wrong;
  report_.verified.seconds += verified->seconds;
  return {};
}

bool Loads::is_roomy() {
  const auto statuses = link_.statuses(status_wait_us);
  return std::ranges::all_of(statuses,
                             [](const wire::StatusAnswer& status) { return status.segments_free * 2 > status.segments_total; });
}

Result<> Loads::trim(std::uint64_t wait_us) {
  const auto tail = link_.tail(leader_wait_us);
  if (!tail) return std::unexpected(tail.error());
  if (auto trimmed = link_.trim(*tail, leader_wait_us); !trimmed) return trimmed;
  const std::uint64_t deadline_us = dataplane::now_us() + wait_us;
  std::array<Finished, 64> late;  // what a load on a full journal did not wait for: the next one must not take it for its own
  while ((!is_roomy() || link_.in_flight() > 0) && dataplane::now_us() < deadline_us) {
    for (const std::uint64_t next_us = dataplane::now_us() + 10'000; dataplane::now_us() < next_us;) {
      link_.turn(dataplane::now_ns());
      while (link_.take_finished(late) > 0) {
      }
    }
  }
  return {};
}

namespace {

// Where nobody else appends, the log has grown by exactly what was answered. (An append that ended without an answer may have
// been added, or not.)
void check_growth(std::uint64_t grown, std::uint64_t errors, const Options& options, Report& report) {
  const std::uint64_t written = report.verified.written;
  if (options.where == Where::cluster || (grown >= written && grown <= written + errors)) return;
  report.notes.push_back(fmt::format("the log grew by {} entries, and {} were acknowledged", grown, written));
  report.is_verified = false;
}

Result<> run_all(Link& link, Loads& loads, Target& target, const Options& options, Watch& watch, Report& report) {
  if (wire::is_early(options.ack_level())) {
    report.notes.push_back(fmt::format("ack {}: {}", options.ack, can_lose(options.ack_level())));
  }
  watch.stage = Stage::electing;
  const auto tail_before = link.tail(leader_wait_us);
  if (!tail_before) return std::unexpected(tail_before.error());
  report.replicas = link.peers().size();
  const auto rate = static_cast<double>(options.rate);
  WorkloadOptions load = options.rate == 0 ? loads.closed(options.in_flight, options.seconds) : loads.open(rate, options.seconds);
  ReplicaId killed;
  if (options.kill_leader) {
    load.event = [&] {
      const ReplicaId leader = link.leader().id;
      if (target.kill(leader)) killed = leader;
    };
  }
  auto run = loads.run(load);
  if (!run) return std::unexpected(run.error());
  report.run = *std::move(run);
  if (killed != ReplicaId{}) report.failure = failure_of(killed, report.run.result);
  if (report.cut_short.empty()) {
    if (auto staged = loads.stages(load, target.traces()); !staged) return staged;
  }
  if (options.ladder && report.cut_short.empty()) {
    if (auto climbed = climb(loads, options, watch, report); !climbed) return climbed;
  }
  if (!options.verify || !report.cut_short.empty()) return {};
  const Verified& verified = report.verified;
  report.is_verified = verified.wrong == 0 && report.run.counters.misplaced == 0 && verified.entries == verified.written;
  const auto tail = link.tail(leader_wait_us);
  if (!tail) return std::unexpected(tail.error());
  if (!options.ladder) check_growth(*tail - *tail_before, report.run.result.errors, options, report);
  return {};
}

}  // namespace

Result<> measure(Target& target, const Options& options, const CpuLayout& cpu, Watch& watch, Report& report) {
  (void)::pthread_setname_np(::pthread_self(), "client");
  if (auto pinned = dataplane::pin_to_core(cpu.client_core); !pinned) return pinned;
  if (dataplane::eal_is_started()) {
    if (auto registered = dataplane::register_polling_thread(); !registered) return registered;
  }
  Link link(target.ways(), {.clients = options.clients,
                            .in_flight = in_flight_most(options),
                            .payload_bytes = options.sizes ? *std::ranges::max_element(*options.sizes) : options.payload_bytes,
                            .ack = options.ack_level(),
                            .entries_per_packet_max = options.entries_per_packet});
  const std::vector<std::uint32_t> one_size{static_cast<std::uint32_t>(options.payload_bytes)};
  Payloads payloads(dataplane::now_ns(), options.sizes ? *options.sizes : one_size);
  Loads loads(link, payloads, options, shares_core(options, cpu), watch, report);
  return run_all(link, loads, target, options, watch, report);
}

}  // namespace synod::bench
