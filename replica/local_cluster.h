// A cluster of processes on this machine, for `dev`, `bench --processes`, the demo and the kill tests: writes the configurations,
// formats what is not formatted, starts `synod start` once a replica, and leaves nothing running.
//
// Peers are joined by virtio-user/vhost pairs, so neither root nor huge pages nor a network is needed; clients come by kernel UDP
// on loopback. Control path. The children die with the process that started them, however it ends.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "dataplane/lcore.h"
#include "dataplane/port.h"
#include "replica/child.h"
#include "replica/config.h"

namespace synod::replica {

struct LocalClusterOptions {
  std::string binary;     // of synod; empty: this process's own
  std::string directory;  // holds 1, 2, ... (data), 1.toml, 1.log, ...
  std::string cluster = "synod";
  std::uint16_t replicas = 3;
  std::uint16_t groups = 1;
  // Clients reach group g of replica i at 127.0.0.1:(port + (i - 1) * groups + g); 0: any free ports.
  std::uint16_t port = 0;
  std::uint64_t capacity_bytes = 256ULL << 20;  // of each journal
  bool prepare_all = false;                     // all of the journals is written at once: for measuring
  bool memory = false;                          // diskless
  bool kernel_udp = false;                      // peers talk kernel UDP instead of pairs
  dataplane::IdlePolicy idle = dataplane::IdlePolicy::sleep;
  std::function<void(const std::string&)> say;  // one line of progress; may be empty
};

class LocalCluster {
 public:
  // Formats and writes configurations; starts nothing yet.
  [[nodiscard]] static Result<LocalCluster> make(LocalClusterOptions options);
  LocalCluster(LocalCluster&& other) noexcept;
  LocalCluster& operator=(LocalCluster&&) = delete;
  LocalCluster(const LocalCluster&) = delete;
  LocalCluster& operator=(const LocalCluster&) = delete;
  ~LocalCluster();  // SIGTERM, then SIGKILL; removes the sockets

  // place: 0 .. replicas - 1
  [[nodiscard]] Result<> start(std::size_t place);
  [[nodiscard]] Result<> start_all();
  // SIGKILL, and waits until the process is gone.
  void kill(std::size_t place) { children_[place].kill(); }
  // SIGTERM, and waits.
  void stop(std::size_t place) { children_[place].stop(); }
  [[nodiscard]] bool is_running(std::size_t place) { return children_[place].is_running(); }
  [[nodiscard]] pid_t pid(std::size_t place) const { return children_[place].pid(); }

  // "127.0.0.1:7401,127.0.0.1:7402,..." in the order of replica ids, as --cluster takes it.
  [[nodiscard]] std::string addresses() const;
  [[nodiscard]] dataplane::Endpoint address(std::size_t place) const { return clients_[place]; }
  [[nodiscard]] std::size_t size() const { return clients_.size(); }
  [[nodiscard]] const LocalClusterOptions& options() const { return options_; }
  // What a replica printed last: for errors.
  [[nodiscard]] std::string last_line(std::size_t place) const;

 private:
  explicit LocalCluster(LocalClusterOptions options) : options_(std::move(options)) {}
  [[nodiscard]] Result<> prepare();
  [[nodiscard]] Result<> format(std::size_t place, GroupId group) const;
  [[nodiscard]] Config config_of(std::size_t place) const;
  [[nodiscard]] std::string path(std::size_t place, const char* suffix) const;

  LocalClusterOptions options_;
  std::string sockets_;  // a short directory: socket paths have 107 bytes
  std::vector<dataplane::Endpoint> clients_;
  std::vector<dataplane::Endpoint> peers_;
  std::vector<Child> children_;
};

}  // namespace synod::replica
