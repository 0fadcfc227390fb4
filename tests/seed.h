// The seed of a random test: fixed, so that every run of the suite does the same, unless SYNOD_TEST_SEED says otherwise
// (`./dev.sh fuzz` does). Printed before the test works, so that a crash shows it too.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>

namespace synod {

inline std::uint64_t first_seed() {
  const char* text = std::getenv("SYNOD_TEST_SEED");
  const std::uint64_t seed = text == nullptr ? 1 : std::stoull(text);
  std::cout << "first seed " << seed << " (replay with SYNOD_TEST_SEED=" << seed << ")\n" << std::flush;
  return seed;
}

}  // namespace synod
