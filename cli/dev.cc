// synod dev: a whole cluster on this machine, until SIGINT or SIGTERM.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "cli/command.h"
#include "dataplane/eal.h"
#include "replica/box.h"
#include "replica/local_cluster.h"
#include "replica/stop.h"
#include "storage/format.h"

namespace synod::cli {

namespace {

struct DevOptions {
  std::uint16_t replicas = 3;
  std::uint16_t groups = 1;
  std::string data = "synod-data";
  bool box = false;
  bool kernel_udp = false;
  std::uint16_t port = 7401;
  std::uint64_t capacity_bytes = 256ULL << 20;
  std::string idle = "sleep";
  std::string name = "synod";
};

void announce(const std::string& addresses, const std::string& what) {
  fmt::print("{}\n\n  --cluster {}\n\nstop it with Ctrl-C\n", what, addresses);
  std::fflush(stdout);
}

int run_processes(const DevOptions& options, dataplane::IdlePolicy idle) {
  auto cluster = replica::LocalCluster::make({.directory = options.data,
                                              .cluster = options.name,
                                              .replicas = options.replicas,
                                              .groups = options.groups,
                                              .port = options.port,
                                              .capacity_bytes = options.capacity_bytes,
                                              .memory = options.data == replica::data_memory,
                                              .kernel_udp = options.kernel_udp,
                                              .idle = idle,
                                              .say = [](const std::string& line) { fmt::print(stderr, "{}\n", line); }});
  if (!cluster) return failed(cluster.error().text);
  if (auto started = cluster->start_all(); !started) return failed(started.error().text);
  announce(cluster->addresses(),
           fmt::format("{} replicas as processes{}, data in {}", options.replicas,
                       options.groups == 1 ? "" : fmt::format(" with {} groups each (--group)", options.groups), options.data));
  while (!replica::stop_requested) {
    for (std::size_t place = 0; place < cluster->size(); ++place) {
      if (cluster->pid(place) < 0 || cluster->is_running(place)) continue;
      return failed(fmt::format("replica {} ended: {}", place + 1, cluster->last_line(place)));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return exit_done;
}

Result<> format_box(const DevOptions& options) {
  for (std::uint16_t place = 0; place < options.replicas && options.data != replica::data_memory; ++place) {
    const std::string directory = replica::Box::directory(options.data, place);
    if (std::filesystem::exists(storage::journal_path(directory))) continue;
    fmt::print(stderr, "formatting {} ({} MiB)\n", directory, options.capacity_bytes >> 20);
    auto formatted = storage::format({.directory = directory,
                                      .cluster = options.name,
                                      .replica = ReplicaId(static_cast<std::uint16_t>(place + 1)),
                                      .members = options.replicas,
                                      .capacity_bytes = options.capacity_bytes,
                                      .stop = &replica::stop_requested},
                                     {});
    if (!formatted) return std::unexpected(formatted.error());
  }
  return {};
}

int run_box(const DevOptions& options, dataplane::IdlePolicy idle) {
  if (auto formatted = format_box(options); !formatted) return failed(formatted.error().text);
  if (auto started = dataplane::start_eal({}); !started) return failed(started.error().text);
  replica::BoxOptions box_options{.cluster = options.name, .replicas = options.replicas, .data = options.data};
  std::string addresses;
  for (std::uint16_t place = 0; place < options.replicas; ++place) {
    box_options.udp.push_back({(127U << 24) | 1U, static_cast<std::uint16_t>(options.port + place)});
    addresses += (addresses.empty() ? "" : ",") + dataplane::to_string(box_options.udp.back());
  }
  auto box = replica::Box::make(box_options);
  if (!box) return failed(box.error().text);
  announce(addresses, fmt::format("{} replicas in one process, data in {}", options.replicas, options.data));
  (*box)->run(idle, replica::stop_requested);
  return exit_done;
}

}  // namespace

void add_dev(CLI::App& app, Body& body) {
  auto options = std::make_shared<DevOptions>();
  CLI::App* command = app.add_subcommand("dev", "Run a whole cluster on this machine");
  command->add_option("--replicas", options->replicas, "how many")->check(CLI::Range(1, 7))->capture_default_str();
  command->add_option("--groups", options->groups, "separate logs, each with a thread and a journal of its own at every replica")
      ->check(CLI::Range(std::size_t{1}, groups_max))
      ->capture_default_str();
  command->add_option("--data", options->data, "directory of the replicas' data, made if missing; or 'memory'")
      ->capture_default_str();
  command->add_flag("--box", options->box, "all replicas in one process, on one core");
  command->add_flag("--kernel-udp", options->kernel_udp, "peers talk kernel UDP instead of DPDK ports");
  command->add_option("--port", options->port, "UDP port of the first replica; 0: any free ports")->capture_default_str();
  command->add_option("--capacity", options->capacity_bytes, "size of each journal that is made, e.g. 1GiB")
      ->transform(CLI::AsSizeValue(false))
      ->capture_default_str();
  command->add_option("--idle", options->idle, "spin, yield or sleep")->capture_default_str();
  command->add_option("--cluster-name", options->name, "the cluster's name")->capture_default_str();
  command->callback([options, &body] {
    body = [options] {
      const auto idle = dataplane::parse_idle_policy(options->idle);
      if (!idle) return usage(idle.error().text);
      if (options->box && options->port == 0) return usage("--box needs a --port");
      if (options->box && options->groups > 1) return usage("--box is one group: leave --groups away");
      replica::stop_on_signals();
      return options->box ? run_box(*options, *idle) : run_processes(*options, *idle);
    };
  });
}

}  // namespace synod::cli
