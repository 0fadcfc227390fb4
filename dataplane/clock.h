// The one monotonic clock: nanoseconds and microseconds since an arbitrary point, the same for all processes of a machine.
// A loop reads it once per iteration and hands the value on; the vDSO makes that about 20 ns, without a system call.
#pragma once

#include <cstdint>

#include <time.h>

namespace synod::dataplane {

[[nodiscard]] inline std::uint64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

[[nodiscard]] inline std::uint64_t now_us() {
  return now_ns() / 1000;
}

// The CPU's time stamp counter: about 8 ns a reading, for stamps on the data path while somebody measures. Its unit is the
// machine's; compare it with now_ns to know it.
[[nodiscard]] inline std::uint64_t ticks() {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
  std::uint64_t value = 0;
  asm volatile("mrs %0, cntvct_el0" : "=r"(value));
  return value;
#else
  return now_ns();
#endif
}

}  // namespace synod::dataplane
