#include "replica/process.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/prng.h"
#include "dataplane/attach.h"
#include "dataplane/clock.h"
#include "dataplane/dpdk_port.h"
#include "dataplane/eal.h"
#include "dataplane/udp_port.h"
#include "replica/data.h"
#include "replica/node.h"
#include "replica/stop.h"
#include "wire/cluster.h"

namespace synod::replica {

namespace {

// For the buffers of a group's ports.
constexpr std::size_t packet_memory_mb = 64;

// Once, for the threads of all groups.
Result<> start_dpdk(const Config& config) {
  dataplane::EalOptions options;
  bool needed = false;
  for (const PortConfig& port : config.ports) {
    needed = needed || port.kind != PortConfig::Kind::udp;
    // A PCI address has the form 0000:01:00.0
    if (port.kind == PortConfig::Kind::device && port.device.size() > 4 && port.device[4] == ':') {
      options.pci_devices.push_back(port.device.substr(0, port.device.find(',')));
    }
  }
  options.cores = config.cores;
  if (!needed) return {};
  options.memory_mb = std::max(options.memory_mb, packet_memory_mb * config.groups);
  return dataplane::start_eal(options);
}

// The ports of the devices, for each group those of its queues, in the order of the configuration.
using DevicePorts = std::vector<std::vector<std::unique_ptr<dataplane::DpdkPort>>>;

// All at once: a device is configured for all groups before it starts.
Result<DevicePorts> open_devices(const Config& config) {
  DevicePorts ports(config.groups);
  for (const PortConfig& port : config.ports) {
    if (port.kind != PortConfig::Kind::device) continue;
    dataplane::DpdkPortOptions options{.device = port.device, .local = port.address};
    if (port.mtu != 0) options.mtu = port.mtu;
    auto opened = dataplane::DpdkPort::open_queues(options, config.groups);
    if (!opened) return fail(fmt::format("port {}: {}", port.name, opened.error().text));
    for (std::size_t group = 0; group < config.groups; ++group) ports[group].push_back(std::move((*opened)[group]));
  }
  return ports;
}

// The ports of a group, polled by its node. Pairs are attached while the node runs, whenever their peer appears.
class Ports {
 public:
  // `devices` are the group's, of all devices.
  Ports(const Config& config, Node& node, std::vector<std::unique_ptr<dataplane::DpdkPort>> devices)
      : config_(config), node_(node), dpdk_(std::move(devices)) {}

  [[nodiscard]] Result<> open() {
    if (dataplane::eal_is_started()) {
      if (const auto registered = dataplane::register_polling_thread(); !registered) return registered;
    }
    for (const PortConfig& port : config_.ports) {
      const Result<> opened = open_one(port);
      if (!opened) return fail(fmt::format("port {}: {}", port.name, opened.error().text));
    }
    return {};
  }

  // Gives newly attached ports to the node. Cheap: for every iteration.
  void take_attached() {
    for (Attaching& attaching : attaching_) {
      if (auto port = attaching.task->take()) {
        dpdk_.push_back(std::move(port));
        use(*attaching.config, dataplane::PortRef(*dpdk_.back()));
      }
    }
  }

 private:
  struct Attaching {
    const PortConfig* config;
    std::unique_ptr<dataplane::AttachTask> task;
  };

  [[nodiscard]] Result<> open_one(const PortConfig& port) {
    switch (port.kind) {
      case PortConfig::Kind::udp: {
        dataplane::UdpOptions options;
        if (port.mtu != 0) options.payload_bytes_max = port.mtu - dataplane::ip_udp_header_bytes;
        auto opened = dataplane::UdpPort::open(port.address, options);
        if (!opened) return std::unexpected(opened.error());
        udp_.push_back(*std::move(opened));
        use(port, dataplane::PortRef(*udp_.back()));
        return {};
      }
      case PortConfig::Kind::pair: {
        dataplane::PairedPortOptions options{.socket = port.device,
                                             .role = port.server ? dataplane::PairRole::server : dataplane::PairRole::client,
                                             .local = port.address};
        if (port.mtu != 0) options.mtu = port.mtu;
        auto task = dataplane::AttachTask::start(options);
        if (!task) return std::unexpected(task.error());
        attaching_.push_back({&port, *std::move(task)});
        return {};
      }
      case PortConfig::Kind::device: {
        use(port, dataplane::PortRef(*dpdk_[devices_used_++]));
        return {};
      }
    }
    return {};
  }

