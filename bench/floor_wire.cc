#include "bench/floor_wire.h"

#include <fmt/format.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <sched.h>

#include <array>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "base/check.h"
#include "dataplane/clock.h"
#include "dataplane/eal.h"
#include "dataplane/frame.h"
#include "dataplane/lcore.h"

namespace synod::bench {

namespace {

constexpr std::uint64_t silence_ns_max = 2'000'000'000;
constexpr std::size_t packets_in_pool = 4096;

// What a bare packet says.
struct Mark {
  std::uint64_t round = 0;
  std::uint64_t packets_behind = 0;  // of the same message
};

// One end of a link, as DPDK sees it; of kernel UDP, as the socket does.
class BareEnd {
 public:
  BareEnd(const dataplane::Link::End& end, dataplane::Endpoint peer)
      : device_(end.device),
        port_(end.port),
        peer_(peer),
        piece_bytes_(end.port.payload_bytes_max() - sizeof(wire::PacketHeader)) {}

  // Transmits a message of so many bytes in as many packets as it takes.
  void send(std::uint64_t round, std::size_t message_bytes) {
    for (std::size_t packets = (message_bytes + piece_bytes_ - 1) / piece_bytes_; packets > 0; --packets) {
      const std::size_t bytes = sizeof(wire::PacketHeader) + std::min(message_bytes, piece_bytes_);
      message_bytes -= std::min(message_bytes, piece_bytes_);
      const Mark mark{round, packets - 1};
      device_ != nullptr ? send_frame(mark, dataplane::frame_header_bytes + bytes) : send_datagram(mark, bytes);
    }
  }

  // Calls use(round) for each message whose last packet is here.
  template <class Use>
  void receive(Use&& use) {
    device_ != nullptr ? receive_frames(use) : receive_datagrams(use);
  }

 private:
  void send_frame(const Mark& mark, std::size_t bytes) const {
    rte_mbuf* packet = rte_pktmbuf_alloc(device_->pool());
    CHECK(packet != nullptr);  // one round is in flight, and the pool holds many
    packet->data_len = static_cast<std::uint16_t>(bytes);
    packet->pkt_len = static_cast<std::uint32_t>(bytes);
    *rte_pktmbuf_mtod(packet, Mark*) = mark;
    if (rte_eth_tx_burst(device_->ethdev(), 0, &packet, 1) != 1) rte_pktmbuf_free(packet);
  }
  void send_datagram(const Mark& mark, std::size_t bytes) {
    store(port_.reserve(), mark);
    port_.send(peer_, bytes);
    port_.flush();
  }
  template <class Use>
  void receive_frames(Use&& use) const {
    std::array<rte_mbuf*, dataplane::burst_packets_max> packets{};
    const std::uint16_t count = rte_eth_rx_burst(device_->ethdev(), 0, packets.data(), packets.size());
    for (std::uint16_t i = 0; i < count; ++i) {
      const Mark mark = *rte_pktmbuf_mtod(packets[i], Mark*);
      rte_pktmbuf_free(packets[i]);
      if (mark.packets_behind == 0) use(mark.round);
    }
  }
  template <class Use>
  void receive_datagrams(Use&& use) {
    std::array<dataplane::Packet, dataplane::burst_packets_max> packets{};
    const std::size_t count = port_.receive(packets);
    for (std::size_t i = 0; i < count; ++i) {
      const auto mark = load<Mark>(packets[i].payload);
      if (mark.packets_behind == 0) use(mark.round);
    }
  }

  const dataplane::DpdkPort* device_;
  dataplane::PortRef port_;
  dataplane::Endpoint peer_;
  std::size_t piece_bytes_;
};

struct BareNode {
  std::vector<BareEnd> peers;  // the leader is the first of a follower's
  std::vector<BareEnd> client;
};

// The links of a box, and the bare nodes at their ends. The first node leads.
class BareBox {
 public:
  [[nodiscard]] static Result<std::unique_ptr<BareBox>> make(std::size_t replicas, const MessageSizes& sizes,
                                                             dataplane::LinkKind kind) {
    auto pool = dataplane::PacketPool::make(packets_in_pool, dataplane::mtu_jumbo);
    if (!pool) return std::unexpected(pool.error());
    std::unique_ptr<BareBox> box(new BareBox);
    box->pool_ = *std::move(pool);
    box->sizes_ = sizes;
    box->kind_ = kind;
    box->nodes_.resize(replicas);
    box->answers_wanted_ = replicas / 2;
    for (std::size_t a = 0; a < replicas; ++a) {
      for (std::size_t b = a + 1; b < replicas; ++b) {
        if (auto linked = box->link(box->nodes_[a].peers, box->nodes_[b].peers); !linked) return std::unexpected(linked.error());
      }
    }
    for (BareNode& node : box->nodes_) {
      if (auto linked = box->link(node.client, box->client_); !linked) return std::unexpected(linked.error());
    }
    return box;
  }

