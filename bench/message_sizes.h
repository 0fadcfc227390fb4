// How large the four messages of one append are, with every header of ours, for floors that send the same packets.
#pragma once

#include <array>
#include <cstddef>

#include "base/bytes.h"
#include "wire/body.h"
#include "wire/client.h"
#include "wire/message.h"
#include "wire/packet.h"
#include "wire/record.h"

namespace synod::bench {

// One message's payload (without packet headers), as one append of `payload_bytes` alone in its slot makes it.
struct MessageSizes {
  std::size_t append = 0;    // client -> leader
  std::size_t accept = 0;    // leader -> each follower
  std::size_t accepted = 0;  // each follower -> leader
  std::size_t appended = 0;  // leader -> client
  std::size_t record = 0;    // in the journal of each replica
};

[[nodiscard]] inline MessageSizes message_sizes(std::size_t payload_bytes) {
  const std::size_t entry = wire::entry_header_bytes + payload_bytes;
  const std::size_t body = sizeof(wire::BodyHeader) + sizeof(wire::RunHeader) + align_up(entry, 8);
  std::array<std::byte, wire::encode_scratch_bytes> scratch{};
  return {.append = sizeof(wire::Append) + entry,
          .accept = sizeof(wire::RecordHeader) + body,
          .accepted = wire::encode_peer_payload(wire::Accepted{}, scratch).head.size(),
          .appended = sizeof(wire::Appended),
          .record = align_up(sizeof(wire::RecordHeader) + body, 8)};
}

}  // namespace synod::bench
