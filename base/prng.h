// xoshiro256** (Blackman and Vigna, 2018), seeded through splitmix64. Deterministic: one seed, one sequence, on every machine.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "base/check.h"

namespace synod {

[[nodiscard]] constexpr std::uint64_t splitmix64(std::uint64_t& state) {
  state += 0x9E3779B97F4A7C15;
  std::uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

namespace detail {
__extension__ using Product = unsigned __int128;  // both supported compilers have it; ISO C++ does not
}  // namespace detail

class Prng {
 public:
  constexpr explicit Prng(std::uint64_t seed) {
    for (auto& word : state_) word = splitmix64(seed);
  }

  [[nodiscard]] constexpr std::uint64_t next() {
    const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const std::uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

  // Uniform enough for timeouts and tests: 0 <= result < bound.
  [[nodiscard]] constexpr std::uint64_t below(std::uint64_t bound) {
    CHECK_GT(bound, 0U);
    return static_cast<std::uint64_t>((static_cast<detail::Product>(next()) * bound) >> 64);
  }

  // low <= result <= high
  [[nodiscard]] constexpr std::uint64_t between(std::uint64_t low, std::uint64_t high) { return low + below(high - low + 1); }

  [[nodiscard]] constexpr bool chance(std::uint64_t numerator, std::uint64_t denominator) {
    return below(denominator) < numerator;
  }

  constexpr bool operator==(const Prng&) const = default;

 private:
  std::array<std::uint64_t, 4> state_{};
};

}  // namespace synod
