// Ethernet, IPv4 and UDP around a payload; ARP and ping. Pure functions on bytes, no device and no DPDK type.
//
// Writing: the IPv4 header checksum is always right. Reading is a gateway: bytes from a port are hostile until parse_frame has
// returned a frame, and what it refuses has a reason. The UDP checksum is not verified: a kernel peer on a virtual link leaves
// it to a device that is not there, and the CRC32C of every packet covers more. Frames with a VLAN tag are not taken.
// Sources: RFC 791, 768, 826, 792, 6864 (an atomic datagram needs no identification).
#pragma once

#include <array>
#include <cstdint>
#include <expected>

#include "base/bytes.h"
#include "dataplane/port.h"

namespace synod::dataplane {

using Mac = std::array<std::uint8_t, 6>;
inline constexpr Mac broadcast_mac{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};

inline constexpr std::size_t ethernet_header_bytes = 14;
inline constexpr std::size_t frame_header_bytes = ethernet_header_bytes + 20 + 8;  // Ethernet, IPv4, UDP
inline constexpr std::size_t arp_frame_bytes = 60;                                 // padded to the least that Ethernet takes
inline constexpr std::size_t ip_udp_header_bytes = 28;

enum class UdpChecksum : std::uint8_t {
  none,           // zero: the link cannot corrupt (memory)
  software,       // the default on a network: some clouds drop zero checksums
  pseudo_header,  // the device completes it
};

// Writes the headers of everything that one port sends; most of them never change.
class FrameWriter {
 public:
  FrameWriter() = default;
  FrameWriter(const Mac& source, Endpoint local, UdpChecksum checksum);

  // `frame` is the headers' room and the payload behind it, which is there already; the payload may end in a buffer of its own,
  // `tail`. Then what lies in `frame` is of an even length.
  void write(MutableBytes frame, const Mac& destination, Endpoint to, Bytes tail = {}) const;

 private:
  std::array<std::byte, frame_header_bytes> headers_{};
  std::uint32_t ip_sum_ = 0;  // of the fields that never change
  UdpChecksum checksum_ = UdpChecksum::none;
};

enum class FrameFault : std::uint8_t { too_short, not_ip, bad_length, bad_checksum, not_ours, fragmented, not_udp, count_ };

[[nodiscard]] const char* name(FrameFault fault);

enum class FrameKind : std::uint8_t { udp, echo_request, arp_request, arp_reply };

struct Frame {
  FrameKind kind{};
  Bytes payload;  // of UDP
  Endpoint from;  // the address of an ARP's sender
  Mac source{};
};

// A frame for `local`: UDP to its address and port, a ping, an ARP request for its address or a reply.
[[nodiscard]] std::expected<Frame, FrameFault> parse_frame(Bytes frame, Endpoint local);

// Each writes a whole frame and returns its length. `out` holds at least arp_frame_bytes.
std::size_t write_arp_request(MutableBytes out, const Mac& source, std::uint32_t local, std::uint32_t wanted);
std::size_t write_arp_reply(MutableBytes out, const Mac& source, std::uint32_t local, const Mac& asker,
                            std::uint32_t asker_address);
// `request` was parsed as an echo_request; `out` is at least as long.
std::size_t write_echo_reply(MutableBytes out, Bytes request, const Mac& source);

}  // namespace synod::dataplane
