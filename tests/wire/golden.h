// Golden bytes: formats as they lie on the wire and on disk, written out by hand from docs/FORMATS.md. They never change within a
// format version; a test that breaks here says that an old peer or an old disk would no longer be understood.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace synod::wire {

// "01 02 ff" with any spacing -> bytes.
inline std::vector<std::byte> from_hex(std::string_view text) {
  std::vector<std::byte> bytes;
  int high = -1;
  for (const char c : text) {
    if (c == ' ' || c == '\n') continue;
    const int digit = c <= '9' ? c - '0' : c - 'a' + 10;
    CHECK_GE(digit, 0);
    CHECK_LT(digit, 16);
    if (high < 0) {
      high = digit;
    } else {
      bytes.push_back(static_cast<std::byte>(high * 16 + digit));
      high = -1;
    }
  }
  CHECK(high < 0);
  return bytes;
}

inline std::string to_hex(Bytes bytes) {
  static constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i > 0) text += i % 8 == 0 ? '\n' : ' ';
    text += digits[static_cast<std::size_t>(bytes[i]) >> 4];
    text += digits[static_cast<std::size_t>(bytes[i]) & 15];
  }
  return text;
}

// `from_hex(golden)` in the same spelling, so that a difference is readable.
inline std::string golden(std::string_view text) {
  return to_hex(from_hex(text));
}

// 10 11 12 ... 1f
inline std::array<std::byte, 16> sixteen_bytes(unsigned first) {
  std::array<std::byte, 16> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(first + i);
  return bytes;
}

}  // namespace synod::wire
