#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <sstream>

#include "bench/neighbours/neighbour.h"

namespace synod::bench {

namespace {

constexpr std::array kinds{
    NeighbourKind{.name = "etcd",
                  .program = "etcd",
                  .package = "etcd-server",
                  .is_durable = true,
                  .durability = "fdatasync by a quorum before the answer",
                  .make = make_etcd},
    NeighbourKind{.name = "nats",
                  .program = "nats-server",
                  .package = "nats-server",
                  .is_durable = false,
                  .durability = "in the page caches of a quorum when it answers, synced by a timer later; 2.9 has no other mode",
                  .make = make_nats},
};

}  // namespace

std::span<const NeighbourKind> neighbour_kinds() {
  return kinds;
}

std::string neighbour_names() {
  std::string names;
  for (const NeighbourKind& kind : kinds) names += (names.empty() ? "" : ", ") + std::string(kind.name);
  return names;
}

// Servers lie in /usr/sbin, which is not on everybody's PATH.
Result<std::string> find_program(const NeighbourKind& kind) {
  const char* const path = std::getenv("PATH");
  std::istringstream directories(std::string(path == nullptr ? "" : path) + ":/usr/bin:/usr/sbin");
  for (std::string directory; std::getline(directories, directory, ':');) {
    std::string program = directory + "/" + kind.program;
    if (!directory.empty() && ::access(program.c_str(), X_OK) == 0) return program;
  }
  return fail(fmt::format("{} is not installed: apt-get install {}", kind.name, kind.package));
}

}  // namespace synod::bench
