// A neighbour: another replicated log, or something that can be used as one, which `synod bench neighbours` puts the same load
// on. An adapter is one file here that says how to start three nodes of it and how one client talks to them; what clients have in
// common (in-flight appends, timeouts, reconnecting, reading back) is in connections.h. How to add one: docs/BENCHMARKS.md.
//
// Thread: start and the destructor on the one that starts the processes; all else on that of the load, while nothing is started
// or stopped.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "bench/payloads.h"

namespace synod::bench {

inline constexpr std::size_t neighbour_nodes = 3;

// How one append ended.
struct Reply {
  std::uint32_t slot = 0;  // that it was sent with
  bool is_appended = false;
  std::uint64_t place = 0;  // where the neighbour put it
};

// One client's connection to a node.
class Connection {
 public:
  virtual ~Connection() = default;

  // `slot`: names the append until its reply; below `in_flight` of the connection. Keeps no reference to the payload.
  virtual void send(EntryKey key, Bytes payload, std::uint32_t slot) = 0;
  // Sends and receives what it can without waiting, and adds the replies that came. An error: the connection is of no use any
  // more.
  [[nodiscard]] virtual Result<> turn(std::vector<Reply>& replies) = 0;
  // To wait for bytes on.
  [[nodiscard]] virtual int fd() const = 0;
};

class Neighbour {
 public:
  virtual ~Neighbour() = default;  // stops what was started

  // Three nodes on free ports of 127.0.0.1, all they write in `directory`; returns when they take appends.
  [[nodiscard]] virtual Result<> start(const std::string& directory) = 0;
  // Of the nodes that run.
  [[nodiscard]] virtual std::string version() const = 0;
  // The node that leads (found by `start`).
  [[nodiscard]] virtual std::size_t leader() const = 0;
  // Connects a client to a node. May be called while some nodes are dead.
  [[nodiscard]] virtual Result<std::unique_ptr<Connection>> connect(std::size_t node, std::size_t in_flight) = 0;
  // How many entries there are now, by the neighbour's own count.
  [[nodiscard]] virtual Result<std::uint64_t> count() = 0;
  // The bytes of one entry.
  [[nodiscard]] virtual Result<std::vector<std::byte>> read(EntryKey key, std::uint64_t place) = 0;
};

// What is known about it before it runs.
struct NeighbourKind {
  const char* name;
  const char* program;  // what is started
  const char* package;  // of Debian, that has it
  bool is_durable;      // an entry is on stable storage of a quorum when the append is answered
  const char* durability;
  std::unique_ptr<Neighbour> (*make)(std::string program);
};

[[nodiscard]] std::span<const NeighbourKind> neighbour_kinds();
// "etcd, nats"
[[nodiscard]] std::string neighbour_names();
// The path of its program; an error says which package has it.
[[nodiscard]] Result<std::string> find_program(const NeighbourKind& kind);

[[nodiscard]] std::unique_ptr<Neighbour> make_etcd(std::string program);
[[nodiscard]] std::unique_ptr<Neighbour> make_nats(std::string program);

}  // namespace synod::bench
