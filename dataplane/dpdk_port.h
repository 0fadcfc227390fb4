// A port on any DPDK ethdev: a receive and a transmit queue of it, Ethernet/IPv4/UDP frames, ARP and ping answered.
//
// The EAL runs (dataplane/eal.h). `open` may block (a virtio-user server waits for its peer): do that on a control thread and
// hand the finished port to the polling thread (dataplane/attach.h). Afterwards: one thread, no heap, no system call of ours.
// Sent buffers belong to the device, and on a ring link to the receiver: they are never written again; received ones are never
// written. On a NIC with jumbo packets what goes to several peers is one buffer, the second segment of a packet to each. A link
// that goes down loses packets, counted, until it is up again; that of a memif client is asked for again. A NIC may carry several
// ports, a queue each, that threads of their own poll (open_queues): RSS brings each what goes to its UDP port
// (dataplane/steering.h). They share the NIC's address, and what ARP answers, which comes to one queue: that one passes it on. On
// a network the port has an address of its own, which the kernel's interface beneath it (af_packet, af_xdp) must not have.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "dataplane/frame.h"
#include "dataplane/neighbours.h"
#include "dataplane/port.h"

struct rte_mbuf;
struct rte_mempool;
struct rte_ring;

namespace synod::dataplane {

inline constexpr std::size_t mtu_ethernet = 1500;
inline constexpr std::size_t mtu_jumbo = 9000;

// The packet buffers of one port, or of several that share them. Any thread may take and give. Outlives its ports.
class PacketPool {
 public:
  [[nodiscard]] static Result<std::unique_ptr<PacketPool>> make(std::size_t packets, std::size_t mtu);
  ~PacketPool();
  PacketPool(const PacketPool&) = delete;
  PacketPool& operator=(const PacketPool&) = delete;

  [[nodiscard]] rte_mempool* get() const { return pool_; }
  [[nodiscard]] std::size_t mtu() const { return mtu_; }
  [[nodiscard]] std::size_t in_use() const;  // buffers that a port or a device holds; slow, for tests and metrics

 private:
  PacketPool(rte_mempool* pool, std::size_t mtu) : pool_(pool), mtu_(mtu) {}
  rte_mempool* pool_;
  std::size_t mtu_;
};

struct DpdkPortOptions {
  // A DPDK device string: "net_af_packet0,iface=veth0", "0000:01:00.0" (named to start_eal too), "net_tap0", ...
  std::string device;
  Endpoint local;
  unsigned prefix_bits = 24;       // of the subnet whose neighbours are reached directly
  std::uint32_t gateway = 0;       // 0: none
  std::size_t mtu = mtu_ethernet;  // up to mtu_jumbo where the device takes it
  // Nobody but one peer at the other end: no ARP, no UDP checksum. Unset: true for vhost, memif and ring devices.
  std::optional<bool> point_to_point;
  // Packets to several peers share one body, as their second segment, where the device gathers segments and packets are jumbo.
  // Unset: if the device completes UDP checksums as well (a port that has to read the body for each gains nothing) and is not
  // point to point.
  std::optional<bool> share_bodies;
  std::size_t packets = 4096;        // buffers of each port, if it makes a pool of its own
  std::uint16_t descriptors = 1024;  // of each queue; the device may choose fewer
};

class DpdkPort {
 public:
  [[nodiscard]] static Result<std::unique_ptr<DpdkPort>> open(const DpdkPortOptions& options);
  // As many ports on one NIC; `options` are the first's, the others have the UDP ports behind its own. Each may be polled by a
  // thread of its own; the last one closes the NIC.
  [[nodiscard]] static Result<std::vector<std::unique_ptr<DpdkPort>>> open_queues(const DpdkPortOptions& options,
                                                                                  std::uint16_t count);
  // On an ethdev that exists (ring links), with buffers from `pool`, which outlives the port. Closing closes the ethdev.
  [[nodiscard]] static Result<std::unique_ptr<DpdkPort>> open_ethdev(std::uint16_t ethdev, const DpdkPortOptions& options,
                                                                     PacketPool& pool);
  ~DpdkPort();
  DpdkPort(const DpdkPort&) = delete;
  DpdkPort& operator=(const DpdkPort&) = delete;

