#include "base/crc32c.h"

#include <algorithm>
#include <array>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace synod {

namespace {

constexpr std::uint32_t polynomial = 0x82F63B78;  // reflected Castagnoli

constexpr std::array<std::array<std::uint32_t, 256>, 8> make_tables() {
  std::array<std::array<std::uint32_t, 256>, 8> tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? polynomial : 0);
    tables[0][byte] = crc;
  }
  for (std::size_t level = 1; level < 8; ++level) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t crc = tables[level - 1][byte];
      tables[level][byte] = (crc >> 8) ^ tables[0][crc & 0xFF];
    }
  }
  return tables;
}

constexpr auto tables = make_tables();

std::uint64_t load_u64(const std::byte* from) {
  std::uint64_t value = 0;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

#if defined(__x86_64__)

// The instruction has a latency of three cycles and a throughput of one: three lanes of `lane_bytes` keep it busy, and their
// results are joined by "advancing" a checksum over the bytes that follow it, which is linear and so a table look-up.
constexpr std::size_t lane_bytes = 1024;
// The CPU's own prefetch does not follow three lanes that jump each KiB: memory that is not in a cache is asked for by hand.
constexpr std::size_t ahead_bytes = 6 * lane_bytes;
constexpr std::size_t line_bytes = 64;

using AdvanceTable = std::array<std::array<std::uint32_t, 256>, 4>;

constexpr AdvanceTable make_advance_table() {
  AdvanceTable table{};
  for (std::uint32_t position = 0; position < 4; ++position) {
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
      if (byte == 0) continue;
      const std::uint32_t low_bit = byte & (~byte + 1);
      if (byte != low_bit) {
        table[position][byte] = table[position][byte ^ low_bit] ^ table[position][low_bit];
        continue;
      }
      std::uint32_t crc = byte << (8 * position);
      for (std::size_t i = 0; i < lane_bytes; ++i) crc = (crc >> 8) ^ tables[0][crc & 0xFF];
      table[position][byte] = crc;
    }
  }
  return table;
}

constexpr AdvanceTable advance_table = make_advance_table();

std::uint32_t advance(std::uint32_t crc) {
  return advance_table[0][crc & 0xFF] ^ advance_table[1][(crc >> 8) & 0xFF] ^ advance_table[2][(crc >> 16) & 0xFF] ^
         advance_table[3][crc >> 24];
}

__attribute__((target("sse4.2"))) std::uint32_t crc32c_instruction(Bytes data, std::uint32_t seed) {
  const std::byte* at = data.data();
  std::size_t left = data.size();
  std::uint64_t crc = ~seed;
  while (left >= 3 * lane_bytes) {
    std::uint64_t second = 0;
    std::uint64_t third = 0;
    const std::byte* const ahead = at + std::min(ahead_bytes, left - 3 * lane_bytes);
    for (std::size_t line = 0; line < lane_bytes; line += line_bytes) {
      for (std::size_t i = 0; i < 3; ++i) _mm_prefetch(ahead + 3 * line + i * line_bytes, _MM_HINT_T0);
      for (std::size_t i = line; i < line + line_bytes; i += 8) {
        crc = _mm_crc32_u64(crc, load_u64(at + i));
        second = _mm_crc32_u64(second, load_u64(at + lane_bytes + i));
        third = _mm_crc32_u64(third, load_u64(at + 2 * lane_bytes + i));
      }
    }
    crc = advance(static_cast<std::uint32_t>(crc)) ^ second;
    crc = advance(static_cast<std::uint32_t>(crc)) ^ third;
    at += 3 * lane_bytes;
    left -= 3 * lane_bytes;
  }
  for (; left >= 8; at += 8, left -= 8) crc = _mm_crc32_u64(crc, load_u64(at));
  auto tail = static_cast<std::uint32_t>(crc);
  for (; left > 0; ++at, --left) tail = _mm_crc32_u8(tail, static_cast<std::uint8_t>(*at));
  return ~tail;
}

const bool has_instruction = __builtin_cpu_supports("sse4.2");

#endif

}  // namespace

std::uint32_t crc32c_portable(Bytes data, std::uint32_t seed) {
  const std::byte* at = data.data();
  std::size_t left = data.size();
  std::uint32_t crc = ~seed;
  for (; left >= 8; at += 8, left -= 8) {
    const std::uint64_t word = load_u64(at) ^ crc;
    crc = 0;
    for (std::size_t i = 0; i < 8; ++i) crc ^= tables[7 - i][(word >> (8 * i)) & 0xFF];
  }
  for (; left > 0; ++at, --left) crc = (crc >> 8) ^ tables[0][(crc ^ static_cast<std::uint8_t>(*at)) & 0xFF];
  return ~crc;
}

std::uint32_t crc32c(Bytes data, std::uint32_t seed) {
#if defined(__x86_64__)
  if (has_instruction) return crc32c_instruction(data, seed);
#endif
  return crc32c_portable(data, seed);
}

}  // namespace synod
