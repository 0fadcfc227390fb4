// A whole cluster in one process: its nodes take turns on one core, joined by links (rings, unless another kind is asked for),
// and clients in the same process reach each of them by a link of their own. What `dev --box` and `bench --box` run.
//
// Each node has its own journal, its own ring to the kernel and its own barriers: each pays for its own durability.
// Make it on a control thread; then one thread calls run() or poll_once(). The client ends of the links belong to the client's.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "dataplane/lcore.h"
#include "dataplane/link.h"
#include "dataplane/udp_port.h"
#include "replica/data.h"
#include "replica/node.h"

namespace synod::replica {

struct BoxOptions {
  std::string cluster = "synod";
  std::uint16_t replicas = 3;
  std::string data;                         // a directory that holds the replicas' directories 1, 2, ...; or data_memory
  std::uint64_t memory_bytes = 1ULL << 30;  // of each replica's log in memory
  bool touch_memory = false;                // takes all of it at once: no page faults later
  consensus::Timeouts timeouts;
  dataplane::LinkKind links = dataplane::LinkKind::ring;
  bool client_links = false;             // such links for clients in this process
  bool trace = false;                    // keeps a stage trace for each node
  std::vector<dataplane::Endpoint> udp;  // where kernel UDP clients reach each replica; empty: nowhere
};

class Box {
 public:
  // The EAL runs. The directories are formatted.
  [[nodiscard]] static Result<std::unique_ptr<Box>> make(const BoxOptions& options);
  Box(const Box&) = delete;
  Box& operator=(const Box&) = delete;
  ~Box() = default;

  [[nodiscard]] std::size_t size() const { return nodes_.size(); }
  [[nodiscard]] Node& node(std::size_t place) { return *nodes_[place]; }
  // The directory of one replica below `data`.
  [[nodiscard]] static std::string directory(const std::string& data, std::size_t place);

  // The client's link to a replica: its own end is b.
  [[nodiscard]] const dataplane::Link& client_link(std::size_t place) const { return *client_links_[place]; }

  // One for each node, if asked for.
  [[nodiscard]] std::span<const std::unique_ptr<StageTrace>> traces() const { return traces_; }

  // Polls and flushes each node, and the leader again behind each other that had something to do; then submits all.
  void poll_once(std::uint64_t now_us);
  void run(dataplane::IdlePolicy idle, const std::atomic<bool>& stop);

 private:
  Box() = default;
  bool poll(Node& node, std::uint64_t now_us);
  [[nodiscard]] Result<> open_nodes(const BoxOptions& options);
  [[nodiscard]] Result<> link_nodes(const BoxOptions& options);

  std::vector<Data> data_;
  std::unique_ptr<dataplane::PacketPool> pool_;
  std::vector<std::unique_ptr<dataplane::Link>> links_;
  std::vector<std::unique_ptr<dataplane::Link>> client_links_;
  std::vector<std::unique_ptr<dataplane::UdpPort>> udp_;
  std::vector<std::unique_ptr<StageTrace>> traces_;
  std::vector<std::unique_ptr<Node>> nodes_;
  bool may_rest_ = true;  // all of them, as of the last poll_once
};

}  // namespace synod::replica