  [[nodiscard]] Endpoint local() const { return local_; }
  [[nodiscard]] const std::string& device() const { return device_; }
  // For whoever measures the bare device: as DPDK knows it, and where its buffers come from.
  [[nodiscard]] std::uint16_t ethdev() const { return ethdev_; }
  [[nodiscard]] std::uint16_t queue() const { return queue_; }
  [[nodiscard]] rte_mempool* pool() const { return pool_; }
  [[nodiscard]] std::uint64_t frame_faults(FrameFault fault) const { return faults_[static_cast<std::size_t>(fault)]; }
  // True if the device completes UDP checksums, so that sending does not read the payload again.
  [[nodiscard]] bool completes_checksums() const { return transmit_flags_ != 0; }
  // Control thread or polling thread.
  [[nodiscard]] bool link_is_up() const;

  // The members of a port (see dataplane/port.h).
  std::size_t receive(std::span<Packet> out);
  MutableBytes reserve();
  void send(Endpoint to, std::size_t bytes);
  bool send_sharing(Endpoint to, std::size_t bytes);
  void flush();
  [[nodiscard]] std::size_t payload_bytes_max() const { return payload_bytes_max_; }
  [[nodiscard]] std::size_t waiting_max() const { return waiting_max_; }
  [[nodiscard]] PortCounters counters() const { return counters_; }

 private:
  struct Ethdev;
  struct Setup;

  DpdkPort(std::shared_ptr<Ethdev> device, std::uint16_t queue, const DpdkPortOptions& options, PacketPool& pool,
           const Setup& setup);
  // A port for each pool.
  static Result<std::vector<std::unique_ptr<DpdkPort>>> start(const std::shared_ptr<Ethdev>& device,
                                                              const DpdkPortOptions& options,
                                                              const std::vector<PacketPool*>& pools);

  // True if `packet` is a payload for the layer above; answers ARP and ping itself.
  bool accept_frame(rte_mbuf* buffer, Packet& packet);
  void answer(const Frame& frame, Bytes bytes);
  // An answer of ARP, to the ports of the other queues.
  void pass_on(rte_mbuf* buffer);
  void learn(std::uint32_t address, const Mac& mac);
  [[nodiscard]] bool on_link(std::uint32_t address) const { return ((address ^ local_.address) & subnet_mask_) == 0; }
  // The Ethernet address for `to`, or null if it is not known (yet).
  [[nodiscard]] const Mac* next_hop(std::uint32_t to);
  void ask_for(std::uint32_t address);
  // Queues a frame that was built here, outside the reserve and send of the layer above.
  template <class Write>
  void send_frame(std::size_t bytes_max, Write write);
  // What is left to do for a packet in the reserved buffer, whose payload's first bytes are there and whose others in `tail`.
  rte_mbuf* take_reserved(const Mac& destination, Endpoint to, std::size_t bytes, Bytes tail);
  void queue(rte_mbuf* buffer);

  std::size_t look_at_link(std::span<Packet> out);
  void connect_again();

  std::shared_ptr<Ethdev> shared_;  // with the ports of its other queues
  std::uint16_t ethdev_;
  std::uint16_t queue_;
  rte_ring* inbox_;  // what the others pass on; null if there are none
  bool point_to_point_;
  bool hears_hangup_;
  bool connects_;
  bool is_stopped_ = false;        // joining again, or nobody was there
  std::uint64_t connect_next_ns_;  // not before
  bool has_sent_ = false;          // since the link was looked at; where hangups are heard
  Endpoint peer_;                  // that it was sent to
  Endpoint local_;
  std::uint32_t subnet_mask_;
  std::uint32_t gateway_;
  std::size_t payload_bytes_max_;
  std::size_t waiting_max_;
  std::uint64_t transmit_flags_;  // of each mbuf: what the device is to complete
  rte_mempool* pool_;
  std::string device_;
  Mac mac_;
  FrameWriter writer_;
  Neighbours neighbours_;
  PortCounters counters_;
  std::array<std::uint64_t, static_cast<std::size_t>(FrameFault::count_)> faults_{};
  bool shares_bodies_;
  rte_mbuf* reserved_ = nullptr;
  rte_mbuf* last_ = nullptr;  // of queued_, the last one of a single segment; null if it did not go that way
  std::size_t received_count_ = 0;
  std::size_t queued_count_ = 0;
  std::array<rte_mbuf*, burst_packets_max> received_{};  // freed at the next receive
  std::array<rte_mbuf*, burst_packets_max> queued_{};
};

}  // namespace synod::dataplane
