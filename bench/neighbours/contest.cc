#include "bench/neighbours/contest.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "bench/capacity.h"
#include "bench/commit.h"
#include "bench/directory.h"
#include "bench/neighbours/connections.h"
#include "bench/neighbours/neighbour.h"
#include "bench/report.h"
#include "bench/target.h"
#include "dataplane/clock.h"
#include "dataplane/eal.h"
#include "dataplane/lcore.h"
#include "replica/stop.h"
#include "storage/file.h"

namespace synod::bench {

namespace {

constexpr std::size_t rounds_max = 100;
constexpr std::uint64_t leader_wait_us = 15'000'000;

// One round's appender is made, loaded and read back on a thread of the client's core.
class Contest {
 public:
  Contest(const ContestOptions& options, const Directory& directory, Watch& watch, ContestReport& report)
      : options_(options), cpu_(choose_cores()), directory_(directory), watch_(watch), report_(report) {
    report_.options = options;
    report_.cpu_layout =
        fmt::format("the client on core {}, servers on any; it gives its core away while nothing comes in", cpu_.client_core);
  }

  Result<> run() {
    enter_all();
    for (std::size_t round = 0; round < options_.rounds; ++round) {
      // Every other round the other way round: what drifts does not favour the first.
      for (std::size_t i = 0; i < report_.contenders.size(); ++i) {
        const std::size_t place = round % 2 == 0 ? i : report_.contenders.size() - 1 - i;
        Contender& contender = report_.contenders[place];
        if (!contender.failure.empty()) continue;
        watch_.set_part(fmt::format("round {} of {}, {}", round + 1, options_.rounds, contender.name));
        const auto held = hold(contender);
        clean_up();
        if (replica::stop_requested) {
          report_.cut_short = "interrupted";
          return {};
        }
        if (!held) contender.failure = held.error().text;
      }
    }
    watch_.set_part("");
    watch_.stage = Stage::done;
    return {};
  }

 private:
  void enter_all() {
    report_.contenders.push_back({.name = "synod", .version = commit});
    if (options_.box) report_.contenders.push_back({.name = "synod --box", .version = commit});
    for (const std::string& name : options_.with) {
      const NeighbourKind& kind = kind_of(name);
      const auto program = find_program(kind);
      report_.contenders.push_back({.name = kind.name,
                                    .is_durable = kind.is_durable,
                                    .durability = kind.durability,
                                    .failure = program ? "" : program.error().text});
    }
  }
  static const NeighbourKind& kind_of(const std::string& name) {
    return *std::ranges::find_if(neighbour_kinds(), [&](const NeighbourKind& kind) { return kind.name == name; });
  }

  Result<> hold(Contender& contender) {
    watch_.stage = Stage::starting;
    if (contender.name == "synod") return hold_synod(contender, Where::processes);
    if (contender.name == "synod --box") return hold_synod(contender, Where::box);
    return hold_neighbour(contender, kind_of(contender.name));
  }

  Result<> hold_synod(Contender& contender, Where where) {
    const auto options = complete({.where = where,
                                   .payload_bytes = options_.payload_bytes,
                                   .clients = options_.clients,
                                   .in_flight = options_.in_flight,
                                   .seconds = options_.seconds});
    if (!options) return std::unexpected(options.error());
    watch_.stage = Stage::formatting;
    const TargetOptions target_options{
        .options = *options, .cpu = cpu_, .directory = directory_.path(), .capacity_bytes = journal_bytes(*options, &directory_)};
    auto target = where == Where::box ? start_box(target_options) : start_processes(target_options);
    if (!target) return std::unexpected(target.error());
    report_.device = (*target)->device();
    contender.is_durable = (*target)->device_stable();
    contender.durability =
        fmt::format("{} a quorum before the answer ({})", contender.is_durable ? "on the disks of" : "NOT durable, in memory of",
                    where == Where::box ? "replicas on one core of the bench's own process, net_ring" : "three processes");
    auto held = on_client_core([&]() -> Result<> {
      Link link((*target)->ways(),
                {.clients = options_.clients, .in_flight = options_.in_flight, .payload_bytes = options_.payload_bytes});
      watch_.stage = Stage::electing;
      if (auto tail = link.tail(leader_wait_us); !tail) return std::unexpected(tail.error());
      return load(contender, link, true);
    });
    if (auto checked = (*target)->check(); !checked) return checked;
    return held;
  }

