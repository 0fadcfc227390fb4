// Reading and writing fixed-width values in byte spans. Every format of Synod is little-endian, and so is every machine
// that it runs on: the formats are plain structs, proven by static_assert, moved by memcpy.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

#include "base/check.h"

namespace synod {

static_assert(std::endian::native == std::endian::little, "Synod's formats are little-endian");

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

template <class T>
concept Format = std::is_trivially_copyable_v<T> && std::has_unique_object_representations_v<T>;

// The first sizeof(T) bytes as a T. The caller has checked the length.
template <Format T>
[[nodiscard]] T load(Bytes from) {
  CHECK_GE(from.size(), sizeof(T));
  T value{};
  std::memcpy(&value, from.data(), sizeof(T));
  return value;
}

template <Format T>
void store(MutableBytes to, const T& value) {
  CHECK_GE(to.size(), sizeof(T));
  std::memcpy(to.data(), &value, sizeof(T));
}

template <Format T>
[[nodiscard]] Bytes bytes_of(const T& value) {
  return std::as_bytes(std::span<const T, 1>(&value, 1));
}

[[nodiscard]] inline Bytes bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

inline void copy(MutableBytes to, Bytes from) {
  CHECK_GE(to.size(), from.size());
  if (!from.empty()) std::memcpy(to.data(), from.data(), from.size());
}

// Reserved bytes are zero until a version gives them a meaning; every gateway refuses others.
[[nodiscard]] inline bool is_zero(Bytes bytes) {
  std::uint64_t any = 0;
  for (; bytes.size() >= sizeof(any); bytes = bytes.subspan(sizeof(any))) any |= load<std::uint64_t>(bytes);
  for (const std::byte byte : bytes) any |= std::to_integer<std::uint64_t>(byte);
  return any == 0;
}

[[nodiscard]] constexpr std::uint64_t align_up(std::uint64_t value, std::uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

}  // namespace synod
