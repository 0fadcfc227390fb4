// CRC32C (Castagnoli), the checksum of every packet, record and block. Uses the CPU's instruction where there is one.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace synod {

// The checksum of `data`; pass an earlier result as `seed` to go on: crc32c(b, crc32c(a)) == crc32c(a + b).
[[nodiscard]] std::uint32_t crc32c(Bytes data, std::uint32_t seed = 0);

// The checksum of two stretches of bytes one behind the other, from their own: crc32c(a + b) of crc32c(a), crc32c(b) and the
// size of b. Nothing is read again.
[[nodiscard]] std::uint32_t crc32c_joined(std::uint32_t first, std::uint32_t second, std::size_t second_bytes);

// The same by table, for machines without the instruction and for the test that compares the two.
[[nodiscard]] std::uint32_t crc32c_portable(Bytes data, std::uint32_t seed = 0);
[[nodiscard]] std::uint32_t crc32c_joined_portable(std::uint32_t first, std::uint32_t second, std::size_t second_bytes);

}  // namespace synod
