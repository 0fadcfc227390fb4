#include "replica/local_cluster.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "dataplane/udp_port.h"
#include "replica/stop.h"
#include "storage/format.h"

namespace synod::replica {

namespace {

constexpr std::uint32_t loopback = (127U << 24) | 1U;

constexpr int attempts_max = 100;

using Held = std::vector<std::unique_ptr<dataplane::UdpPort>>;

// Binds `groups` ports in a row that are free now, keeps them bound, and returns the first.
Result<dataplane::Endpoint> free_row(std::size_t groups, Held& held) {
  for (int attempt = 0; attempt < attempts_max; ++attempt) {
    Held row;
    for (std::size_t group = 0; group < groups; ++group) {
      const auto number = static_cast<std::uint16_t>(group == 0 ? 0 : row.front()->local().port + group);
      if (group > 0 && number == 0) break;  // behind the last one
      auto port = dataplane::UdpPort::open({loopback, number});
      if (!port && group == 0) return std::unexpected(port.error());
      if (!port) break;
      row.push_back(*std::move(port));
    }
    if (row.size() < groups) continue;
    const dataplane::Endpoint first = row.front()->local();
    std::ranges::move(row, std::back_inserter(held));
    return first;
  }
  return fail(fmt::format("there are no {} free UDP ports in a row: use fewer groups", groups));
}

// Ports that are free now, the first of each row. They are bound together first, so that they differ.
Result<std::vector<dataplane::Endpoint>> free_endpoints(std::size_t count, std::size_t groups) {
  Held held;
  std::vector<dataplane::Endpoint> endpoints;
  for (std::size_t i = 0; i < count; ++i) {
    auto endpoint = free_row(groups, held);
    if (!endpoint) return std::unexpected(endpoint.error());
    endpoints.push_back(*endpoint);
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

  auto free = free_endpoints(2 * std::size_t{options_.replicas}, options_.groups);
  if (!free) return std::unexpected(free.error());
  for (std::size_t place = 0; place < options_.replicas; ++place) {
    clients_.push_back((*free)[place]);
    if (options_.port != 0) clients_.back().port = static_cast<std::uint16_t>(options_.port + place * options_.groups);
    peers_.push_back(options_.kernel_udp ? (*free)[options_.replicas + place] : pair_endpoint(place));
  }
  children_.resize(options_.replicas);
  for (std::size_t place = 0; place < options_.replicas; ++place) {
    for (std::uint32_t group = 0; group < options_.groups && !options_.memory; ++group) {
      if (auto formatted = format(place, GroupId(group)); !formatted) return formatted;
    }
    std::ofstream file(path(place, ".toml"), std::ios::trunc);
    file << to_toml(config_of(place));
    if (!file.flush()) return fail(fmt::format("cannot write {}", path(place, ".toml")));
  }
  return {};
}

// Unless it is.
Result<> LocalCluster::format(std::size_t place, GroupId group) const {
  const std::string data = group_directory(path(place, ""), group, options_.groups);
  if (std::filesystem::exists(storage::journal_path(data))) return {};
  if (options_.say) options_.say(fmt::format("formatting {} ({} MiB)", data, options_.capacity_bytes >> 20));
  const auto formatted = storage::format({.directory = data,
                                          .cluster = options_.cluster,
                                          .group = group,
                                          .replica = ReplicaId(static_cast<std::uint16_t>(place + 1)),
                                          .members = options_.replicas,
                                          .capacity_bytes = options_.capacity_bytes,
                                          .prepare_all = options_.prepare_all,
                                          .stop = &stop_requested},
                                         {});
  if (!formatted) return std::unexpected(formatted.error());
  return {};
}

Config LocalCluster::config_of(std::size_t place) const {
  Config config;
  config.cluster = options_.cluster;
  config.replica = ReplicaId(static_cast<std::uint16_t>(place + 1));
  config.groups = options_.groups;
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
