#include "dataplane/messenger.h"

#include <algorithm>
#include <bit>

#include "base/crc32c.h"
#include "wire/limits.h"

namespace synod::dataplane {

namespace {

constexpr std::size_t header_bytes = sizeof(wire::PacketHeader);
constexpr std::size_t port_payload_bytes_min = header_bytes + (message_bytes_max + fragments_max - 1) / fragments_max;

constexpr std::size_t pieces_of(std::size_t bytes, std::size_t piece_bytes) {
  return std::max<std::size_t>(1, (bytes + piece_bytes - 1) / piece_bytes);
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
  const Destination destination{to, asked.destination};
  return send_together({&destination, 1}, asked, head, body, body_checksum) == 1;
}

std::size_t Messenger::send_to_each(std::span<const Destination> to, const wire::PacketHeader& asked, Bytes head, Bytes body,
                                    std::optional<Checksum> body_checksum) {
  CHECK_LE(to.size(), destinations_max);
  if (is_one_burst(to, head.size() + body.size())) return send_together(to, asked, head, body, body_checksum);
  std::size_t reached = 0;
  for (std::size_t i = 0; i < to.size(); ++i) reached += send_together(to.subspan(i, 1), asked, head, body, body_checksum);
  return reached;
}

std::size_t Messenger::send_together(std::span<const Destination> to, const wire::PacketHeader& asked, Bytes head, Bytes body,
                                     std::optional<Checksum> body_checksum) {
  const std::size_t bytes = head.size() + body.size();
  CHECK_LE(bytes, message_bytes_max);
  CHECK_LT(to.front().route.port, ports_.size());
  const std::size_t piece_bytes = ports_[to.front().route.port].piece_bytes;
  const std::size_t count = pieces_of(bytes, piece_bytes);
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
  Places left = (Places{1} << to.size()) - 1;
  for (std::size_t i = 0; i < count && left != 0; ++i) {
    const std::size_t fragment = first + i < count ? first + i : first + i - count;
    const std::size_t from = fragment * piece_bytes;
    const std::size_t until = std::min(from + piece_bytes, bytes);
    const std::size_t head_from = std::min(from, head.size());
    const std::size_t head_until = std::min(until, head.size());
    const std::size_t body_from = from - head_from;
    const Piece piece{head.subspan(head_from, head_until - head_from), body.subspan(body_from, until - head_until - body_from)};
    header.fragment = static_cast<std::uint16_t>(fragment);
    header.fragment_offset = static_cast<std::uint32_t>(from);
    header.payload_checksum = body_checksum && count == 1 ? crc32c_joined(crc32c(head), body_checksum->value(), body.size())
                                                          : crc32c(piece.body, crc32c(piece.head));
    left = send_piece(to, left, header, piece);
  }
  const auto reached = static_cast<std::size_t>(std::popcount(left));
  counters_.messages_sent += reached;
  counters_.send_dropped += to.size() - reached;
  return reached;
}

bool Messenger::is_one_burst(std::span<const Destination> to, std::size_t bytes) const {
  if (to.empty()) return false;
  const auto piece_bytes = [&](const Destination& destination) {
    CHECK_LT(destination.route.port, ports_.size());
    return ports_[destination.route.port].piece_bytes;
  };
  const std::size_t first = piece_bytes(to.front());
  return pieces_of(bytes, first) * to.size() <= burst_packets_max &&
         std::ranges::all_of(to, [&](const Destination& destination) { return piece_bytes(destination) == first; });
}

Messenger::Places Messenger::send_piece(std::span<const Destination> to, Places left, wire::PacketHeader& header,
                                        const Piece& piece) {
  // Of many packets to two, a second copy is cheaper than second segments (docs/BENCHMARKS.md).
  const bool may_share = header.fragments == 1 || to.size() > 2;
  Places sent = 0;
  const auto has_sent = [&](std::uint8_t port) {
    for (Places before = sent; before != 0; before &= before - 1) {
      if (to[static_cast<std::size_t>(std::countr_zero(before))].route.port == port) return true;
    }
    return false;
  };
  for (; left != 0; left &= left - 1) {
    const auto place = static_cast<std::size_t>(std::countr_zero(left));
    const Route& route = to[place].route;
    header.destination = to[place].replica;
    // Sealed in place: wire::seal would copy the header twice, and a wide load of fields that were just stored one by one stalls.
    header.header_checksum = 0;
    header.header_checksum = crc32c(bytes_of(header));
    if (send_packet(route, header, piece, may_share && has_sent(route.port))) sent |= Places{1} << place;
  }
  return sent;
}

bool Messenger::send_packet(const Route& to, const wire::PacketHeader& header, const Piece& piece, bool may_share) {
  PortRef& port = ports_[to.port].ref;
  const MutableBytes packet = port.reserve();
  if (packet.empty()) return false;
  has_sent_ = true;
  ++counters_.packets_sent;
  const std::size_t own_bytes = header_bytes + piece.head.size();
  store(packet, header);
  copy(packet.subspan(header_bytes), piece.head);
  if (may_share && port.send_sharing(to.endpoint, own_bytes)) return true;
  copy(packet.subspan(own_bytes), piece.body);
  port.send(to.endpoint, own_bytes + piece.body.size());
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
    message_.checksum = Checksum(header.payload_checksum);
  } else {
    const auto piece = piece_bytes(header, view->payload);
    if (!piece) return drop(wire::PacketFault::bad_fragment), false;
    const auto whole = reassembler_.add(header, view->payload, *piece);
    counters_.reassemblies_evicted = reassembler_.evicted();
    if (!whole) return false;
    message_.header = whole->header;
    message_.payload = whole->payload;
    message_.checksum = whole->checksum;
  }
  ++counters_.messages_received;
  return true;
}

void Messenger::flush() {
  if (!std::exchange(has_sent_, false)) return;
  for (PortEntry& port : ports_) port.ref.flush();
}

}  // namespace synod::dataplane
