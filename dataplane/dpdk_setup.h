// The control part of a DPDK port: finding, configuring, starting and closing its ethdev. No other layer includes this.
#pragma once

#include <cstdint>
#include <string>

#include "dataplane/dpdk_port.h"

namespace synod::dataplane {

// What configuring an ethdev found out.
struct DpdkPort::Setup {
  Mac mac{};
  bool point_to_point = false;
  bool hears_hangup = false;  // the link of the one peer goes down when its process dies
  UdpChecksum checksum = UdpChecksum::software;
  std::uint64_t transmit_flags = 0;
  std::uint16_t receive_descriptors = 0;
};

// Attaches the device that `options` names, if it is not there already. May block.
[[nodiscard]] Result<std::uint16_t> attach_ethdev(const DpdkPortOptions& options);
[[nodiscard]] Result<> check_options(const DpdkPortOptions& options);

// Stops and closes it, and detaches its device.
void close_ethdev(std::uint16_t ethdev);

}  // namespace synod::dataplane
