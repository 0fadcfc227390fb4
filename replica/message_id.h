// Message ids that a retransmission repeats, so that fragments of both attempts meet at the receiver.
#pragma once

#include <cstdint>

#include "base/ids.h"
#include "base/prng.h"
#include "wire/packet.h"

namespace synod::replica {

// Below 2^63: the messenger's own fresh ids are above.
[[nodiscard]] constexpr std::uint64_t stable_message_id(wire::MessageType type, Ballot ballot, Slot slot) {
  std::uint64_t state = ballot.value() ^ (slot.value() * 0x9E3779B97F4A7C15) ^ static_cast<std::uint64_t>(type);
  return splitmix64(state) >> 1;
}

}  // namespace synod::replica