  // Every node once, as a box does.
  void poll_nodes() {
    poll_leader();
    for (std::size_t place = 1; place < nodes_.size(); ++place) {
      BareNode& node = nodes_[place];
      for (BareEnd& peer : node.peers) {
        peer.receive([&](std::uint64_t round) { peer.send(round, sizes_.accepted); });
      }
      node.client.front().receive([](std::uint64_t) {});
    }
  }

  void send_append(std::uint64_t round) { client_.front().send(round, sizes_.append); }
  [[nodiscard]] bool is_answered(std::uint64_t round) {
    bool answered = false;
    for (BareEnd& replica : client_) {
      replica.receive([&](std::uint64_t answer) { answered = answered || answer == round; });
    }
    return answered;
  }

 private:
  BareBox() = default;

  Result<> link(std::vector<BareEnd>& a, std::vector<BareEnd>& b) {
    const dataplane::Endpoint nobody{.address = 1, .port = 1};  // no frame here has an address
    auto link = dataplane::Link::make({.kind = kind_, .a = nobody, .b = nobody}, pool_.get());
    if (!link) return std::unexpected(link.error());
    a.emplace_back((*link)->a(), (*link)->b().at);
    b.emplace_back((*link)->b(), (*link)->a().at);
    links_.push_back(*std::move(link));
    return {};
  }

  void poll_leader() {
    BareNode& leader = nodes_.front();
    leader.client.front().receive([&](std::uint64_t round) {
      round_ = round;
      answers_ = 0;
      for (BareEnd& follower : leader.peers) follower.send(round, sizes_.accept);
      if (answers_wanted_ == 0) leader.client.front().send(round, sizes_.appended);
    });
    for (BareEnd& follower : leader.peers) {
      follower.receive([&](std::uint64_t round) {
        if (round == round_ && ++answers_ == answers_wanted_) leader.client.front().send(round, sizes_.appended);
      });
    }
  }

  MessageSizes sizes_;
  dataplane::LinkKind kind_ = dataplane::LinkKind::ring;
  std::unique_ptr<dataplane::PacketPool> pool_;
  std::vector<std::unique_ptr<dataplane::Link>> links_;
  std::vector<BareNode> nodes_;
  std::vector<BareEnd> client_;  // one end a replica
  std::size_t answers_wanted_ = 0;
  std::size_t answers_ = 0;  // of followers to round_
  std::uint64_t round_ = 0;
};

// Two threads that share one core must give it away.
void relax(bool one_core) {
  if (one_core) ::sched_yield();
}

Result<> prepare_thread(unsigned core) {
  if (auto pinned = dataplane::pin_to_core(core); !pinned) return pinned;
  return dataplane::register_polling_thread();
}

Result<> run_client(BareBox& box, const WireFloorOptions& options, Histogram& rounds_ns) {
  if (auto prepared = prepare_thread(options.client_core); !prepared) return prepared;
  const bool one_core = options.client_core == options.replica_core;
  const auto duration_ns = static_cast<std::uint64_t>(options.seconds * 1e9);
  const std::uint64_t begin = dataplane::now_ns();
  std::uint64_t sent = begin;
  // One round at least, though the cores may have been elsewhere all the time.
  for (std::uint64_t round = 1; sent - begin < duration_ns || rounds_ns.count() == 0; ++round) {
    box.send_append(round);
    std::uint64_t polls = 0;
    while (!box.is_answered(round)) {
      relax(one_core);
      if (++polls % 4096 == 0 && dataplane::now_ns() - sent > silence_ns_max) {
        return fail("the wire floor's echo stopped: are other programs taking the cores? Try again");
      }
    }
    const std::uint64_t now = dataplane::now_ns();
    if (sent - begin > duration_ns / 10) rounds_ns.record(now - sent);  // the first tenth warms up
    sent = now;
  }
  return {};
}

}  // namespace

Result<FloorTime> measure_wire_floor(const WireFloorOptions& options) {
  auto box = BareBox::make(options.replicas, options.sizes, options.links);
  if (!box) return std::unexpected(box.error());
  std::atomic<bool> stop = false;
  Result<> nodes_done;
  Result<> client_done;
  Histogram rounds_ns;
  std::thread nodes([&] {
    nodes_done = prepare_thread(options.replica_core);
    while (nodes_done && !stop.load(std::memory_order_relaxed)) {
      (*box)->poll_nodes();
      relax(options.client_core == options.replica_core);
    }
  });
  std::thread client([&] { client_done = run_client(**box, options, rounds_ns); });
  client.join();
  stop = true;
  nodes.join();
  if (!nodes_done) return std::unexpected(nodes_done.error());
  if (!client_done) return std::unexpected(client_done.error());
  return floor_time(fmt::format("bare {} echo", dataplane::description(options.links)), rounds_ns);
}

}  // namespace synod::bench
