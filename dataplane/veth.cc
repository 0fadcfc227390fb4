#include "dataplane/veth.h"

#include <fmt/format.h>
#include <sched.h>
#include <spawn.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <vector>

namespace synod::dataplane {

namespace {

thread_local bool has_entered = false;

Result<> run_ip(std::vector<std::string> words) {
  words.insert(words.begin(), "ip");
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t child = -1;
  const int error = ::posix_spawnp(&child, "ip", nullptr, nullptr, arguments.data(), environ);
  if (error != 0) return fail(fmt::format("cannot run 'ip': {}: install the package iproute2", std::strerror(error)));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return fail(fmt::format("'ip {} {} ...' failed: it says why", words[1], words[2]));
}

}  // namespace

Result<> enter_network_namespace() {
  if (has_entered) return {};
  if (::unshare(CLONE_NEWNET) != 0) {
    return fail(fmt::format("cannot make a network namespace: {}: be root, or choose a port that needs no veth (ring, pair, udp)",
                            std::strerror(errno)));
  }
  has_entered = true;
  // Nobody here speaks IPv6: its router solicitations would only come between our packets.
  std::ofstream("/proc/sys/net/ipv6/conf/default/disable_ipv6") << "1";
  return run_ip({"link", "set", "lo", "up"});
}

Result<> make_veth_pair(const std::string& a, const std::string& b) {
  if (auto made = run_ip({"link", "add", a, "type", "veth", "peer", "name", b}); !made) return made;
  if (auto up = run_ip({"link", "set", a, "up"}); !up) return up;
  return run_ip({"link", "set", b, "up"});
}

}  // namespace synod::dataplane
