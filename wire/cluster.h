// A cluster's name as every packet and block carries it: a 64-bit hash (FNV-1a with a final mix), never 0.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/ids.h"

namespace synod::wire {

[[nodiscard]] constexpr ClusterId cluster_id(std::string_view name) {
  std::uint64_t hash = 0xCBF29CE484222325;
  for (const char letter : name) {
    hash ^= static_cast<unsigned char>(letter);
    hash *= 0x100000001B3;
  }
  hash = (hash ^ (hash >> 30)) * 0xBF58476D1CE4E5B9;
  hash = (hash ^ (hash >> 27)) * 0x94D049BB133111EB;
  hash ^= hash >> 31;
  return ClusterId(hash == 0 ? 1 : hash);
}

}  // namespace synod::wire
