#include "dataplane/dpdk_setup.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <string_view>

#include <fmt/format.h>
#include <rte_alarm.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include "dataplane/eal.h"
#include "dataplane/steering.h"

namespace synod::dataplane {

namespace {

std::string device_name(const std::string& device) {
  return device.substr(0, device.find(','));
}

template <std::size_t count>
bool is_one_of(const std::string& device, const std::array<std::string_view, count>& prefixes) {
  return std::ranges::any_of(prefixes, [&](std::string_view prefix) { return device.starts_with(prefix); });
}

bool only_one_peer(const std::string& device) {
  return is_one_of<4>(device, {"net_vhost", "eth_vhost", "net_memif", "net_ring"});
}

// Over a socket to the peer's process.
bool hears_hangup(const std::string& device) {
  return is_one_of<4>(device, {"net_vhost", "eth_vhost", "net_memif", "net_virtio_user"});
}

bool is_point_to_point(const DpdkPortOptions& options) {
  return options.point_to_point.value_or(only_one_peer(options.device));
}

bool shares_bodies(const DpdkPortOptions& options, const rte_eth_dev_info& info) {
  const bool gathers = (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0;
  const bool completes = (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_UDP_CKSUM) != 0;
  return gathers && options.mtu > shared_bytes_min + ip_udp_header_bytes &&
         options.share_bodies.value_or(completes && !is_point_to_point(options));
}

rte_eth_conf configuration_for(const DpdkPortOptions& options, const rte_eth_dev_info& info) {
  rte_eth_conf configuration{};
  if (options.mtu != mtu_ethernet && info.max_mtu >= options.mtu && info.max_mtu != UINT16_MAX) {
    configuration.rxmode.mtu = static_cast<std::uint32_t>(options.mtu);
  }
  // A virtio-user server looks for a peer that hung up, or came back, only when its link is asked for or by this interrupt; it
  // then pauses the queues by itself.
  const bool reports_link = (*info.dev_flags & RTE_ETH_DEV_INTR_LSC) != 0;
  if (reports_link && options.device.starts_with("net_virtio_user")) configuration.intr_conf.lsc = 1;
  // Else every packet of a port is from its one pool and has one owner, which is what the fast free asks for.
  configuration.txmode.offloads =
      info.tx_offload_capa & (shares_bodies(options, info) ? RTE_ETH_TX_OFFLOAD_MULTI_SEGS : RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE);
  if (is_point_to_point(options)) return configuration;
  constexpr std::uint64_t wanted_receive = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
  configuration.rxmode.offloads = info.rx_offload_capa & wanted_receive;
  configuration.txmode.offloads |= info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
  return configuration;
}

std::unexpected<Error> refused(const std::string& device, const char* what, int error) {
  return fail(fmt::format("{}: cannot {}: {}{}: check the device string and that the device is free", device, what,
                          rte_strerror(error < 0 ? -error : error), take_eal_complaint()));
}

// Of drivers that do not say how long theirs is.
constexpr std::size_t usual_key_bytes = 40;

// How the packets of several ports find their queues. Empty for one port.
Result<Steering> steering_for(const DpdkPortOptions& options, const rte_eth_dev_info& info, std::size_t queues) {
  if (queues == 1) return Steering{};
  const std::string instead = fmt::format("give each of the {} groups a device, or use 'udp' or 'pair'", queues);
  if (std::min(info.max_rx_queues, info.max_tx_queues) < queues) {
    return fail(fmt::format("{}: this device has {} queues: {}", options.device, std::min(info.max_rx_queues, info.max_tx_queues),
                            instead));
  }
  const std::size_t key_bytes = info.hash_key_size != 0 ? info.hash_key_size : usual_key_bytes;
  auto steering = steer_by_port(options.local.port, static_cast<std::uint16_t>(queues), key_bytes, info.reta_size);
  if (!steering || (info.flow_type_rss_offloads & RTE_ETH_RSS_NONFRAG_IPV4_UDP) == 0) {
    return fail(
        fmt::format("{}: this device has no RSS that spreads UDP packets over {} queues: {}", options.device, queues, instead));
  }
  return *std::move(steering);
}

Result<> set_table(std::uint16_t ethdev, const std::string& device, const Steering& steering) {
  std::vector<rte_eth_rss_reta_entry64> entries((steering.table.size() + RTE_ETH_RETA_GROUP_SIZE - 1) / RTE_ETH_RETA_GROUP_SIZE);
  for (std::size_t i = 0; i < steering.table.size(); ++i) {
    rte_eth_rss_reta_entry64& part = entries[i / RTE_ETH_RETA_GROUP_SIZE];
    part.mask |= std::uint64_t{1} << (i % RTE_ETH_RETA_GROUP_SIZE);
    part.reta[i % RTE_ETH_RETA_GROUP_SIZE] = steering.table[i];
  }
  const int error = rte_eth_dev_rss_reta_update(ethdev, entries.data(), static_cast<std::uint16_t>(steering.table.size()));
  if (error != 0) return refused(device, "spread packets over its queues", error);
  return {};
}

// Returns how many descriptors each receive queue has.
Result<std::uint16_t> set_up_queues(std::uint16_t ethdev, const DpdkPortOptions& options, const std::vector<PacketPool*>& pools) {
  const std::string& device = options.device;
  std::uint16_t receive_descriptors = options.descriptors;
  std::uint16_t transmit_descriptors = options.descriptors;
  if (const int error = rte_eth_dev_adjust_nb_rx_tx_desc(ethdev, &receive_descriptors, &transmit_descriptors); error != 0) {
    return refused(device, "size the queues", error);
  }
  const auto socket = static_cast<unsigned>(rte_eth_dev_socket_id(ethdev));
  const auto queues = static_cast<std::uint16_t>(pools.size());
  for (std::uint16_t queue = 0; queue < queues; ++queue) {
    const int error = rte_eth_rx_queue_setup(ethdev, queue, receive_descriptors, socket, nullptr, pools[queue]->get());
    if (error != 0) return refused(device, "set up its receive queue", error);
  }
  for (std::uint16_t queue = 0; queue < queues; ++queue) {
    const int error = rte_eth_tx_queue_setup(ethdev, queue, transmit_descriptors, socket, nullptr);
    if (error != 0) return refused(device, "set up its transmit queue", error);
  }
  return receive_descriptors;
}

// Configures and starts it. Returns how many descriptors each receive queue has.
Result<std::uint16_t> configure(std::uint16_t ethdev, const DpdkPortOptions& options, const std::vector<PacketPool*>& pools,
                                rte_eth_conf configuration, Steering steering) {
  const std::string& device = options.device;
  if (!steering.table.empty()) {
    configuration.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    configuration.rx_adv_conf.rss_conf = {.rss_key = steering.key.data(),
                                          .rss_key_len = static_cast<std::uint8_t>(steering.key.size()),
                                          .rss_hf = RTE_ETH_RSS_NONFRAG_IPV4_UDP};
  }
  const auto queues = static_cast<std::uint16_t>(pools.size());
  if (const int error = rte_eth_dev_configure(ethdev, queues, queues, &configuration); error != 0)
    return refused(device, "configure", error);
  const auto receive_descriptors = set_up_queues(ethdev, options, pools);
  if (!receive_descriptors) return receive_descriptors;
  // Software devices have no MTU to set; a NIC that refuses says so here.
  if (const int error = rte_eth_dev_set_mtu(ethdev, static_cast<std::uint16_t>(options.mtu)); error != 0 && error != -ENOTSUP) {
    if (options.mtu != mtu_ethernet) return refused(device, fmt::format("set an MTU of {}", options.mtu).c_str(), error);
  }
  if (const int error = rte_eth_dev_start(ethdev); error != 0) return refused(device, "start", error);
  if (steering.table.empty()) return receive_descriptors;
  if (const auto spread = set_table(ethdev, device, steering); !spread) return std::unexpected(spread.error());
  return receive_descriptors;
}

std::atomic<unsigned> inboxes_made = 0;

// What ARP answers is little, and asked for again if it is lost.
constexpr unsigned inbox_packets = 64;

Result<> make_inboxes(std::vector<rte_ring*>& inboxes, std::size_t queues) {
  for (std::size_t i = 0; i < queues; ++i) {
    const std::string name = fmt::format("synod_inbox_{}", inboxes_made++);
    rte_ring* const inbox = rte_ring_create(name.c_str(), inbox_packets, static_cast<int>(rte_socket_id()), RING_F_SC_DEQ);
    if (inbox == nullptr) {
      return fail(fmt::format("no memory for a ring of packets: {}: give DPDK more memory", rte_strerror(rte_errno)));
    }
    inboxes.push_back(inbox);
  }
  return {};
}

}  // namespace

Result<> check_options(const DpdkPortOptions& options) {
  if (options.mtu < 1000 || options.mtu > mtu_jumbo) {
    return fail(fmt::format("{}: an MTU of {} is not possible: choose 1000 to {}", options.device, options.mtu, mtu_jumbo));
  }
  if (options.prefix_bits > 32) return fail(fmt::format("{}: a prefix has 0 to 32 bits", options.device));
  if (options.local.address == 0 || options.local.port == 0) {
    return fail(fmt::format("{}: needs an address and a port of its own, like 10.0.0.1:7400", options.device));
  }
  return {};
}

Result<std::uint16_t> attach_ethdev(const DpdkPortOptions& options) {
  if (!eal_is_started()) return fail(fmt::format("{}: needs DPDK: start it first", options.device));
  const std::string name = device_name(options.device);
  std::uint16_t ethdev = 0;
  if (rte_eth_dev_get_port_by_name(name.c_str(), &ethdev) == 0) {
    if (rte_eth_dev_is_valid_port(ethdev) != 0 && name.find(':') != std::string::npos) return ethdev;  // a NIC, probed at start
    return fail(fmt::format("{}: this device is open already: give each port a device name of its own", options.device));
  }
  (void)take_eal_complaint();
  if (const int error = rte_dev_probe(options.device.c_str()); error != 0) {
    return fail(fmt::format("cannot open device '{}': {}{}: check the device string, and the rights to use it", options.device,
                            rte_strerror(-error), take_eal_complaint()));
  }
  if (rte_eth_dev_get_port_by_name(name.c_str(), &ethdev) != 0) {
    return fail(fmt::format("device '{}' is no network device: name one like net_af_packet0,iface=eth0", options.device));
  }
  return ethdev;
}

namespace {

// The memif driver shakes hands with its peer on DPDK's interrupt thread, and keeps nobody else from freeing its messages
// meanwhile (DPDK 22.11, memif_disconnect; seen as a segfault of a client that joined again while its server answered). So
// whatever stops such a device runs on that thread.
void on_interrupt_thread(void (*what)(void*), void* argument) {
  if (rte_eal_alarm_set(1, what, argument) != 0) what(argument);  // no memory: the better of two risks
}

}  // namespace

void DpdkPort::Ethdev::restart() {
  is_restarting_.store(true, std::memory_order_relaxed);
  on_interrupt_thread(restart_now, this);
}

void DpdkPort::Ethdev::restart_now(void* self) {
  auto& device = *static_cast<Ethdev*>(self);
  (void)rte_eth_dev_stop(device.number);
  device.runs_ = rte_eth_dev_start(device.number) == 0;
  device.is_restarting_.store(false, std::memory_order_release);
}

void DpdkPort::Ethdev::close_now(void* self) {
  auto& device = *static_cast<Ethdev*>(self);
  (void)rte_eth_dev_stop(device.number);
  (void)rte_eth_dev_close(device.number);
  device.is_closed_.store(true, std::memory_order_release);
  device.is_closed_.notify_one();
}

DpdkPort::Ethdev::~Ethdev() {
  rte_eth_dev_info info{};
  const bool has_info = rte_eth_dev_info_get(number, &info) == 0;
  rte_device* const device = has_info ? info.device : nullptr;
  (void)rte_eal_alarm_cancel(restart_now, this);  // waits for one that runs
  if (is_memif) {
    on_interrupt_thread(close_now, this);
    is_closed_.wait(false, std::memory_order_acquire);
    (void)rte_eal_alarm_cancel(close_now, this);
  } else {
    close_now(this);
  }
  for (rte_ring* const inbox : inboxes) {
    void* buffer = nullptr;
    while (rte_ring_sc_dequeue(inbox, &buffer) == 0) rte_pktmbuf_free(static_cast<rte_mbuf*>(buffer));
    rte_ring_free(inbox);
  }
  if (device != nullptr) (void)rte_dev_remove(device);
}

Result<std::unique_ptr<DpdkPort>> DpdkPort::open(const DpdkPortOptions& options) {
  auto ports = open_queues(options, 1);
  if (!ports) return std::unexpected(ports.error());
  return std::move(ports->front());
}

Result<std::vector<std::unique_ptr<DpdkPort>>> DpdkPort::open_queues(const DpdkPortOptions& options, std::uint16_t count) {
  if (const auto checked = check_options(options); !checked) return std::unexpected(checked.error());
  std::vector<std::unique_ptr<PacketPool>> own;
  std::vector<PacketPool*> pools;
  for (std::uint16_t queue = 0; queue < count; ++queue) {
    auto pool = PacketPool::make(options.packets, options.mtu);
    if (!pool) return std::unexpected(pool.error());
    pools.push_back(pool->get());
    own.push_back(*std::move(pool));
  }
  const auto ethdev = attach_ethdev(options);
  if (!ethdev) return std::unexpected(ethdev.error());
  const auto device = std::make_shared<Ethdev>(*ethdev);
  device->pools = std::move(own);
  return start(device, options, pools);
}

Result<std::unique_ptr<DpdkPort>> DpdkPort::open_ethdev(std::uint16_t ethdev, const DpdkPortOptions& options, PacketPool& pool) {
  if (const auto checked = check_options(options); !checked) return std::unexpected(checked.error());
  if (options.mtu > pool.mtu()) {
    return fail(fmt::format("{}: an MTU of {} needs larger buffers than its pool has", options.device, options.mtu));
  }
  auto ports = start(std::make_shared<Ethdev>(ethdev), options, {&pool});
  if (!ports) return std::unexpected(ports.error());
  return std::move(ports->front());
}

Result<std::vector<std::unique_ptr<DpdkPort>>> DpdkPort::start(const std::shared_ptr<Ethdev>& device,
                                                               const DpdkPortOptions& options,
                                                               const std::vector<PacketPool*>& pools) {
  device->is_memif = options.device.starts_with("net_memif");
  rte_eth_dev_info info{};
  rte_ether_addr mac{};
  if (const int error = rte_eth_dev_info_get(device->number, &info); error != 0) {
    return refused(options.device, "ask what it can do", error);
  }
  auto steering = steering_for(options, info, pools.size());
  if (!steering) return std::unexpected(steering.error());
  if (pools.size() > 1) {
    if (const auto made = make_inboxes(device->inboxes, pools.size()); !made) return std::unexpected(made.error());
  }
  const rte_eth_conf configuration = configuration_for(options, info);
  const auto receive_descriptors = configure(device->number, options, pools, configuration, *std::move(steering));
  if (!receive_descriptors) return std::unexpected(receive_descriptors.error());
  (void)rte_eth_macaddr_get(device->number, &mac);
  Setup setup;
  setup.receive_descriptors = *receive_descriptors;
  std::copy_n(mac.addr_bytes, setup.mac.size(), setup.mac.begin());
  setup.point_to_point = is_point_to_point(options);
  setup.shares_bodies = shares_bodies(options, info);
  if (setup.point_to_point) {
    setup.hears_hangup = hears_hangup(options.device);
    setup.connects = device->is_memif && options.device.find("role=client") != std::string::npos;
    setup.checksum = UdpChecksum::none;
  } else if ((configuration.txmode.offloads & RTE_ETH_TX_OFFLOAD_UDP_CKSUM) != 0) {
    setup.checksum = UdpChecksum::pseudo_header;
    setup.transmit_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_UDP_CKSUM;
  }
  std::vector<std::unique_ptr<DpdkPort>> ports;
  const auto queues = static_cast<std::uint16_t>(pools.size());
  for (std::uint16_t queue = 0; queue < queues; ++queue) {
    DpdkPortOptions own = options;
    own.local.port = static_cast<std::uint16_t>(options.local.port + queue);
    ports.push_back(std::unique_ptr<DpdkPort>(new DpdkPort(device, queue, own, *pools[queue], setup)));
  }
  return ports;
}

}  // namespace synod::dataplane
