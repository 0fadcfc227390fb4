// Two replicas' messengers over memory ports, and helpers that make messages.
#pragma once

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/prng.h"
#include "dataplane/messenger.h"
#include "tests/dataplane/memory_port.h"

namespace synod::dataplane {

inline constexpr Endpoint endpoint_a{0x0A000001, 7400};
inline constexpr Endpoint endpoint_b{0x0A000002, 7400};
inline constexpr Route route{0, endpoint_b};

inline LocalIdentity identity(std::uint16_t replica) {
  LocalIdentity local{ClusterId(77), GroupId(3), ReplicaId(replica), {}};
  local.incarnation.disk.bytes[0] = static_cast<std::byte>(replica);
  local.incarnation.open_count = 1;
  return local;
}

inline std::vector<std::byte> random_bytes(std::size_t count, std::uint64_t seed) {
  Prng prng(seed);
  std::vector<std::byte> bytes(count);
  for (auto& byte : bytes) byte = static_cast<std::byte>(prng.next());
  return bytes;
}

inline wire::PacketHeader header_to(std::uint16_t replica, std::uint64_t message_id = 0) {
  wire::PacketHeader header;
  header.type = wire::MessageType::accept;
  header.destination = ReplicaId(replica);
  header.ballot = Ballot(5, ReplicaId(1));
  header.message_id = message_id;
  return header;
}

struct Received {
  wire::PacketHeader header;
  std::vector<std::byte> payload;
  Route from;
};

inline std::vector<Received> receive_all(Messenger& messenger) {
  std::vector<Received> all;
  const auto keep = [&](const Message& message) {
    all.push_back({message.header, {message.payload.begin(), message.payload.end()}, message.from});
  };
  while (messenger.poll(keep) > 0) {
  }
  return all;
}

// Replica 1 at a, replica 2 at b.
struct Pair {
  explicit Pair(std::size_t payload_bytes_max = 1472, const MessengerLimits& limits = {})
      : port_a(endpoint_a, payload_bytes_max),
        port_b(endpoint_b, payload_bytes_max),
        a(identity(1), limits),
        b(identity(2), limits) {
    port_a.connect(port_b);
    port_b.connect(port_a);
    a.add_port(PortRef(port_a));
    b.add_port(PortRef(port_b));
  }

  [[nodiscard]] std::uint64_t dropped(wire::PacketFault fault) const {
    return b.counters().dropped[static_cast<std::size_t>(fault)];
  }

  MemoryPort port_a;
  MemoryPort port_b;
  Messenger a;
  Messenger b;
};

}  // namespace synod::dataplane
