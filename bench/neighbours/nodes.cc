#include "bench/neighbours/nodes.h"

#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "bench/neighbours/tcp.h"
#include "dataplane/clock.h"
#include "replica/stop.h"

namespace synod::bench {

namespace {

constexpr std::uint64_t ready_ns_max = 30'000'000'000;
constexpr auto pause = std::chrono::milliseconds(50);

}  // namespace

std::string Nodes::directory(std::size_t node) const {
  return fmt::format("{}/{}", directory_, node + 1);
}

Result<> Nodes::prepare(const std::string& directory) {
  std::error_code error;
  directory_ = std::filesystem::absolute(directory, error);
  for (std::size_t node = 0; node < size && !error; ++node) {
    std::filesystem::create_directories(this->directory(node), error);
    std::filesystem::permissions(this->directory(node), std::filesystem::perms::owner_all, error);
  }
  if (error) return fail(fmt::format("cannot create directories in {}: {}", directory, error.message()));
  return find_free_ports(ports_);
}

Result<> Nodes::start(std::size_t node, const std::vector<std::string>& command) {
  auto child = replica::Child::start(command, log(node));
  if (!child) return std::unexpected(child.error());
  children_[node] = *std::move(child);
  return {};
}

Result<> Nodes::wait(const char* for_what, const std::function<bool()>& is_ready) {
  const std::uint64_t deadline_ns = dataplane::now_ns() + ready_ns_max;
  while (!is_ready()) {
    for (std::size_t node = 0; node < size; ++node) {
      if (children_[node].is_running()) continue;
      return fail(fmt::format("node {} ended: {}", node + 1, replica::last_line_of(log(node))));
    }
    if (replica::stop_requested) return fail("interrupted");
    if (dataplane::now_ns() > deadline_ns) {
      return fail(fmt::format("no {} after {} s; node 1 says: {}", for_what, ready_ns_max / 1'000'000'000,
                              replica::last_line_of(log(0))));
    }
    std::this_thread::sleep_for(pause);
  }
  return {};
}

}  // namespace synod::bench
