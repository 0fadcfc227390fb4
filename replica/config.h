// The configuration of one replica's process: a TOML file, checked as a whole before anything starts. docs/OPERATIONS.md shows
// one.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "consensus/effects.h"
#include "dataplane/lcore.h"
#include "dataplane/port.h"
#include "replica/retention.h"

namespace synod::replica {

inline constexpr const char* data_memory = "memory";  // a diskless group

struct PortConfig {
  enum class Kind : std::uint8_t {
    udp,     // kernel UDP
    pair,    // virtio-user/vhost to one process on this machine
    device,  // any DPDK device string
  };
  std::string name;
  Kind kind = Kind::udp;
  dataplane::Endpoint address;  // ours, on this port
  std::string device;           // of a device: the DPDK device string. Of a pair: the path of its socket
  bool server = false;          // of a pair: this side owns the socket
  std::size_t mtu = 0;          // 0: the kind's default
};

struct MemberConfig {
  ReplicaId id;
  dataplane::Endpoint address;  // where messages to it go; unused for ourselves
  std::string port;             // through which of our ports
};

// Groups are separate logs: each has a thread, a journal and ports of its own, and shares nothing with the others. What is
// written here is group 0's. The one that is numbered g has its data in the directory `group-g`, and UDP ports that lie g higher,
// here and at every member.
struct Config {
  std::string cluster;
  ReplicaId replica;
  std::uint16_t groups = 1;
  GroupId group;                   // of what of_group() returns
  std::string data;                // a directory, or data_memory
  std::uint64_t memory_mb = 1024;  // of a diskless group's log
  dataplane::IdlePolicy idle = dataplane::IdlePolicy::sleep;
  std::vector<unsigned> cores;  // one a group; empty: not pinned
  consensus::Timeouts timeouts;
  RetentionOptions retention;
  std::vector<MemberConfig> members;
  std::vector<PortConfig> ports;

  [[nodiscard]] std::vector<ReplicaId> member_ids() const;
  [[nodiscard]] Config of_group(GroupId number) const;
};

[[nodiscard]] Result<Config> parse_config(std::string_view text, const std::string& name);
[[nodiscard]] Result<Config> load_config(const std::string& path);
// Where a group has its data: in `data` itself if it is the only one.
[[nodiscard]] std::string group_directory(const std::string& data, GroupId group, std::size_t groups);
// The text that parse_config reads back.
[[nodiscard]] std::string to_toml(const Config& config);

}  // namespace synod::replica
