#include <algorithm>
#include <atomic>

#include <fmt/format.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

#include "dataplane/dpdk_port.h"
#include "dataplane/eal.h"

namespace synod::dataplane {

namespace {

std::atomic<unsigned> pools_made = 0;

constexpr std::size_t cache_packets_max = 256;

}  // namespace

Result<std::unique_ptr<PacketPool>> PacketPool::make(std::size_t packets, std::size_t mtu) {
  if (!eal_is_started()) return fail("packet buffers need DPDK: start it first");
  if (mtu < 68 || mtu > mtu_jumbo) return fail(fmt::format("an MTU of {} is not possible: choose 68 to {}", mtu, mtu_jumbo));
  // Ethernet header, a tag and room to align; NICs want at least 2 KiB and multiples of 1 KiB.
  const std::uint64_t room = std::max<std::uint64_t>(2048, align_up(mtu + 64, 1024)) + RTE_PKTMBUF_HEADROOM;
  // Each thread's cache keeps some from the others: a small pool has small caches.
  const auto cache_packets = static_cast<unsigned>(std::min(packets / 4, cache_packets_max));
  const std::string pool_name = fmt::format("synod_pool_{}", pools_made++);
  rte_mempool* pool = rte_pktmbuf_pool_create(pool_name.c_str(), static_cast<unsigned>(packets), cache_packets, 0,
                                              static_cast<std::uint16_t>(room), static_cast<int>(rte_socket_id()));
  if (pool == nullptr) {
    return fail(fmt::format("no memory for {} packets of {} bytes: {}{}: give DPDK more memory", packets, room,
                            rte_strerror(rte_errno), take_eal_complaint()));
  }
  return std::unique_ptr<PacketPool>(new PacketPool(pool, mtu));
}

PacketPool::~PacketPool() {
  rte_mempool_free(pool_);
}

std::size_t PacketPool::in_use() const {
  return rte_mempool_in_use_count(pool_);
}

}  // namespace synod::dataplane
