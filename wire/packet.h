// The packet header: 128 bytes in front of every UDP payload, peer or client. A message larger than a packet is cut into
// fragments that each carry the whole header; only fragment fields and the payload checksum differ between them.
//
// Decoding is a gateway: bytes from a port are hostile until decode_packet has returned a header.
#pragma once

#include <array>
#include <cstdint>
#include <expected>

#include "base/bytes.h"
#include "base/ids.h"
#include "wire/limits.h"

namespace synod::wire {

inline constexpr std::uint32_t packet_magic = 0x444E5953;  // "SYND"
inline constexpr std::uint8_t format_version = 1;

// Retired numbers are never used again.
enum class MessageType : std::uint8_t {
  // between replicas
  hello = 1,
  suspect = 2,
  suspect_answer = 3,
  prepare = 4,
  promise = 5,
  accept = 6,
  accepted = 7,
  nack = 8,
  heartbeat = 9,
  heartbeat_answer = 10,
  fetch = 11,
  value = 12,
  catch_up = 13,
  chosen = 14,
  checkpoint = 15,
  checkpoint_ask = 16,
  received = 17,
  // between a client and a replica
  open_session = 32,
  session_opened = 33,
  append = 34,
  appended = 35,
  refused = 36,
  tail = 37,
  tail_answer = 38,
  read = 39,
  read_answer = 40,
  status = 41,
  status_answer = 42,
  trim = 43,
  trim_answer = 44,
};

[[nodiscard]] const char* name(MessageType type);
[[nodiscard]] constexpr bool is_known(MessageType type) {
  const auto value = static_cast<unsigned>(type);
  return (value >= 1 && value <= 17) || (value >= 32 && value <= 44);
}
[[nodiscard]] constexpr bool is_client_message(MessageType type) {
  return static_cast<unsigned>(type) >= 32;
}

struct PacketHeader {
  std::uint32_t magic = packet_magic;
  std::uint8_t version = format_version;
  MessageType type{};
  std::uint16_t fragment = 0;          // 0 .. fragments - 1
  std::uint16_t fragments = 1;         // of this message
  std::uint16_t key_id = 0;            // reserved for authentication, zero
  std::uint32_t header_checksum = 0;   // CRC32C of the header with this field zero
  std::uint32_t payload_checksum = 0;  // CRC32C of this packet's payload
  std::uint32_t fragment_offset = 0;   // of this packet's payload within the message
  std::uint32_t message_bytes = 0;     // of the whole message's payload
  std::uint32_t credit = 0;            // in an answer to a client: how many packets of appends it may have unanswered; 0: no word
  ClusterId cluster;
  GroupId group;
  ReplicaId source;                 // 0: a client
  ReplicaId destination;            // 0: a client
  Incarnation incarnation;          // the sender's
  std::uint64_t configuration = 1;  // id of the configuration that the sender knows
  Ballot ballot;                    // of this message; its meaning is the message's
  std::uint64_t message_id = 0;     // kept across retransmissions, so that fragments of two attempts meet
  Slot commit;                      // the sender's commit watermark
  Probe probe;                      // heartbeat and its answer: rule 7; accept: 1 asks for `received`
  std::array<std::byte, 16> tag{};  // reserved for authentication, zero
};

static_assert(Format<PacketHeader> && sizeof(PacketHeader) == 128);

enum class PacketFault : std::uint8_t {
  too_short,
  bad_magic,
  bad_version,
  bad_header_checksum,
  bad_type,
  bad_reserved,
  bad_fragment,
  bad_payload_checksum,
  other_cluster,
  other_group,
  other_destination,
  count_
};

[[nodiscard]] const char* name(PacketFault fault);

struct PacketView {
  PacketHeader header;
  Bytes payload;
};

// Sets the checksums of a header whose other fields are final.
[[nodiscard]] PacketHeader seal(PacketHeader header, Bytes payload);
// The same where payload_checksum is set already.
[[nodiscard]] PacketHeader seal_header(PacketHeader header);

// The gateway. `packet` is one UDP payload; trailing bytes are a fault.
[[nodiscard]] std::expected<PacketView, PacketFault> decode_packet(Bytes packet);

}  // namespace synod::wire
