#include "bench/run.h"

#include <fmt/format.h>

#include <thread>

#include "bench/capacity.h"
#include "bench/directory.h"
#include "bench/measure.h"
#include "bench/target.h"
#include "dataplane/eal.h"
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
  std::thread([&] { done = measure(**target, options, cpu, watch, report); }).join();
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
  const std::string path = directory ? directory->path() : "";
  if (report.cpu.one_core()) report.notes.emplace_back("only one core is allowed: client and replicas take turns on it");
  watch.stage = Stage::floors;
  if (auto added = add_floors(report.floors, options, report.cpu, path); !added) return std::unexpected(added.error());
  if (options.measure == Measure::floor) {
    report.port = "net_ring";
    report.device = report.floors.device_name.value_or("memory");
    report.device_stable = report.floors.device_stable;
    report.cpu_layout = fmt::format("bare nodes on core {}, client on core {}", report.cpu.replica_core, report.cpu.client_core);
  } else {
    if (auto measured = measure_cluster(report, report.cpu, directory.get(), watch); !measured)
      return std::unexpected(measured.error());
    if (directory) directory->clear();
    watch.stage = Stage::floors;
  }
  if (!report.cut_short.empty()) return report;
  if (replica::stop_requested) return fail("interrupted");
  if (auto added = add_floors(report.floors, options, report.cpu, path); !added) return std::unexpected(added.error());
  watch.stage = Stage::done;
  return report;
}

}  // namespace synod::bench