  void use(const PortConfig& config, dataplane::PortRef port) {
    const std::uint8_t index = node_.add_port(port);
    for (const MemberConfig& member : config_.members) {
      if (member.id != config_.replica && member.port == config.name) node_.set_route(member.id, {index, member.address});
    }
  }

  const Config& config_;
  Node& node_;
  std::vector<std::unique_ptr<dataplane::UdpPort>> udp_;
  std::vector<std::unique_ptr<dataplane::DpdkPort>> dpdk_;  // the devices', and behind them the attached pairs
  std::size_t devices_used_ = 0;
  std::vector<Attaching> attaching_;
};

Result<Data> open_data(const Config& config) {
  if (config.data != data_memory) return Data::open(config.data);
  return Data::make_memory(config.memory_mb << 20, config.cluster, config.replica,
                           static_cast<std::uint16_t>(config.members.size()), false, config.group);
}

std::string in_group(const Config& config, const std::string& line) {
  return config.groups == 1 ? line : fmt::format("group {}: {}", config.group.value(), line);
}

// One group, on the calling thread.
Result<> run_group(const Config& config, std::vector<std::unique_ptr<dataplane::DpdkPort>> devices) {
  auto data = open_data(config);
  if (!data) return std::unexpected(data.error());
  NodeOptions options{.cluster = wire::cluster_id(config.cluster),
                      .group = config.group,
                      .groups = config.groups,
                      .self = config.replica,
                      .configuration = consensus::Configuration(config.member_ids()),
                      .timeouts = config.timeouts,
                      .retention = config.retention,
                      .seed = dataplane::now_ns() + config.group.value(),
                      .say = [config](const std::string& line) { say_on_stderr(in_group(config, line)); }};
  auto node = Node::open(options, data->device());
  if (!node) return std::unexpected(node.error());
  if (!config.cores.empty()) {
    if (auto pinned = dataplane::pin_to_core(config.cores.front()); !pinned) return pinned;
  }
  Ports ports(config, **node, std::move(devices));
  if (auto opened = ports.open(); !opened) return opened;
  const storage::DeviceInfo& device = (*node)->journal().device_info();
  const std::string what = fmt::format("replica {} of {} is up: {} entries, {}{}", config.replica.value(), config.cluster,
                                       (*node)->log().tail().value(), device.description, device.stable ? "" : " (NOT durable)");
  fmt::print("{}\n", in_group(config, what));
  std::fflush(stdout);
  dataplane::Idler idler(config.idle);
  std::uint64_t told_us = 0;
  while (!stop_requested.load(std::memory_order_relaxed)) {
    ports.take_attached();
    const std::uint64_t now_us = dataplane::now_us();
    if (now_us - told_us >= 1'000'000) {
      (*node)->set_time(static_cast<std::uint64_t>(std::time(nullptr)));
      told_us = now_us;
    }
    (*node)->poll_once(now_us);
    (*node)->flush();
    (*node)->submit();
    idler.idle(!(*node)->may_rest());
  }
  (*node)->finish();
  return {};
}

}  // namespace

Result<> run_process(const Config& config) {
  if (auto started = start_dpdk(config); !started) return started;
  auto devices = open_devices(config);
  if (!devices) return std::unexpected(devices.error());
  std::vector<Result<>> ends(config.groups);
  const auto run = [&](std::size_t group) {
    ends[group] = run_group(config.of_group(GroupId(static_cast<std::uint32_t>(group))), std::move((*devices)[group]));
    if (!ends[group]) stop_requested = true;  // all or none: a process that is half there is hard to notice
  };
  std::vector<std::jthread> threads;
  for (std::size_t group = 1; group < config.groups; ++group) threads.emplace_back(run, group);
  run(0);
  threads.clear();
  for (std::size_t group = 0; group < config.groups; ++group) {
    if (ends[group]) continue;
    if (config.groups == 1) return ends[group];
    return fail(fmt::format("group {}: {}", group, ends[group].error().text));
  }
  return {};
}

}  // namespace synod::replica
