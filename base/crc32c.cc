#include "base/crc32c.h"

#include <algorithm>
#include <array>

#if defined(__x86_64__)
#include <nmmintrin.h>
#include <wmmintrin.h>
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

// The instruction has a latency of three cycles and a throughput of one: three lanes of equal length keep it busy. What a lane
// comes to is "advanced" over the bytes behind it, which is a multiplication of polynomials: V. Gopal et al., "Fast CRC
// Computation for iSCSI Polynomial Using CRC32 Instruction", Intel 2011.
constexpr std::size_t word_bytes = 8;
constexpr std::size_t lane_bytes_max = 1024;
constexpr std::size_t lane_bytes_min = 32;  // below, joining three lanes takes as long as going on with one
// The CPU's own prefetch does not follow three lanes that jump each KiB: memory that is not in a cache is asked for by hand.
constexpr std::size_t ahead_bytes = 6 * lane_bytes_max;
constexpr std::size_t line_bytes = 64;

// x^(64 * words - 33) modulo the polynomial, its coefficients reflected, by number of words. The carry-less product of two such
// values stands for one power more than their own product, and the instruction multiplies by x^32 as it divides.
constexpr std::size_t advance_words_max = 2 * lane_bytes_max / word_bytes;
constexpr auto advance_by = [] {
  std::array<std::uint32_t, advance_words_max + 1> powers{};
  std::uint32_t power = 1;  // x^31
  for (std::size_t words = 1; words < powers.size(); ++words) {
    powers[words] = power;
    for (int bit = 0; bit < 64; ++bit) power = (power >> 1) ^ ((power & 1) != 0 ? polynomial : 0);
  }
  return powers;
}();

__attribute__((target("pclmul"))) __m128i multiply(std::uint64_t crc, std::uint32_t power) {
  return _mm_clmulepi64_si128(_mm_cvtsi64_si128(static_cast<long long>(crc)), _mm_cvtsi32_si128(static_cast<int>(power)), 0);
}

__attribute__((target("sse4.2"))) std::uint64_t divide(__m128i product) {
  return _mm_crc32_u64(0, static_cast<std::uint64_t>(_mm_cvtsi128_si64(product)));
}

// One checksum of three lanes one behind the other.
__attribute__((target("sse4.2,pclmul"))) std::uint64_t join(std::uint64_t first, std::uint64_t second, std::uint64_t third,
                                                            std::size_t lane_words) {
  const __m128i sum = _mm_xor_si128(multiply(first, advance_by[2 * lane_words]), multiply(second, advance_by[lane_words]));
  return third ^ divide(sum);
}

// What a checksum comes to behind so many zeros.
__attribute__((target("sse4.2,pclmul"))) std::uint32_t advance_instruction(std::uint32_t crc, std::size_t bytes) {
  std::uint64_t advanced = crc;
  for (std::size_t words = bytes / word_bytes; words > 0;) {
    const std::size_t step = std::min(words, advance_words_max);
    advanced = divide(multiply(advanced, advance_by[step]));
    words -= step;
  }
  crc = static_cast<std::uint32_t>(advanced);
  for (std::size_t left = bytes % word_bytes; left > 0; --left) crc = _mm_crc32_u8(crc, 0);
  return crc;
}

__attribute__((target("sse4.2,pclmul"))) std::uint32_t crc32c_instruction(Bytes data, std::uint32_t seed) {
  const std::byte* at = data.data();
  std::size_t left = data.size();
  std::uint64_t crc = ~seed;
  while (left >= 3 * lane_bytes_max) {
    std::uint64_t second = 0;
    std::uint64_t third = 0;
    const std::byte* const ahead = at + std::min(ahead_bytes, left - 3 * lane_bytes_max);
    for (std::size_t line = 0; line < lane_bytes_max; line += line_bytes) {
      for (std::size_t i = 0; i < 3; ++i) _mm_prefetch(ahead + 3 * line + i * line_bytes, _MM_HINT_T0);
      for (std::size_t i = line; i < line + line_bytes; i += word_bytes) {
        crc = _mm_crc32_u64(crc, load_u64(at + i));
        second = _mm_crc32_u64(second, load_u64(at + lane_bytes_max + i));
        third = _mm_crc32_u64(third, load_u64(at + 2 * lane_bytes_max + i));
      }
    }
    crc = join(crc, second, third, lane_bytes_max / word_bytes);
    at += 3 * lane_bytes_max;
    left -= 3 * lane_bytes_max;
  }
  if (left >= 3 * lane_bytes_min) {
    const std::size_t lane_words = left / (3 * word_bytes);
    const std::size_t lane = lane_words * word_bytes;
    std::uint64_t second = 0;
    std::uint64_t third = 0;
    for (const std::byte* const end = at + lane; at != end; at += word_bytes) {
      crc = _mm_crc32_u64(crc, load_u64(at));
      second = _mm_crc32_u64(second, load_u64(at + lane));
      third = _mm_crc32_u64(third, load_u64(at + 2 * lane));
    }
    crc = join(crc, second, third, lane_words);
    at += 2 * lane;
    left -= 3 * lane;
  }
  for (; left >= word_bytes; at += word_bytes, left -= word_bytes) crc = _mm_crc32_u64(crc, load_u64(at));
  auto tail = static_cast<std::uint32_t>(crc);
  for (; left > 0; ++at, --left) tail = _mm_crc32_u8(tail, static_cast<std::uint8_t>(*at));
  return ~tail;
}

const bool has_instruction = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");

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

std::uint32_t crc32c_joined_portable(std::uint32_t first, std::uint32_t second, std::size_t second_bytes) {
  for (; second_bytes > 0; --second_bytes) first = (first >> 8) ^ tables[0][first & 0xFF];
  return first ^ second;
}

std::uint32_t crc32c_joined(std::uint32_t first, std::uint32_t second, std::size_t second_bytes) {
#if defined(__x86_64__)
  if (has_instruction) return advance_instruction(first, second_bytes) ^ second;
#endif
  return crc32c_joined_portable(first, second, second_bytes);
}

std::uint32_t crc32c(Bytes data, std::uint32_t seed) {
#if defined(__x86_64__)
  if (has_instruction) return crc32c_instruction(data, seed);
#endif
  return crc32c_portable(data, seed);
}

}  // namespace synod
