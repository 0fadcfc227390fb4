// A process for each replica, joined by virtio-user/vhost pairs; the client comes by kernel UDP.
#include <fmt/format.h>

#include <filesystem>

#include "bench/target.h"
#include "client/address.h"
#include "dataplane/udp_port.h"
#include "replica/box.h"
#include "replica/local_cluster.h"
#include "storage/format.h"
#include "storage/uring_device.h"

namespace synod::bench {

namespace {

class ProcessesTarget final : public Target {
 public:
  ProcessesTarget(TargetOptions options, replica::LocalCluster cluster)
      : options_(std::move(options)), cluster_(std::move(cluster)) {}

  Result<> start() {
    if (auto described = describe_device(); !described) return described;
    if (auto started = cluster_.start_all(); !started) return started;
    auto peers = client::parse_cluster(cluster_.addresses());
    if (!peers) return std::unexpected(peers.error());
    peers_ = *std::move(peers);
    auto port = dataplane::UdpPort::open({});
    if (!port) return std::unexpected(port.error());
    port_ = *std::move(port);
    return {};
  }

  Ways ways() override { return {.cluster = options_.options.cluster, .ports = {dataplane::PortRef(*port_)}, .peers = peers_}; }
  [[nodiscard]] std::string port() const override {
    return "net_virtio_user/net_vhost between replicas, kernel UDP to the client";
  }
  [[nodiscard]] std::string device() const override { return device_; }
  [[nodiscard]] bool device_stable() const override { return stable_; }
  [[nodiscard]] std::string cpu_layout() const override {
    return fmt::format("{} replica processes that yield when idle, on any core, client on core {}", cluster_.size(),
                       options_.cpu.client_core);
  }
  Result<> check() override {
    for (std::size_t place = 0; place < cluster_.size(); ++place) {
      if (cluster_.is_running(place) || killed_ == place) continue;
      return fail(fmt::format("replica {} ended: {}", place + 1, cluster_.last_line(place)));
    }
    return {};
  }

  Result<> kill(ReplicaId replica) override {
    killed_ = replica.value() - std::size_t{1};
    cluster_.kill(*killed_);
    return {};
  }

 private:
  // As the replica will open it: its lock is free again when this returns.
  Result<> describe_device() {
    if (options_.options.diskless()) return {};
    const auto device = storage::open_directory(replica::Box::directory(options_.directory, 0));
    if (!device) return std::unexpected(device.error());
    device_ = (*device)->info().description;
    stable_ = (*device)->info().stable;
    return {};
  }

  TargetOptions options_;
  replica::LocalCluster cluster_;
  std::vector<client::Peer> peers_;
  std::unique_ptr<dataplane::UdpPort> port_;
  std::optional<std::size_t> killed_;  // its place
  std::string device_ = "memory";
  bool stable_ = false;
};

}  // namespace

Result<std::unique_ptr<Target>> start_processes(const TargetOptions& options) {
  auto cluster = replica::LocalCluster::make({.directory = options.directory,
                                              .cluster = options.options.cluster,
                                              .replicas = static_cast<std::uint16_t>(options.options.replicas),
                                              .capacity_bytes = options.capacity_bytes,
                                              .prepare_all = true,
                                              .memory = options.options.diskless(),
                                              .idle = dataplane::IdlePolicy::yield});
  if (!cluster) return std::unexpected(cluster.error());
  auto target = std::make_unique<ProcessesTarget>(options, *std::move(cluster));
  if (auto started = target->start(); !started) return std::unexpected(started.error());
  return target;
}

}  // namespace synod::bench
