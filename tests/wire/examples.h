// One example of every message between replicas, with its golden payload.
#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "base/crc32c.h"
#include "tests/wire/golden.h"
#include "wire/message.h"

namespace synod::wire {

struct MessageExample {
  MessageType type;
  PeerPayload payload;
  std::string_view golden;
};

inline const Bytes example_value = bytes_of(std::string_view("123456789"));

inline RecordView example_record() {
  RecordHeader header;
  header.slot = Slot(5);
  header.ballot = Ballot(9, ReplicaId(3));
  header.body_bytes = static_cast<std::uint32_t>(example_value.size());
  header.body_checksum = Checksum(crc32c(example_value));
  return {seal(header), example_value};
}

inline constexpr std::array<PromisedSlot, 2> example_slots = {{
    {Slot(5), Ballot(1, ReplicaId(2)), Checksum(0xA1B2C3D4), 100},
    {Slot(7), Ballot(2, ReplicaId(3)), Checksum(0), 0},
}};

inline constexpr std::string_view golden_record = R"(
    05 00 00 00 00 00 00 00
    03 00 09 00 00 00 00 00
    09 00 00 00 83 92 06 e3
    01 00 00 00 08 be 86 ac
    31 32 33 34 35 36 37 38
    39)";

inline std::vector<MessageExample> message_examples() {
  return {
      {MessageType::hello, Hello{1, 1, {4, 0x1122}, Ballot(9, ReplicaId(3)), Slot(12)}, R"(
          01 01 00 00 00 00 00 00
          04 00 00 00 00 00 00 00
          22 11 00 00 00 00 00 00
          03 00 09 00 00 00 00 00
          0c 00 00 00 00 00 00 00)"},
      {MessageType::suspect, Suspect{}, ""},
      {MessageType::suspect_answer, SuspectAnswer{1}, "01 00 00 00 00 00 00 00"},
      {MessageType::prepare, Prepare{}, ""},
      {MessageType::promise, Promise{Slot(3), Slot(8), example_slots, 0x1122}, R"(
          03 00 00 00 00 00 00 00
          08 00 00 00 00 00 00 00
          22 11 00 00 00 00 00 00
          02 00 00 00 00 00 00 00
          05 00 00 00 00 00 00 00
          02 00 01 00 00 00 00 00
          d4 c3 b2 a1 64 00 00 00
          07 00 00 00 00 00 00 00
          03 00 02 00 00 00 00 00
          00 00 00 00 00 00 00 00)"},
      {MessageType::accept, Accept{example_record()}, golden_record},
      {MessageType::accepted, Accepted{Slot(5), Checksum(0xA1B2C3D4), 0x1122}, R"(
          05 00 00 00 00 00 00 00
          d4 c3 b2 a1 00 00 00 00
          22 11 00 00 00 00 00 00)"},
      {MessageType::nack, Nack{Ballot(4, ReplicaId(1))}, "01 00 04 00 00 00 00 00"},
      {MessageType::heartbeat, Heartbeat{0x1122, {{{1, 2}, {3, 4}, {}, {}, {}, {}, {5, 6}}}}, R"(
          22 11 00 00 00 00 00 00
          01 00 00 00 00 00 00 00 02 00 00 00 00 00 00 00
          03 00 00 00 00 00 00 00 04 00 00 00 00 00 00 00
          00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
          00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
          00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
          00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
          05 00 00 00 00 00 00 00 06 00 00 00 00 00 00 00)"},
      {MessageType::heartbeat_answer, HeartbeatAnswer{0x1122, Slot(7), Lsn(5)}, R"(
          22 11 00 00 00 00 00 00
          07 00 00 00 00 00 00 00
          05 00 00 00 00 00 00 00)"},
      {MessageType::fetch, Fetch{Slot(5), Ballot(1, ReplicaId(2)), Checksum(0xA1B2C3D4)}, R"(
          05 00 00 00 00 00 00 00
          02 00 01 00 00 00 00 00
          d4 c3 b2 a1 00 00 00 00)"},
      {MessageType::value, Value{example_record()}, golden_record},
      {MessageType::catch_up, CatchUp{Slot(5), Slot(9)}, R"(
          05 00 00 00 00 00 00 00
          09 00 00 00 00 00 00 00)"},
      {MessageType::chosen, Chosen{example_record()}, golden_record},
      {MessageType::received, Received{Slot(5), Checksum(0xA1B2C3D4)}, R"(
          05 00 00 00 00 00 00 00
          d4 c3 b2 a1 00 00 00 00)"},
  };
}

// The payload of a message in one piece.
inline std::vector<std::byte> encoded(const PeerPayload& payload) {
  std::array<std::byte, encode_scratch_bytes> scratch{};
  const EncodedPayload parts = encode_peer_payload(payload, scratch);
  std::vector<std::byte> whole(parts.head.begin(), parts.head.end());
  whole.insert(whole.end(), parts.body.begin(), parts.body.end());
  return whole;
}

}  // namespace synod::wire
