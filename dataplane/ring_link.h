// A point-to-point link inside this process: two rings and a DPDK port at each end (net_ring).
//
// Sent packets are handed over by pointer, so the sender never touches one again and the receiver never writes into one.
// Send from a to the endpoint of b, and the other way round; anything else is dropped at the other end as not its own.
// Each end belongs to one thread, or both to the same. The link outlives the last use of either end; it is made and destroyed
// on a control thread. A full ring drops, counted as send_dropped of the sending end.
#pragma once

#include <memory>
#include <string>

#include "dataplane/dpdk_port.h"

struct rte_ring;

namespace synod::dataplane {

struct RingLinkOptions {
  Endpoint a;
  Endpoint b;
  std::size_t mtu = mtu_jumbo;  // memory costs nothing by the byte here, and a packet costs as on any wire
  unsigned slots = 512;         // of each ring; a power of two
  std::size_t packets = 2048;   // buffers, if the link makes a pool of its own
};

class RingLink {
 public:
  // With `pool` the buffers come from there (one for all links of a process); it outlives the link.
  [[nodiscard]] static Result<std::unique_ptr<RingLink>> make(const RingLinkOptions& options, PacketPool* pool = nullptr);
  ~RingLink();
  RingLink(const RingLink&) = delete;
  RingLink& operator=(const RingLink&) = delete;

  [[nodiscard]] DpdkPort& a() { return *a_; }
  [[nodiscard]] DpdkPort& b() { return *b_; }

 private:
  RingLink() = default;
  Result<std::unique_ptr<DpdkPort>> make_end(const std::string& name, const RingLinkOptions& options, Endpoint local,
                                             rte_ring* receive, rte_ring* transmit);

  std::unique_ptr<PacketPool> own_pool_;
  PacketPool* pool_ = nullptr;
  rte_ring* to_a_ = nullptr;
  rte_ring* to_b_ = nullptr;
  std::unique_ptr<DpdkPort> a_;
  std::unique_ptr<DpdkPort> b_;
};

}  // namespace synod::dataplane
