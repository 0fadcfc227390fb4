#include "dataplane/ring_link.h"

#include <atomic>

#include <fmt/format.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include "dataplane/eal.h"

namespace synod::dataplane {

namespace {

std::atomic<unsigned> links_made = 0;

// Frees what nobody received, and the ring.
void drain_and_free(rte_ring* ring) {
  void* packet = nullptr;
  while (ring != nullptr && rte_ring_dequeue(ring, &packet) == 0) rte_pktmbuf_free(static_cast<rte_mbuf*>(packet));
  rte_ring_free(ring);
}

}  // namespace

Result<std::unique_ptr<RingLink>> RingLink::make(const RingLinkOptions& options, PacketPool* pool) {
  if (!eal_is_started()) return fail("ring links need DPDK: start it first");
  std::unique_ptr<RingLink> link(new RingLink);
  if (pool == nullptr) {
    auto own = PacketPool::make(options.packets, options.mtu);
    if (!own) return std::unexpected(own.error());
    link->own_pool_ = std::move(*own);
    pool = link->own_pool_.get();
  }
  link->pool_ = pool;
  const unsigned number = links_made++;
  const auto make_ring = [&](char end) {
    const std::string name = fmt::format("synod_{}{}", number, end);
    return rte_ring_create(name.c_str(), options.slots, static_cast<int>(rte_socket_id()), RING_F_SP_ENQ | RING_F_SC_DEQ);
  };
  link->to_a_ = make_ring('a');
  link->to_b_ = make_ring('b');
  if (link->to_a_ == nullptr || link->to_b_ == nullptr) {
    return fail(fmt::format("cannot make rings of {} slots: {}{}: use a power of two, or give DPDK more memory", options.slots,
                            rte_strerror(rte_errno), take_eal_complaint()));
  }
  auto a = link->make_end(fmt::format("synod_{}a", number), options, options.a, link->to_a_, link->to_b_);
  if (!a) return std::unexpected(a.error());
  link->a_ = std::move(*a);
  auto b = link->make_end(fmt::format("synod_{}b", number), options, options.b, link->to_b_, link->to_a_);
  if (!b) return std::unexpected(b.error());
  link->b_ = std::move(*b);
  return link;
}

Result<std::unique_ptr<DpdkPort>> RingLink::make_end(const std::string& name, const RingLinkOptions& options, Endpoint local,
                                                     rte_ring* receive, rte_ring* transmit) {
  const int ethdev = rte_eth_from_rings(name.c_str(), &receive, 1, &transmit, 1, rte_socket_id());
  if (ethdev < 0) {
    return fail(fmt::format("cannot make a ring port: {}{}: DPDK takes at most {} ports a process", rte_strerror(rte_errno),
                            take_eal_complaint(), RTE_MAX_ETHPORTS));
  }
  DpdkPortOptions port;
  port.device = "net_ring_" + name;
  port.local = local;
  port.mtu = options.mtu;
  port.point_to_point = true;
  port.descriptors = static_cast<std::uint16_t>(options.slots);
  return DpdkPort::open_ethdev(static_cast<std::uint16_t>(ethdev), port, *pool_);
}

RingLink::~RingLink() {
  a_.reset();
  b_.reset();
  drain_and_free(to_a_);
  drain_and_free(to_b_);
}

}  // namespace synod::dataplane
