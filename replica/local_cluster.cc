#include "replica/local_cluster.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "dataplane/udp_port.h"
#include "storage/format.h"

namespace synod::replica {

namespace {

constexpr std::uint32_t loopback = (127U << 24) | 1U;

// Ports that are free now. They are bound together first, so that they differ.
Result<std::vector<dataplane::Endpoint>> free_endpoints(std::size_t count) {
  std::vector<std::unique_ptr<dataplane::UdpPort>> held;
  std::vector<dataplane::Endpoint> endpoints;
  for (std::size_t i = 0; i < count; ++i) {
    auto port = dataplane::UdpPort::open({loopback, 0});
    if (!port) return std::unexpected(port.error());
    endpoints.push_back((*port)->local());
    held.push_back(*std::move(port));
  }
  return endpoints;
}

dataplane::Endpoint pair_endpoint(std::size_t place) {
  return {(10U << 24) | (84U << 16) | static_cast<std::uint32_t>(place + 1), 7400};
}

}  // namespace

Result<LocalCluster> LocalCluster::make(LocalClusterOptions options) {
  if (options.binary.empty()) options.binary = "/proc/self/exe";
  LocalCluster cluster(std::move(options));
  if (auto prepared = cluster.prepare(); !prepared) return std::unexpected(prepared.error());
  return cluster;
}

LocalCluster::LocalCluster(LocalCluster&& other) noexcept
    : options_(std::move(other.options_)),
      sockets_(std::exchange(other.sockets_, {})),
      clients_(std::exchange(other.clients_, {})),
      peers_(std::exchange(other.peers_, {})),
      children_(std::exchange(other.children_, {})) {}

LocalCluster::~LocalCluster() {
  children_.clear();
  std::error_code ignored;
  if (!sockets_.empty()) std::filesystem::remove_all(sockets_, ignored);
}

std::string LocalCluster::path(std::size_t place, const char* suffix) const {
  return fmt::format("{}/{}{}", options_.directory, place + 1, suffix);
}

Result<> LocalCluster::prepare() {
  std::array<char, 32> name{"/tmp/synod-XXXXXX"};
  if (::mkdtemp(name.data()) == nullptr) return fail(fmt::format("cannot create a directory in /tmp: {}", std::strerror(errno)));
  sockets_ = name.data();
  if (options_.memory) options_.directory = sockets_;  // configurations and logs only
  std::error_code error;
  std::filesystem::create_directories(options_.directory, error);
  if (error) return fail(fmt::format("cannot create {}: {}", options_.directory, error.message()));
  options_.directory = std::filesystem::absolute(options_.directory);

  auto free = free_endpoints(2 * std::size_t{options_.replicas});
  if (!free) return std::unexpected(free.error());
  for (std::size_t place = 0; place < options_.replicas; ++place) {
    clients_.push_back((*free)[place]);
    if (options_.port != 0) clients_.back().port = static_cast<std::uint16_t>(options_.port + place);
    peers_.push_back(options_.kernel_udp ? (*free)[options_.replicas + place] : pair_endpoint(place));
  }
  children_.resize(options_.replicas);
  for (std::size_t place = 0; place < options_.replicas; ++place) {
    const std::string data = path(place, "");
    if (!options_.memory && !std::filesystem::exists(storage::journal_path(data))) {
      if (options_.say) options_.say(fmt::format("formatting {} ({} MiB)", data, options_.capacity_bytes >> 20));
      const auto formatted = storage::format({.directory = data,
                                              .cluster = options_.cluster,
                                              .replica = ReplicaId(static_cast<std::uint16_t>(place + 1)),
                                              .members = options_.replicas,
                                              .capacity_bytes = options_.capacity_bytes,
                                              .prepare_all = options_.prepare_all},
                                             {});
      if (!formatted) return std::unexpected(formatted.error());
    }
    std::ofstream file(path(place, ".toml"), std::ios::trunc);
    file << to_toml(config_of(place));
    if (!file.flush()) return fail(fmt::format("cannot write {}", path(place, ".toml")));
  }
  return {};
}

Config LocalCluster::config_of(std::size_t place) const {
  Config config;
  config.cluster = options_.cluster;
  config.replica = ReplicaId(static_cast<std::uint16_t>(place + 1));
  config.data = options_.memory ? data_memory : path(place, "");
  config.idle = options_.idle;
  config.ports.push_back({.name = "clients", .kind = PortConfig::Kind::udp, .address = clients_[place]});
  if (options_.kernel_udp) {
    config.ports.push_back({.name = "peers", .kind = PortConfig::Kind::udp, .address = peers_[place]});
  }
  for (std::size_t other = 0; other < options_.replicas; ++other) {
    MemberConfig member{.id = ReplicaId(static_cast<std::uint16_t>(other + 1)), .address = peers_[other], .port = "peers"};
    if (other != place && !options_.kernel_udp) {
      const auto [low, high] = std::minmax(place, other);
      member.port = fmt::format("to-{}", other + 1);
      config.ports.push_back({.name = member.port,
                              .kind = PortConfig::Kind::pair,
                              .address = peers_[place],
                              .device = fmt::format("{}/{}-{}.sock", sockets_, low + 1, high + 1),
                              .server = place == low});
    }
    config.members.push_back(member);
  }
  return config;
}

Result<> LocalCluster::start(std::size_t place) {
  auto child = Child::start({options_.binary, "start", "--config", path(place, ".toml")}, path(place, ".log"));
  if (!child) return std::unexpected(child.error());
  children_[place] = *std::move(child);
  return {};
}

Result<> LocalCluster::start_all() {
  for (std::size_t place = 0; place < size(); ++place) {
    if (auto started = start(place); !started) return started;
  }
  return {};
}

std::string LocalCluster::addresses() const {
  std::string list;
  for (const dataplane::Endpoint& endpoint : clients_) list += (list.empty() ? "" : ",") + dataplane::to_string(endpoint);
  return list;
}

std::string LocalCluster::last_line(std::size_t place) const {
  return last_line_of(path(place, ".log"));
}

}  // namespace synod::replica
