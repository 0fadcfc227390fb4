#include "dataplane/steering.h"

#include <array>
#include <bit>

#include <rte_thash.h>

namespace synod::dataplane {

namespace {

constexpr std::size_t input_words = 3;  // two addresses, then the source and the destination port
constexpr std::size_t key_bytes_min = (input_words + 1) * sizeof(std::uint32_t);
// The lowest bit of the hash that the lowest bit of the destination port sets is in the key here (its first bit is 0).
constexpr std::size_t last_key_bit = (input_words * 32 - 1) + 31;

}  // namespace

std::uint32_t toeplitz_hash(const std::vector<std::uint8_t>& key, Endpoint from, Endpoint to) {
  std::array<std::uint32_t, input_words> input = {from.address, to.address, std::uint32_t{from.port} << 16 | to.port};
  return rte_softrss(input.data(), input.size(), key.data());
}

std::optional<Steering> steer_by_port(std::uint16_t first_port, std::uint16_t queues, std::size_t key_bytes,
                                      std::size_t table_entries) {
  if (queues == 0 || queues > table_entries || !std::has_single_bit(table_entries) || key_bytes < key_bytes_min) return {};
  Steering steering{.key = std::vector<std::uint8_t>(key_bytes), .table = std::vector<std::uint16_t>(table_entries)};
  const auto port_bits = static_cast<std::size_t>(std::bit_width(static_cast<unsigned>(queues - 1)));
  for (std::size_t i = 0; i < port_bits; ++i) {
    const std::size_t bit = last_key_bit - i;
    steering.key[bit / 8] |= static_cast<std::uint8_t>(0x80U >> (bit % 8));
  }
  for (std::uint16_t queue = 0; queue < queues; ++queue) {
    const auto port = static_cast<std::uint16_t>(first_port + queue);
    steering.table[toeplitz_hash(steering.key, {}, {0, port}) % table_entries] = queue;
  }
  return steering;
}

}  // namespace synod::dataplane
