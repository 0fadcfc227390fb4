#include "wire/packet.h"

#include <cstddef>

#include "base/crc32c.h"

namespace synod::wire {

const char* name(MessageType type) {
  switch (type) {
    case MessageType::hello: return "hello";
    case MessageType::suspect: return "suspect";
    case MessageType::suspect_answer: return "suspect_answer";
    case MessageType::prepare: return "prepare";
    case MessageType::promise: return "promise";
    case MessageType::accept: return "accept";
    case MessageType::accepted: return "accepted";
    case MessageType::nack: return "nack";
    case MessageType::heartbeat: return "heartbeat";
    case MessageType::heartbeat_answer: return "heartbeat_answer";
    case MessageType::fetch: return "fetch";
    case MessageType::value: return "value";
    case MessageType::catch_up: return "catch_up";
    case MessageType::chosen: return "chosen";
    case MessageType::checkpoint: return "checkpoint";
    case MessageType::checkpoint_ask: return "checkpoint_ask";
    case MessageType::received: return "received";
    case MessageType::open_session: return "open_session";
    case MessageType::session_opened: return "session_opened";
    case MessageType::append: return "append";
    case MessageType::appended: return "appended";
    case MessageType::refused: return "refused";
    case MessageType::tail: return "tail";
    case MessageType::tail_answer: return "tail_answer";
    case MessageType::read: return "read";
    case MessageType::read_answer: return "read_answer";
    case MessageType::status: return "status";
    case MessageType::status_answer: return "status_answer";
    case MessageType::trim: return "trim";
    case MessageType::trim_answer: return "trim_answer";
  }
  return "unknown";
}

const char* name(PacketFault fault) {
  switch (fault) {
    case PacketFault::too_short: return "too_short";
    case PacketFault::bad_magic: return "bad_magic";
    case PacketFault::bad_version: return "bad_version";
    case PacketFault::bad_header_checksum: return "bad_header_checksum";
    case PacketFault::bad_type: return "bad_type";
    case PacketFault::bad_reserved: return "bad_reserved";
    case PacketFault::bad_fragment: return "bad_fragment";
    case PacketFault::bad_payload_checksum: return "bad_payload_checksum";
    case PacketFault::other_cluster: return "other_cluster";
    case PacketFault::other_group: return "other_group";
    case PacketFault::other_destination: return "other_destination";
    case PacketFault::count_: break;
  }
  return "unknown";
}

namespace {

// The checksum of a header's bytes as if its checksum field were zero, from where they lie: no copy is changed first.
std::uint32_t header_checksum(Bytes header) {
  constexpr std::size_t field = offsetof(PacketHeader, header_checksum);
  static_assert(field == 12);
  const std::array<std::uint64_t, 2> front = {load<std::uint64_t>(header), load<std::uint32_t>(header.subspan(8))};
  return crc32c(header.subspan(sizeof(front), sizeof(PacketHeader) - sizeof(front)), crc32c(bytes_of(front)));
}

}  // namespace

PacketHeader seal_header(PacketHeader header) {
  header.header_checksum = 0;
  header.header_checksum = crc32c(bytes_of(header));
  return header;
}

PacketHeader seal(PacketHeader header, Bytes payload) {
  header.payload_checksum = crc32c(payload);
  return seal_header(header);
}

std::expected<PacketView, PacketFault> decode_packet(Bytes packet) {
  if (packet.size() < sizeof(PacketHeader)) return std::unexpected(PacketFault::too_short);
  const auto header = load<PacketHeader>(packet);
  if (header.magic != packet_magic) return std::unexpected(PacketFault::bad_magic);
  if (header.version != format_version) return std::unexpected(PacketFault::bad_version);
  if (header_checksum(packet) != header.header_checksum) return std::unexpected(PacketFault::bad_header_checksum);
  if (!is_known(header.type)) return std::unexpected(PacketFault::bad_type);
  const bool is_answer = is_client_message(header.type) && header.source != ReplicaId(0);
  if (header.key_id != 0 || (header.credit != 0 && !is_answer) || !is_zero(header.tag)) {
    return std::unexpected(PacketFault::bad_reserved);
  }
  const Bytes payload = packet.subspan(sizeof(PacketHeader));
  const std::uint64_t end = std::uint64_t{header.fragment_offset} + payload.size();
  const bool whole = header.fragments == 1;
  // A message starts at its first fragment and nowhere else.
  const bool misplaced = (header.fragment == 0) != (header.fragment_offset == 0);
  if (misplaced || header.fragments == 0 || header.fragment >= header.fragments || header.message_bytes > message_bytes_max ||
      end > header.message_bytes || (whole && payload.size() != header.message_bytes) ||
      (header.fragment + 1 == header.fragments && end != header.message_bytes)) {
    return std::unexpected(PacketFault::bad_fragment);
  }
  if (crc32c(payload) != header.payload_checksum) return std::unexpected(PacketFault::bad_payload_checksum);
  return PacketView{header, payload};
}

}  // namespace synod::wire