  Result<> hold_neighbour(Contender& contender, const NeighbourKind& kind) {
    auto program = find_program(kind);
    if (!program) return std::unexpected(program.error());
    const auto neighbour = kind.make(*std::move(program));
    if (auto started = neighbour->start(directory_.path()); !started) return started;
    contender.version = neighbour->version();
    return on_client_core([&] {
      Connections connections(*neighbour, options_.clients, options_.in_flight);
      return load(contender, connections, false);  // it waits by itself, so that the servers get the cores
    });
  }

  template <class Work>
  Result<> on_client_core(const Work& work) {
    Result<> done;
    std::thread([&] {
      (void)::pthread_setname_np(::pthread_self(), "client");
      done = dataplane::pin_to_core(cpu_.client_core);
      if (done && dataplane::eal_is_started()) done = dataplane::register_polling_thread();
      if (done) done = work();
    }).join();
    return done;
  }

  Result<> load(Contender& contender, Appender& appender, bool shares_core) {
    Payloads payloads(dataplane::now_ns(), {static_cast<std::uint32_t>(options_.payload_bytes)});
    const double warmup_seconds = std::min(1.0, options_.seconds / 4);
    const WorkloadOptions workload{.in_flight = options_.in_flight,
                                   .seconds = options_.seconds,
                                   .warmup_seconds = warmup_seconds,
                                   .warmup_seconds_max = warmup_seconds,
                                   .shares_core = shares_core};
    watch_.stage = Stage::loading;
    std::vector<std::uint64_t> numbers;
    const WorkloadResult result = Workload(appender, payloads, workload, watch_.progress).run(numbers);
    if (!result.cut_short.empty()) return fail(result.cut_short);
    if (result.filled) return fail("its journal was full before the time was over: choose fewer --seconds");
    if (result.appended == 0) return fail("nothing was appended in the measured time");
    watch_.stage = Stage::verifying;
    const auto verified = appender.verify(payloads, watch_.progress);
    if (!verified) return std::unexpected(verified.error());
    contender.is_verified = contender.is_verified && verified->wrong == 0 && verified->entries == verified->written;
    contender.verified_how = verified->how.empty() ? "every byte of every entry compared" : verified->how;
    const Latency latency = latency_us(result.latency_ns);
    contender.rounds.push_back({.p50_us = latency.p50,
                                .p99_us = latency.p99,
                                .appends_per_second = static_cast<double>(result.appended) / result.seconds,
                                .errors = result.errors});
    return {};
  }

  // Nobody pays for what the one before left in the page cache.
  void clean_up() const {
    directory_.clear();
    const storage::Descriptor directory(::open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (directory.fd() >= 0) (void)::syncfs(directory.fd());
  }

  const ContestOptions& options_;
  CpuLayout cpu_;
  const Directory& directory_;
  Watch& watch_;
  ContestReport& report_;
};

}  // namespace

Result<> check(const ContestOptions& options) {
  if (options.rounds == 0 || options.rounds > rounds_max) {
    return fail(fmt::format("--rounds {} is not possible: choose 1 to {}", options.rounds, rounds_max));
  }
  if (options.data == "memory") return fail("neighbours keep files: name a directory with --data, e.g. on a tmpfs");
  for (const std::string& name : options.with) {
    const auto has_name = [&](const NeighbourKind& kind) { return kind.name == name; };
    if (std::ranges::none_of(neighbour_kinds(), has_name)) {
      return fail(fmt::format("--with {}: there is no such neighbour, but {}", name, neighbour_names()));
    }
  }
  auto load = complete({.where = Where::processes,
                        .payload_bytes = options.payload_bytes,
                        .clients = options.clients,
                        .in_flight = options.in_flight,
                        .seconds = options.seconds});
  if (!load) return std::unexpected(load.error());
  return {};
}

Result<ContestReport> hold_contest(const ContestOptions& options, Watch& watch) {
  auto directory = Directory::make(options.data);
  if (!directory) return std::unexpected(directory.error());
  if (options.box) {
    const CpuLayout cpu = choose_cores();
    std::vector<unsigned> cores{cpu.replica_core};
    if (!cpu.one_core()) cores.push_back(cpu.client_core);
    if (auto started = dataplane::start_eal({.cores = cores}); !started) return std::unexpected(started.error());
  }
  ContestReport report;
  if (auto held = Contest(options, **directory, watch, report).run(); !held) return std::unexpected(held.error());
  return report;
}

}  // namespace synod::bench
