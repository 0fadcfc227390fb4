#include "bench/run.h"

#include <fmt/format.h>

#include <thread>

#include "bench/capacity.h"
#include "bench/directory.h"
#include "bench/measure.h"
#include "bench/target.h"
#include "dataplane/eal.h"
#include "dataplane/veth.h"
#include "replica/stop.h"

namespace synod::bench {

namespace {

Result<std::unique_ptr<Target>> start(const TargetOptions& options) {
  switch (options.options.where) {
    case Where::box: return start_box(options);
    case Where::cluster: return reach_cluster(options);
    case Where::processes: return start_processes(options);
  }
  return fail("no such place");
}

Result<> measure_cluster(Report& report, const CpuLayout& cpu, const Directory* directory, Watch& watch) {
  const Options& options = report.options;
  watch.stage = Stage::formatting;
  const std::uint64_t capacity_bytes = journal_bytes(options, directory);
  if (capacity_bytes < options.capacity_bytes) {
    return fail(fmt::format("--capacity: there is room for {} MiB a replica: choose no more", capacity_bytes >> 20));
  }
  const TargetOptions target_options{.options = options,
                                     .cpu = cpu,
                                     .directory = directory == nullptr ? "" : directory->path(),
                                     .capacity_bytes = capacity_bytes};
  auto target = start(target_options);
  if (!target) return std::unexpected(target.error());
  report.port = (*target)->port();
  report.device = (*target)->device();
  report.device_stable = (*target)->device_stable();
  report.cpu_layout = (*target)->cpu_layout();
  Result<> done;
  std::thread([&] { done = measure(**target, options, cpu, watch, report); }).join();
  if (auto checked = (*target)->check(); !checked) return checked;
  return done;
}

// All ports of a box are in this process: their buffers take more than those of one replica.
Result<> make_ready(dataplane::LinkKind port, const std::vector<unsigned>& cores) {
  constexpr std::size_t memory_mb = 768;
  if (auto started = dataplane::start_eal({.cores = cores, .memory_mb = memory_mb}); !started) return started;
  const bool needs_veth = port == dataplane::LinkKind::af_packet || port == dataplane::LinkKind::af_xdp;
  return needs_veth ? dataplane::enter_network_namespace() : Result<>();
}

// A fault after the first figures cuts the report short; it does not throw them away.
Result<> keep_what_is_there(const Result<>& done, Report& report) {
  if (done || report.run.result.latency_ns.count() == 0) return done;
  if (report.cut_short.empty()) report.cut_short = done.error().text;
  return {};
}

}  // namespace

Result<Report> run(const Options& options, Watch& watch) {
  Report report{.options = options, .environment = read_environment()};
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
    if (auto ready = make_ready(options.links(), cores); !ready) return std::unexpected(ready.error());
  }
  const std::string path = directory ? directory->path() : "";
  if (report.cpu.one_core()) report.notes.emplace_back("only one core is allowed: client and replicas take turns on it");
  watch.stage = Stage::floors;
  if (auto added = add_floors(report.floors, options, report.cpu, path); !added) return std::unexpected(added.error());
  if (options.measure == Measure::floor) {
    report.port = dataplane::description(options.links());
    report.device = report.floors.device_name.value_or("memory");
    report.device_stable = report.floors.device_stable;
    report.cpu_layout = fmt::format("bare nodes on core {}, client on core {}", report.cpu.replica_core, report.cpu.client_core);
  } else {
    auto measured = measure_cluster(report, report.cpu, directory.get(), watch);
    if (auto kept = keep_what_is_there(measured, report); !kept) return std::unexpected(kept.error());
    if (directory) directory->clear();
    watch.stage = Stage::floors;
  }
  if (!report.cut_short.empty()) return report;
  Result<> again = replica::stop_requested ? Result<>(fail("interrupted")) : add_floors(report.floors, options, report.cpu, path);
  if (auto kept = keep_what_is_there(again, report); !kept) return std::unexpected(kept.error());
  watch.stage = Stage::done;
  return report;
}

}  // namespace synod::bench
