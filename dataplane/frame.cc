#include "dataplane/frame.h"

#include <algorithm>

#include "base/check.h"

namespace synod::dataplane {

namespace {

constexpr std::uint16_t type_ipv4 = 0x0800;
constexpr std::uint16_t type_arp = 0x0806;
constexpr std::uint8_t protocol_icmp = 1;
constexpr std::uint8_t protocol_udp = 17;
constexpr std::size_t ip_at = ethernet_header_bytes;
constexpr std::size_t udp_at = ip_at + 20;
constexpr std::size_t arp_bytes = ethernet_header_bytes + 28;

std::uint16_t get_u16(Bytes bytes, std::size_t at) {
  return __builtin_bswap16(load<std::uint16_t>(bytes.subspan(at)));
}
std::uint32_t get_u32(Bytes bytes, std::size_t at) {
  return __builtin_bswap32(load<std::uint32_t>(bytes.subspan(at)));
}
std::uint8_t get_u8(Bytes bytes, std::size_t at) {
  return static_cast<std::uint8_t>(bytes[at]);
}
void put_u8(MutableBytes bytes, std::size_t at, std::uint8_t value) {
  bytes[at] = static_cast<std::byte>(value);
}
void put_u16(MutableBytes bytes, std::size_t at, std::size_t value) {
  store(bytes.subspan(at), __builtin_bswap16(static_cast<std::uint16_t>(value)));
}
void put_u32(MutableBytes bytes, std::size_t at, std::uint32_t value) {
  store(bytes.subspan(at), __builtin_bswap32(value));
}
void put_mac(MutableBytes bytes, std::size_t at, const Mac& mac) {
  store(bytes.subspan(at), mac);
}

std::uint32_t halves(std::uint32_t address) {
  return (address >> 16) + (address & 0xFFFF);
}

// The sum of big-endian 16-bit words, summed in native order (RFC 1071: the order of bytes does not matter) and swapped back.
std::uint32_t sum_of(Bytes bytes) {
  std::uint64_t sum = 0;
  for (; bytes.size() >= 4; bytes = bytes.subspan(4)) sum += load<std::uint32_t>(bytes);
  if (bytes.size() >= 2) {
    sum += load<std::uint16_t>(bytes);
    bytes = bytes.subspan(2);
  }
  if (!bytes.empty()) sum += static_cast<std::uint8_t>(bytes[0]);
  while (sum > 0xFFFF) sum = (sum & 0xFFFF) + (sum >> 16);
  return __builtin_bswap16(static_cast<std::uint16_t>(sum));
}

std::uint16_t fold(std::uint32_t sum) {
  while (sum > 0xFFFF) sum = (sum & 0xFFFF) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

std::uint16_t checksum_of(std::uint32_t sum) {
  return static_cast<std::uint16_t>(~fold(sum));
}

std::expected<Frame, FrameFault> parse_arp(Bytes frame, std::uint32_t local) {
  if (frame.size() < arp_bytes) return std::unexpected(FrameFault::too_short);
  // Ethernet and IPv4, six and four bytes long.
  if (get_u32(frame, 14) != 0x00010800 || get_u16(frame, 18) != 0x0604) return std::unexpected(FrameFault::not_ip);
  const std::uint16_t operation = get_u16(frame, 20);
  if (get_u32(frame, 38) != local || operation == 0 || operation > 2) return std::unexpected(FrameFault::not_ours);
  const FrameKind kind = operation == 1 ? FrameKind::arp_request : FrameKind::arp_reply;
  return Frame{kind, {}, Endpoint{get_u32(frame, 28), 0}, load<Mac>(frame.subspan(22))};
}

void write_arp(MutableBytes out, std::uint16_t operation, const Mac& source, std::uint32_t local, const Mac& target,
               std::uint32_t target_address) {
  std::fill_n(out.begin(), arp_frame_bytes, std::byte{0});
  put_mac(out, 6, source);
  put_u16(out, 12, type_arp);
  put_u32(out, 14, 0x00010800);
  put_u16(out, 18, 0x0604);
  put_u16(out, 20, operation);
  put_mac(out, 22, source);
  put_u32(out, 28, local);
  put_mac(out, 32, target);
  put_u32(out, 38, target_address);
}

}  // namespace

FrameWriter::FrameWriter(const Mac& source, Endpoint local, UdpChecksum checksum) : checksum_(checksum) {
  const MutableBytes frame(headers_);
  put_mac(frame, 6, source);
  put_u16(frame, 12, type_ipv4);
  put_u16(frame, 14, 0x4500);
  put_u16(frame, 20, 0x4000);  // do not fragment
  put_u8(frame, 22, 64);
  put_u8(frame, 23, protocol_udp);
  put_u32(frame, 26, local.address);
  put_u16(frame, 34, local.port);
  ip_sum_ = sum_of(frame.subspan(ip_at, 20));
}

void FrameWriter::write(MutableBytes frame, const Mac& destination, Endpoint to, Bytes tail) const {
  CHECK(tail.empty() || frame.size() % 2 == 0);
  const auto ip_bytes = static_cast<std::uint32_t>(frame.size() + tail.size() - ip_at);
  const auto udp_bytes = static_cast<std::uint32_t>(frame.size() + tail.size() - udp_at);
  copy(frame, headers_);
  put_mac(frame, 0, destination);
  put_u16(frame, 16, ip_bytes);
  put_u16(frame, 24, checksum_of(ip_sum_ + ip_bytes + halves(to.address)));
  put_u32(frame, 30, to.address);
  put_u16(frame, 36, to.port);
  put_u16(frame, 38, udp_bytes);
  if (checksum_ == UdpChecksum::none) return;
  const std::uint32_t pseudo = sum_of(frame.subspan(26, 8)) + protocol_udp + udp_bytes;
  if (checksum_ == UdpChecksum::pseudo_header) {
    put_u16(frame, 40, fold(pseudo));
    return;
  }
  const std::uint16_t checksum = checksum_of(pseudo + sum_of(frame.subspan(udp_at)) + sum_of(tail));
  put_u16(frame, 40, checksum == 0 ? 0xFFFF : checksum);  // zero would say "none"
}

const char* name(FrameFault fault) {
  switch (fault) {
    case FrameFault::too_short: return "too_short";
    case FrameFault::not_ip: return "not_ip";
    case FrameFault::bad_length: return "bad_length";
    case FrameFault::bad_checksum: return "bad_checksum";
    case FrameFault::not_ours: return "not_ours";
    case FrameFault::fragmented: return "fragmented";
    case FrameFault::not_udp: return "not_udp";
    case FrameFault::count_: break;
  }
  return "unknown";
}

std::expected<Frame, FrameFault> parse_frame(Bytes frame, Endpoint local) {
  if (frame.size() < ip_at + 20) return std::unexpected(FrameFault::too_short);
  const std::uint16_t type = get_u16(frame, 12);
  if (type == type_arp) return parse_arp(frame, local.address);
  const std::uint8_t version_and_length = get_u8(frame, ip_at);
  if (type != type_ipv4 || version_and_length >> 4 != 4) return std::unexpected(FrameFault::not_ip);
  const std::size_t header_bytes = (version_and_length & 0xFU) * std::size_t{4};
  const std::size_t ip_bytes = get_u16(frame, ip_at + 2);
  // The frame may be padded behind the datagram, never shorter.
  if (header_bytes < 20 || ip_bytes < header_bytes + 8 || ip_at + ip_bytes > frame.size()) {
    return std::unexpected(FrameFault::bad_length);
  }
  if (get_u32(frame, ip_at + 16) != local.address) return std::unexpected(FrameFault::not_ours);
  if (sum_of(frame.subspan(ip_at, header_bytes)) != 0xFFFF) return std::unexpected(FrameFault::bad_checksum);
  if ((get_u16(frame, ip_at + 6) & 0xBFFF) != 0) return std::unexpected(FrameFault::fragmented);
  const std::uint8_t protocol = get_u8(frame, ip_at + 9);
  const Bytes datagram = frame.subspan(ip_at + header_bytes, ip_bytes - header_bytes);
  Frame result{FrameKind::udp, {}, Endpoint{get_u32(frame, ip_at + 12), 0}, load<Mac>(frame.subspan(6))};
  if (protocol == protocol_icmp && get_u16(datagram, 0) == 0x0800) {
    if (sum_of(datagram) != 0xFFFF) return std::unexpected(FrameFault::bad_checksum);
    result.kind = FrameKind::echo_request;
    return result;
  }
  if (protocol != protocol_udp) return std::unexpected(FrameFault::not_udp);
  const std::size_t udp_bytes = get_u16(datagram, 4);
  if (udp_bytes < 8 || udp_bytes > datagram.size()) return std::unexpected(FrameFault::bad_length);
  if (get_u16(datagram, 2) != local.port) return std::unexpected(FrameFault::not_ours);
  result.from.port = get_u16(datagram, 0);
  result.payload = datagram.subspan(8, udp_bytes - 8);
  return result;
}

std::size_t write_arp_request(MutableBytes out, const Mac& source, std::uint32_t local, std::uint32_t wanted) {
  write_arp(out, 1, source, local, Mac{}, wanted);
  put_mac(out, 0, broadcast_mac);
  return arp_frame_bytes;
}

std::size_t write_arp_reply(MutableBytes out, const Mac& source, std::uint32_t local, const Mac& asker,
                            std::uint32_t asker_address) {
  write_arp(out, 2, source, local, asker, asker_address);
  put_mac(out, 0, asker);
  return arp_frame_bytes;
}

std::size_t write_echo_reply(MutableBytes out, Bytes request, const Mac& source) {
  const std::size_t header_bytes = (get_u8(request, ip_at) & 0xFU) * std::size_t{4};
  const std::size_t bytes = ip_at + get_u16(request, ip_at + 2);
  const MutableBytes reply = out.first(bytes);
  copy(reply, request.first(bytes));
  put_mac(reply, 0, load<Mac>(request.subspan(6)));
  put_mac(reply, 6, source);
  put_u32(reply, ip_at + 12, get_u32(request, ip_at + 16));
  put_u32(reply, ip_at + 16, get_u32(request, ip_at + 12));
  put_u8(reply, ip_at + 8, 64);
  put_u16(reply, ip_at + 10, 0);
  put_u16(reply, ip_at + 10, checksum_of(sum_of(reply.subspan(ip_at, header_bytes))));
  const MutableBytes icmp = reply.subspan(ip_at + header_bytes);
  put_u16(icmp, 0, 0);
  put_u16(icmp, 2, 0);
  put_u16(icmp, 2, checksum_of(sum_of(icmp)));
  return bytes;
}

}  // namespace synod::dataplane
