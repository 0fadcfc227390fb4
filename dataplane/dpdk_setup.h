// The control part of a DPDK port: finding, configuring, starting and closing its ethdev. No other layer includes this.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/dpdk_port.h"

namespace synod::dataplane {

// From how many bytes on a segment that packets share is cheaper than a copy in each (messenger_bench, send_to_each_nic).
inline constexpr std::size_t shared_bytes_min = 4096;

// A device that runs, and what its ports share. They end before it does.
struct DpdkPort::Ethdev {
  explicit Ethdev(std::uint16_t ethdev) : number(ethdev) {}
  ~Ethdev();  // stops and closes it, and detaches its device
  Ethdev(const Ethdev&) = delete;
  Ethdev& operator=(const Ethdev&) = delete;

  // Begins to stop and start it (memif). Nobody may poll it until `is_restarting` is false, and then only if it `runs`. One
  // thread.
  void restart();
  [[nodiscard]] bool is_restarting() const { return is_restarting_.load(std::memory_order_acquire); }
  [[nodiscard]] bool runs() const { return runs_; }

  std::uint16_t number;
  std::vector<std::unique_ptr<PacketPool>> pools;  // of each queue, if they are ours
  std::vector<rte_ring*> inboxes;                  // of each queue, if there are several
  bool is_memif = false;

 private:
  static void restart_now(void* self);
  static void close_now(void* self);

  bool runs_ = true;
  std::atomic<bool> is_restarting_ = false;
  std::atomic<bool> is_closed_ = false;
};

// What configuring an ethdev found out.
struct DpdkPort::Setup {
  Mac mac{};
  bool point_to_point = false;
  bool hears_hangup = false;  // the link of the one peer goes down when its process dies
  bool connects = false;      // and only we can bring it up again
  UdpChecksum checksum = UdpChecksum::software;
  std::uint64_t transmit_flags = 0;
  bool shares_bodies = false;  // packets of two segments, the second in several of them
  std::uint16_t receive_descriptors = 0;
};

// Attaches the device that `options` names, if it is not there already. May block.
[[nodiscard]] Result<std::uint16_t> attach_ethdev(const DpdkPortOptions& options);
[[nodiscard]] Result<> check_options(const DpdkPortOptions& options);

}  // namespace synod::dataplane
