// A cluster that is there already, reached by kernel UDP.
#include <fmt/format.h>

#include "bench/target.h"
#include "client/address.h"
#include "dataplane/udp_port.h"

namespace synod::bench {

namespace {

class ClusterTarget final : public Target {
 public:
  ClusterTarget(TargetOptions options, std::vector<client::Peer> peers, std::unique_ptr<dataplane::UdpPort> port)
      : options_(std::move(options)), peers_(std::move(peers)), port_(std::move(port)) {}

  Ways ways() override {
    return {.cluster = options_.options.cluster,
            .group = GroupId(options_.options.group),
            .ports = {dataplane::PortRef(*port_)},
            .peers = peers_};
  }
  [[nodiscard]] std::string port() const override { return "kernel UDP to the client"; }
  [[nodiscard]] std::string device() const override { return "of the cluster's machines"; }
  [[nodiscard]] bool device_stable() const override { return true; }
  [[nodiscard]] std::string cpu_layout() const override { return fmt::format("client on core {}", options_.cpu.client_core); }
  Result<> check() override { return {}; }

 private:
  TargetOptions options_;
  std::vector<client::Peer> peers_;
  std::unique_ptr<dataplane::UdpPort> port_;
};

}  // namespace

Result<std::unique_ptr<Target>> reach_cluster(const TargetOptions& options) {
  auto peers = client::parse_cluster(options.options.addresses, GroupId(options.options.group));
  if (!peers) return std::unexpected(peers.error());
  auto port = dataplane::UdpPort::open({});
  if (!port) return std::unexpected(port.error());
  return std::make_unique<ClusterTarget>(options, *std::move(peers), *std::move(port));
}

}  // namespace synod::bench
