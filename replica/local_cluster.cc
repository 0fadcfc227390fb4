#include "replica/local_cluster.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

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

// In the child, between fork and exec: only async-signal-safe calls.
[[noreturn]] void exec_replica(const char* binary, const char* config, int log, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);  // it died in between
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  ::execl(binary, binary, "start", "--config", config, static_cast<char*>(nullptr));
  ::_exit(127);
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
      pids_(std::exchange(other.pids_, {})) {}

LocalCluster::~LocalCluster() {
  for (std::size_t place = 0; place < pids_.size(); ++place) stop(place);
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
    pids_.push_back(-1);
  }
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
  const std::string config = path(place, ".toml");
  const std::string log = path(place, ".log");
  const int log_fd = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (log_fd < 0) return fail(fmt::format("cannot write {}: {}", log, std::strerror(errno)));
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child == 0) exec_replica(options_.binary.c_str(), config.c_str(), log_fd, parent);
  ::close(log_fd);
  if (child < 0) return fail(fmt::format("cannot start a process: {}", std::strerror(errno)));
  pids_[place] = child;
  return {};
}

Result<> LocalCluster::start_all() {
  for (std::size_t place = 0; place < size(); ++place) {
    if (auto started = start(place); !started) return started;
  }
  return {};
}

void LocalCluster::end(std::size_t place, int signal) {
  const pid_t child = std::exchange(pids_[place], -1);
  if (child < 0) return;
  ::kill(child, signal);
  // A process that ignores SIGTERM for five seconds is killed.
  for (int i = 0; i < 500 && signal != SIGKILL; ++i) {
    if (::waitpid(child, nullptr, WNOHANG) != 0) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
}

void LocalCluster::kill(std::size_t place) {
  end(place, SIGKILL);
}
void LocalCluster::stop(std::size_t place) {
  end(place, SIGTERM);
}

bool LocalCluster::is_running(std::size_t place) {
  if (pids_[place] < 0) return false;
  if (::waitpid(pids_[place], nullptr, WNOHANG) == 0) return true;
  pids_[place] = -1;
  return false;
}

std::string LocalCluster::addresses() const {
  std::string list;
  for (const dataplane::Endpoint& endpoint : clients_) list += (list.empty() ? "" : ",") + dataplane::to_string(endpoint);
  return list;
}

std::string LocalCluster::last_line(std::size_t place) const {
  std::ifstream log(path(place, ".log"));
  std::string line;
  std::string last;
  while (std::getline(log, line)) {
    if (!line.empty()) last = line;
  }
  return last;
}

}  // namespace synod::replica
