// Which receive queue of a NIC a UDP packet comes to, decided by its destination port alone, with nothing but receive-side
// scaling (RSS): every server NIC has that, and virtio has it, where flow rules differ from NIC to NIC.
//
// RSS takes the queue from a table, at the low bits of a Toeplitz hash of the addresses and ports. That hash is the exclusive or
// of 32-bit windows into a key, one for each bit of the packet that is set; so the key decides which bits count. Ours is zero but
// for a few ones in a row, that only the windows of the lowest bits of the destination port see: the hash is then an invertible
// function of these bits, and ports that follow each other have entries of their own in the table.
// Source: Microsoft, "RSS Hashing Functions" (Windows driver documentation); Krawczyk, "New Hash Functions for Message
// Authentication", 1995.
//
// Pure. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "dataplane/port.h"

namespace synod::dataplane {

struct Steering {
  std::vector<std::uint8_t> key;
  std::vector<std::uint16_t> table;  // of queues, by the hash modulo its size
};

// Queue q gets the packets for port first_port + q; what else comes in goes to any of them. Nothing if the NIC's table, of
// `table_entries` (a power of two), or its key is too short for so many queues.
[[nodiscard]] std::optional<Steering> steer_by_port(std::uint16_t first_port, std::uint16_t queues, std::size_t key_bytes,
                                                    std::size_t table_entries);

// The hash of an IPv4 UDP packet, as NICs compute it. `key` has at least 16 bytes.
[[nodiscard]] std::uint32_t toeplitz_hash(const std::vector<std::uint8_t>& key, Endpoint from, Endpoint to);

}  // namespace synod::dataplane
