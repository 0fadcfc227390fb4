#include "dataplane/messenger.h"

#include <algorithm>

#include "base/crc32c.h"
#include "wire/limits.h"

namespace synod::dataplane {

namespace {

constexpr std::size_t header_bytes = sizeof(wire::PacketHeader);
constexpr std::size_t port_payload_bytes_min = header_bytes + (message_bytes_max + fragments_max - 1) / fragments_max;

// Copies [from, from + to.size()) of head followed by body.
void copy_piece(MutableBytes to, std::size_t from, Bytes head, Bytes body) {
  if (from < head.size()) {
    const Bytes part = head.subspan(from, std::min(to.size(), head.size() - from));
    copy(to, part);
    to = to.subspan(part.size());
    from += part.size();
  }
  if (!to.empty()) copy(to, body.subspan(from - head.size(), to.size()));
}

}  // namespace

std::uint64_t MessengerCounters::dropped_total() const {
  std::uint64_t total = 0;
  for (const std::uint64_t count : dropped) total += count;
  return total;
}

Messenger::Messenger(const LocalIdentity& local, const MessengerLimits& limits)
    : local_(local), ports_max_(limits.ports_max), reassembler_(limits.reassemblies_max, limits.reassemblies_per_sender) {
  CHECK_LE(ports_max_, 256U);
  ports_.reserve(ports_max_);
}

std::uint8_t Messenger::add_port(PortRef port) {
  CHECK_LT(ports_.size(), ports_max_);
  CHECK_GE(port.payload_bytes_max(), port_payload_bytes_min);
  ports_.push_back({port, port.payload_bytes_max() - header_bytes, port.waiting_max()});
  return static_cast<std::uint8_t>(ports_.size() - 1);
}

std::size_t Messenger::ports() const {
  return ports_.size();
}

bool Messenger::send(const Route& to, const wire::PacketHeader& asked, Bytes head, Bytes body,
                     std::optional<Checksum> body_checksum) {
  CHECK_LT(to.port, ports_.size());
  const std::size_t bytes = head.size() + body.size();
  CHECK_LE(bytes, message_bytes_max);
  PortEntry& port = ports_[to.port];
  const std::size_t count = std::max<std::size_t>(1, (bytes + port.piece_bytes - 1) / port.piece_bytes);
  wire::PacketHeader header = asked;
  header.fragments = static_cast<std::uint16_t>(count);
  header.message_bytes = static_cast<std::uint32_t>(bytes);
  header.cluster = local_.cluster;
  header.group = local_.group;
  header.source = local_.self;
  header.incarnation = local_.incarnation;
  if (header.message_id == 0) header.message_id = fresh_message_id();
  // A queue on the way that is shorter than the message would lose the same tail at every attempt; so each attempt begins at
  // another fragment. (The step is odd and near the golden section, which spreads the beginnings.)
  const std::uint64_t first = count == 1 ? 0 : (first_fragment_ += 0x9E3779B9) % count;
  for (std::size_t i = 0; i < count; ++i) {
    header.fragment = static_cast<std::uint16_t>(first + i < count ? first + i : first + i - count);
    if (!send_piece(port, to.endpoint, header, head, body, body_checksum)) {
      ++counters_.send_dropped;
      return false;
    }
  }
  ++counters_.messages_sent;
  return true;
}

bool Messenger::send_piece(PortEntry& port, Endpoint to, wire::PacketHeader& header, Bytes head, Bytes body,
                           std::optional<Checksum> body_checksum) {
  const MutableBytes packet = port.ref.reserve();
  if (packet.empty()) return false;
  header.fragment_offset = static_cast<std::uint32_t>(header.fragment * port.piece_bytes);
  const std::size_t length = std::min(port.piece_bytes, std::size_t{header.message_bytes} - header.fragment_offset);
  const MutableBytes payload = packet.subspan(header_bytes, length);
  copy_piece(payload, header.fragment_offset, head, body);
  // Sealed in place: wire::seal would copy the header twice, and a wide load of fields that were just stored one by one stalls.
  header.payload_checksum =
      body_checksum && header.fragments == 1 ? crc32c_joined(crc32c(head), body_checksum->value(), body.size()) : crc32c(payload);
  header.header_checksum = 0;
  header.header_checksum = crc32c(bytes_of(header));
  store(packet, header);
  port.ref.send(to, header_bytes + length);
  has_sent_ = true;
  ++counters_.packets_sent;
  return true;
}

void Messenger::note_refusal(const Route& route) {
  if (!refused_.full() && std::ranges::find(refused_, route) == refused_.end()) refused_.push_back(route);
}

bool Messenger::accept_packet(std::uint8_t port, const Packet& packet) {
  if (packet.is_refusal()) [[unlikely]]
    return note_refusal({port, packet.from}), false;
  ++counters_.packets_received;
  const auto view = wire::decode_packet(packet.payload);
  if (!view) return drop(view.error()), false;
  const wire::PacketHeader& header = view->header;
  if (header.cluster != local_.cluster) return drop(wire::PacketFault::other_cluster), false;
  if (header.group != local_.group) return drop(wire::PacketFault::other_group), false;
  if (header.destination != local_.self) return drop(wire::PacketFault::other_destination), false;
  // Source 0 is a client: it speaks to replicas only, and only its own messages.
  const bool from_client = header.source == ReplicaId(0);
  const bool client_here = local_.self == ReplicaId(0);
  const bool client_message = wire::is_client_message(header.type);
  if ((from_client && client_here) || ((from_client || client_here) && !client_message)) {
    return drop(wire::PacketFault::bad_type), false;
  }
  message_.from = {port, packet.from};
  if (header.fragments == 1) {
    message_.header = header;
    message_.payload = view->payload;
  } else {
    const auto piece = piece_bytes(header, view->payload);
    if (!piece) return drop(wire::PacketFault::bad_fragment), false;
    const auto whole = reassembler_.add(header, view->payload, *piece);
    counters_.reassemblies_evicted = reassembler_.evicted();
    if (!whole) return false;
    message_.header = whole->header;
    message_.payload = whole->payload;
  }
  ++counters_.messages_received;
  return true;
}

void Messenger::flush() {
  if (!std::exchange(has_sent_, false)) return;
  for (PortEntry& port : ports_) port.ref.flush();
}

}  // namespace synod::dataplane
