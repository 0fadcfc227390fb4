// The cluster under measurement, and the way to it. Starts what is to be started; the destructor stops it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "bench/link.h"
#include "bench/options.h"
#include "replica/box.h"
#include "replica/stage_trace.h"

namespace synod::bench {

class Target {
 public:
  virtual ~Target() = default;

  // The client's end: its ports, for one thread.
  [[nodiscard]] virtual Ways ways() = 0;
  [[nodiscard]] virtual std::string port() const = 0;
  [[nodiscard]] virtual std::string device() const = 0;
  [[nodiscard]] virtual bool device_stable() const = 0;
  [[nodiscard]] virtual std::string cpu_layout() const = 0;
  // Of replicas in this process: the steps of slots, to be enabled while they are wanted.
  [[nodiscard]] virtual std::vector<replica::StageTrace*> traces() { return {}; }
  // Kills a replica, as a crash would. Only of processes that were started here.
  [[nodiscard]] virtual Result<> kill(ReplicaId) {
    return fail("only replicas that run as processes can be killed: use --processes");
  }
  // Something that went wrong since the start, e.g. a process that died.
  [[nodiscard]] virtual Result<> check() = 0;
};

// `directory`: where journals go (unused when diskless). `capacity_bytes`: of each journal.
struct TargetOptions {
  Options options;
  CpuLayout cpu;
  std::string directory;
  std::uint64_t capacity_bytes = 0;
};

// The client's ends of a box that was made with links for clients.
[[nodiscard]] Ways ways_to(const replica::Box& box, const std::string& cluster);
// All replicas on the replica core of this process. The EAL runs.
[[nodiscard]] Result<std::unique_ptr<Target>> start_box(const TargetOptions& options);
// A process for each replica, started here; configurations and logs go to `directory` too.
[[nodiscard]] Result<std::unique_ptr<Target>> start_processes(const TargetOptions& options);
// What is there, by kernel UDP.
[[nodiscard]] Result<std::unique_ptr<Target>> reach_cluster(const TargetOptions& options);

}  // namespace synod::bench
