// CHECK stops the process on a bug. It is never compiled out, and it prints both values.
//
// Only for what this program itself must keep true. Bytes that came from a port or a disk are never CHECKed: one gateway
// validates them and returns a reason (see base/error.h).
#pragma once

#include <concepts>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <type_traits>

namespace synod {

namespace detail {

template <class T>
[[nodiscard]] constexpr long long printable(const T& value) {
  if constexpr (requires { value.value(); }) {
    return static_cast<long long>(value.value());
  } else if constexpr (std::is_enum_v<T> || std::integral<T>) {
    return static_cast<long long>(value);
  } else {
    return -1;
  }
}

[[noreturn]] inline void check_failed(const char* file, int line, const char* what) {
  std::fprintf(stderr, "synod: bug at %s:%d: CHECK(%s)\n", file, line, what);
  std::abort();
}

[[noreturn]] inline void check_failed(const char* file, int line, const char* what, long long left, long long right) {
  std::fprintf(stderr, "synod: bug at %s:%d: CHECK(%s): left %lld, right %lld\n", file, line, what, left, right);
  std::abort();
}

}  // namespace detail

#define CHECK(condition)                                             \
  do {                                                               \
    if (!(condition)) [[unlikely]]                                   \
      ::synod::detail::check_failed(__FILE__, __LINE__, #condition); \
  } while (false)

#define SYNOD_CHECK_OP(left, op, right)                                                                                   \
  do {                                                                                                                    \
    const auto& check_left = (left);                                                                                      \
    const auto& check_right = (right);                                                                                    \
    if (!(check_left op check_right)) [[unlikely]]                                                                        \
      ::synod::detail::check_failed(__FILE__, __LINE__, #left " " #op " " #right, ::synod::detail::printable(check_left), \
                                    ::synod::detail::printable(check_right));                                             \
  } while (false)

#define CHECK_EQ(left, right) SYNOD_CHECK_OP(left, ==, right)
#define CHECK_NE(left, right) SYNOD_CHECK_OP(left, !=, right)
#define CHECK_LT(left, right) SYNOD_CHECK_OP(left, <, right)
#define CHECK_LE(left, right) SYNOD_CHECK_OP(left, <=, right)
#define CHECK_GT(left, right) SYNOD_CHECK_OP(left, >, right)
#define CHECK_GE(left, right) SYNOD_CHECK_OP(left, >=, right)

}  // namespace synod
