#include "dataplane/dpdk_setup.h"

#include <algorithm>
#include <array>
#include <string_view>

#include <fmt/format.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

#include "dataplane/eal.h"

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

rte_eth_conf configuration_for(const DpdkPortOptions& options, const rte_eth_dev_info& info) {
  rte_eth_conf configuration{};
  if (options.mtu != mtu_ethernet && info.max_mtu >= options.mtu && info.max_mtu != UINT16_MAX) {
    configuration.rxmode.mtu = static_cast<std::uint32_t>(options.mtu);
  }
  // A virtio-user server looks for a peer that hung up, or came back, only when its link is asked for or by this interrupt; it
  // then pauses the queues by itself.
  const bool reports_link = (*info.dev_flags & RTE_ETH_DEV_INTR_LSC) != 0;
  if (reports_link && options.device.starts_with("net_virtio_user")) configuration.intr_conf.lsc = 1;
  // Every packet of a port is from its one pool and has one owner, which is what the fast free asks for.
  configuration.txmode.offloads = info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
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

// Returns how many descriptors its receive queue has.
Result<std::uint16_t> configure(std::uint16_t ethdev, const DpdkPortOptions& options, PacketPool& pool,
                                rte_eth_conf configuration) {
  const std::string& device = options.device;
  if (const int error = rte_eth_dev_configure(ethdev, 1, 1, &configuration); error != 0)
    return refused(device, "configure", error);
  std::uint16_t receive_descriptors = options.descriptors;
  std::uint16_t transmit_descriptors = options.descriptors;
  if (const int error = rte_eth_dev_adjust_nb_rx_tx_desc(ethdev, &receive_descriptors, &transmit_descriptors); error != 0) {
    return refused(device, "size the queues", error);
  }
  const auto socket = static_cast<unsigned>(rte_eth_dev_socket_id(ethdev));
  if (const int error = rte_eth_rx_queue_setup(ethdev, 0, receive_descriptors, socket, nullptr, pool.get()); error != 0) {
    return refused(device, "set up its receive queue", error);
  }
  if (const int error = rte_eth_tx_queue_setup(ethdev, 0, transmit_descriptors, socket, nullptr); error != 0) {
    return refused(device, "set up its transmit queue", error);
  }
  // Software devices have no MTU to set; a NIC that refuses says so here.
  if (const int error = rte_eth_dev_set_mtu(ethdev, static_cast<std::uint16_t>(options.mtu)); error != 0 && error != -ENOTSUP) {
    if (options.mtu != mtu_ethernet) return refused(device, fmt::format("set an MTU of {}", options.mtu).c_str(), error);
  }
  if (const int error = rte_eth_dev_start(ethdev); error != 0) return refused(device, "start", error);
  return receive_descriptors;
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

void close_ethdev(std::uint16_t ethdev) {
  rte_eth_dev_info info{};
  const bool has_info = rte_eth_dev_info_get(ethdev, &info) == 0;
  rte_device* const device = has_info ? info.device : nullptr;
  (void)rte_eth_dev_stop(ethdev);
  (void)rte_eth_dev_close(ethdev);
  if (device != nullptr) (void)rte_dev_remove(device);
}

Result<std::unique_ptr<DpdkPort>> DpdkPort::open(const DpdkPortOptions& options) {
  if (const auto checked = check_options(options); !checked) return std::unexpected(checked.error());
  auto pool = PacketPool::make(options.packets, options.mtu);
  if (!pool) return std::unexpected(pool.error());
  const auto ethdev = attach_ethdev(options);
  if (!ethdev) return std::unexpected(ethdev.error());
  auto port = open_ethdev(*ethdev, options, **pool);
  if (port) (*port)->own_pool_ = std::move(*pool);
  return port;
}

Result<std::unique_ptr<DpdkPort>> DpdkPort::open_ethdev(std::uint16_t ethdev, const DpdkPortOptions& options, PacketPool& pool) {
  if (const auto checked = check_options(options); !checked) return std::unexpected(checked.error());
  if (options.mtu > pool.mtu()) {
    return fail(fmt::format("{}: an MTU of {} needs larger buffers than its pool has", options.device, options.mtu));
  }
  rte_eth_dev_info info{};
  rte_ether_addr mac{};
  if (const int error = rte_eth_dev_info_get(ethdev, &info); error != 0) {
    return refused(options.device, "ask what it can do", error);
  }
  const rte_eth_conf configuration = configuration_for(options, info);
  const auto receive_descriptors = configure(ethdev, options, pool, configuration);
  if (!receive_descriptors) {
    close_ethdev(ethdev);
    return std::unexpected(receive_descriptors.error());
  }
  (void)rte_eth_macaddr_get(ethdev, &mac);
  Setup setup;
  setup.receive_descriptors = *receive_descriptors;
  std::copy_n(mac.addr_bytes, setup.mac.size(), setup.mac.begin());
  setup.point_to_point = is_point_to_point(options);
  if (setup.point_to_point) {
    setup.hears_hangup = hears_hangup(options.device);
    setup.checksum = UdpChecksum::none;
  } else if ((configuration.txmode.offloads & RTE_ETH_TX_OFFLOAD_UDP_CKSUM) != 0) {
    setup.checksum = UdpChecksum::pseudo_header;
    setup.transmit_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_UDP_CKSUM;
  }
  return std::unique_ptr<DpdkPort>(new DpdkPort(ethdev, options, pool, setup));
}

}  // namespace synod::dataplane
