#include "bench/run.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sys/sysinfo.h>

#include <thread>

#include "bench/directory.h"
#include "bench/floor_device.h"
#include "bench/floor_wire.h"
#include "bench/target.h"
#include "bench/verify.h"
#include "dataplane/eal.h"
#include "dataplane/lcore.h"
#include "replica/stop.h"
#include "storage/layout.h"

namespace synod::bench {

namespace {

constexpr double warmup_seconds_max = 0.5;
constexpr double wire_floor_seconds = 0.4;
constexpr double device_floor_seconds = 0.2;  // of each method
constexpr std::uint64_t leader_wait_us = 15'000'000;
constexpr std::uint64_t commit_wait_us = 5'000'000;  // for what was answered early
constexpr std::uint64_t status_wait_us = 1'000'000;

double warmup_seconds(const Options& options) {
  return std::min(warmup_seconds_max, options.seconds / 4);
}

// How much journal a run may need on each replica: a block for every slot, and the entries. Generous, for a journal that is full
// ends the run; not too generous, for all of it is written (or taken from the system) before the run.
std::uint64_t journal_bytes_wanted(const Options& options) {
  const auto crowd = static_cast<double>(options.in_flight);
  const double blocks = options.diskless() ? std::max(40'000.0, 170'000 / (1 + crowd / 16)) : 16'000;  // a second
  const double entries_closed = std::min(2.3e6, blocks * crowd);
  const double entries = options.rate == 0 ? entries_closed : std::min(entries_closed, static_cast<double>(options.rate));
  const auto entry_bytes = static_cast<double>(options.payload_bytes + wire::entry_header_bytes);
  const double bytes = std::min(blocks, entries) * storage::device_block_bytes + std::min(entries * entry_bytes, 800e6);
  return (64ULL << 20) + static_cast<std::uint64_t>(bytes * (options.seconds + warmup_seconds(options)));
}

// Never more than there is: the run ends early if that is too little, and says so.
std::uint64_t journal_bytes(const Options& options, const Directory* directory) {
  std::uint64_t available = 0;
  if (directory != nullptr && !options.diskless()) {
    available = directory->free_bytes();
  } else {
    struct sysinfo info{};
    if (::sysinfo(&info) == 0) available = (info.freeram + info.bufferram) * info.mem_unit;
  }
  return std::min(journal_bytes_wanted(options), available / 10 * 8 / options.replicas);
}

Result<> add_floors(Floors& floors, const Options& options, const CpuLayout& cpu, const Directory* directory) {
  const MessageSizes sizes = message_sizes(options.payload_bytes);
  if (options.where == Where::box) {
    auto wire = measure_wire_floor({.replicas = options.replicas,
                                    .sizes = sizes,
                                    .replica_core = cpu.replica_core,
                                    .client_core = cpu.client_core,
                                    .seconds = wire_floor_seconds});
    if (!wire) return std::unexpected(wire.error());
    floors.wire.push_back(*wire);
  }
  floors.diskless = options.diskless();
  if (directory == nullptr || options.diskless()) return {};
  auto device = measure_device_floor({.directory = directory->path(),
                                      .replicas = options.replicas,
                                      .write_bytes = storage::block_bytes(sizes.record),
                                      .replica_core = cpu.replica_core,
                                      .seconds_per_method = device_floor_seconds});
  if (!device) return std::unexpected(device.error());
  floors.device.insert(floors.device.end(), device->methods.begin(), device->methods.end());
  floors.device_name = device->device;
  floors.device_stable = device->stable;
  return {};
}

Latency latency_of(const Histogram& histogram) {
  const auto us = [&](double percent) { return static_cast<double>(histogram.percentile(percent)) / 1000; };
  return {.p50 = us(50), .p90 = us(90), .p99 = us(99), .p999 = us(99.9), .max = us(100)};
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

// The part of a run that belongs to the client's thread.
class Client {
 public:
  Client(Target& target, const Options& options, const CpuLayout& cpu, Watch& watch, Report& report)
      : target_(target), options_(options), cpu_(cpu), watch_(watch), report_(report) {}

  Result<> run() {
    (void)::pthread_setname_np(::pthread_self(), "client");
    if (auto pinned = dataplane::pin_to_core(cpu_.client_core); !pinned) return pinned;
    if (dataplane::eal_is_started()) {
      if (auto registered = dataplane::register_polling_thread(); !registered) return registered;
    }
    client::SessionOptions session;
    session.entries_in_flight_max = options_.in_flight;
    session.bytes_in_flight_max = std::max<std::size_t>(2U << 20, 2 * options_.in_flight * (options_.payload_bytes + 64));
    Link link(target_.ways(), session);
    watch_.stage = Stage::electing;
    const auto tail_before = link.tail(leader_wait_us);
    if (!tail_before) return std::unexpected(tail_before.error());
    const auto before = link.statuses(status_wait_us);
    watch_.stage = Stage::loading;
    Payloads payloads(dataplane::now_ns(), options_.payload_bytes);
    Workload workload(link, payloads,
                      {.in_flight = options_.in_flight,
                       .payload_bytes = options_.payload_bytes,
                       .ack = options_.ack_level(),
                       .rate = options_.rate,
                       .seconds = options_.seconds,
                       .warmup_seconds = warmup_seconds(options_),
                       .shares_core = shares_core()},
                      watch_.progress);
    const auto result = workload.run();
    if (!result) return std::unexpected(result.error());
    put(*result);
    const auto after = link.statuses(status_wait_us);
    report_.elections = growth(before, after, &wire::StatusAnswer::elections);
    report_.packets_dropped = growth(before, after, &wire::StatusAnswer::packets_dropped);
    if (before.size() != after.size()) report_.notes.emplace_back("a replica stopped or started answering during the run");
    report_.replicas = link.peers().size();
    return options_.verify ? read_back(link, *result, *tail_before, payloads) : Result<>{};
  }

 private:
  // Whether others need the client's core while it waits: one core for all, or more processes than cores.
  [[nodiscard]] bool shares_core() const {
    const bool crowded = options_.where != Where::box && std::thread::hardware_concurrency() <= options_.replicas;
    return cpu_.one_core() || crowded;
  }

  void put(const WorkloadResult& result) {
    report_.seconds = result.seconds;
    report_.appended = result.appended;
    report_.latency_us = latency_of(result.latency_ns);
    report_.errors = result.errors;
    report_.entries_per_packet = result.entries_per_packet;
    report_.late_sends = result.late_sends;
    report_.busy = result.busy;
    report_.resent = result.resent;
    report_.entries_written = result.written.entries();
    if (result.misplaced > 0)
      report_.notes.push_back(fmt::format("{} entries did not lie behind all earlier ones", result.misplaced));
    if (result.filled) {
      report_.notes.push_back(
          fmt::format("the journal was full after {:.1f} s: choose fewer --seconds, or more space", result.seconds));
    }
  }

  void note_level(std::uint64_t committed, std::uint64_t answered, std::uint64_t after_us) {
    if (!wire::is_early(options_.ack_level())) return;
    report_.notes.push_back(fmt::format("ack {}: {}", options_.ack, can_lose(options_.ack_level())));
    report_.notes.push_back(fmt::format("early answers: {} appends answered, {} committed {:.1f} ms after the last answer",
                                        answered, committed, static_cast<double>(after_us) / 1000));
  }

  Result<> read_back(Link& link, const WorkloadResult& result, Lsn tail_before, Payloads& payloads) {
    watch_.stage = Stage::verifying;
    const std::uint64_t answered_us = dataplane::now_us();
    auto tail = link.tail(leader_wait_us);
    // Early answers come before the commit. Whatever was answered must be committed all the same, and soon.
    while (tail && *tail < tail_before + result.written.entries() && dataplane::now_us() < answered_us + commit_wait_us) {
      tail = link.tail(leader_wait_us);
    }
    if (!tail) return std::unexpected(tail.error());
    note_level(*tail - tail_before, result.written.entries(), dataplane::now_us() - answered_us);
    const client::Peer leader = link.session().leader().target();
    const auto verified = verify(link, leader, result.written, payloads, watch_.progress);
    if (!verified) return std::unexpected(verified.error());
    report_.entries_verified = verified->entries;
    bool good = verified->wrong == 0 && result.misplaced == 0 && verified->entries == result.written.entries();
    // Where nobody else appends, the log has grown by exactly what was answered. (An append that ended without an answer may
    // have been added, or not.)
    const std::uint64_t grown = *tail - tail_before;
    if (options_.where != Where::cluster &&
        (grown < result.written.entries() || grown > result.written.entries() + result.errors)) {
      report_.notes.push_back(
          fmt::format("the log grew by {} entries, and {} were acknowledged", grown, result.written.entries()));
      good = false;
    }
    report_.verified = good;
    return {};
  }

  Target& target_;
  const Options& options_;
  const CpuLayout& cpu_;
  Watch& watch_;
  Report& report_;
};

Result<std::unique_ptr<Target>> start(const TargetOptions& options) {
  switch (options.options.where) {
    case Where::box: return start_box(options);
    case Where::cluster: return reach_cluster(options);
    case Where::processes: return start_processes(options);
  }
  return fail("no such place");
}

Result<> measure(Report& report, const CpuLayout& cpu, const Directory* directory, Watch& watch) {
  const Options& options = report.options;
  watch.stage = Stage::formatting;
  const TargetOptions target_options{.options = options,
                                     .cpu = cpu,
                                     .directory = directory == nullptr ? "" : directory->path(),
                                     .capacity_bytes = journal_bytes(options, directory)};
  auto target = start(target_options);
  if (!target) return std::unexpected(target.error());
  report.port = (*target)->port();
  report.device = (*target)->device();
  report.device_stable = (*target)->device_stable();
  report.cpu_layout = (*target)->cpu_layout();
  Result<> done;
  std::thread([&] { done = Client(**target, options, cpu, watch, report).run(); }).join();
  if (auto checked = (*target)->check(); !checked) return checked;
  return done;
}

}  // namespace

Result<Report> run(const Options& options, Watch& watch) {
  Report report{.options = options};
  report.cpu = choose_cores();
  report.replicas = options.replicas;
  std::unique_ptr<Directory> directory;
  const bool has_files = options.where == Where::processes || (options.where == Where::box && !options.diskless());
  if (has_files) {
    auto made = Directory::make(options.diskless() ? "" : options.data);
    if (!made) return std::unexpected(made.error());
    directory = *std::move(made);
  }
  if (options.where == Where::box) {
    std::vector<unsigned> cores{report.cpu.replica_core};
    if (!report.cpu.one_core()) cores.push_back(report.cpu.client_core);
    if (auto started = dataplane::start_eal({.cores = cores}); !started) return std::unexpected(started.error());
  }
  if (report.cpu.one_core()) report.notes.emplace_back("only one core is allowed: client and replicas take turns on it");
  watch.stage = Stage::floors;
  if (auto added = add_floors(report.floors, options, report.cpu, directory.get()); !added) return std::unexpected(added.error());
  if (options.measure == Measure::floor) {
    report.port = "net_ring";
    report.device = report.floors.device_name.value_or("memory");
    report.device_stable = report.floors.device_stable;
    report.cpu_layout = fmt::format("bare nodes on core {}, client on core {}", report.cpu.replica_core, report.cpu.client_core);
  } else {
    if (auto measured = measure(report, report.cpu, directory.get(), watch); !measured) return std::unexpected(measured.error());
    if (directory) directory->clear();
    watch.stage = Stage::floors;
  }
  if (replica::stop_requested) return fail("interrupted");
  if (auto added = add_floors(report.floors, options, report.cpu, directory.get()); !added) return std::unexpected(added.error());
  watch.stage = Stage::done;
  return report;
}

}  // namespace synod::bench
