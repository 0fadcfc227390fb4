// The ways in which a write can be made durable through io_uring with O_DIRECT. All promise the same; they differ in time,
// and one of them by a factor of sixty (a pure spin on a device that needs a flush waits for the scheduler's tick: the kernel
// completes such a write in a worker on the very CPU that spins).
#pragma once

#include <array>
#include <cstdint>

namespace synod::storage {

enum class DurabilityMethod : std::uint8_t {
  dsync_yield = 0,   // one RWF_DSYNC write; poll gives the CPU away (sched_yield) while one is in flight
  dsync_spin = 1,    // the same without giving the CPU away: only for devices with FUA or without a volatile cache
  linked_yield = 2,  // a plain write linked to fsync(DATASYNC), giving the CPU away
  linked_spin = 3,   // the same without giving the CPU away
};

inline constexpr std::array durability_methods = {DurabilityMethod::dsync_yield, DurabilityMethod::dsync_spin,
                                                  DurabilityMethod::linked_yield, DurabilityMethod::linked_spin};

[[nodiscard]] const char* name(DurabilityMethod method);

[[nodiscard]] constexpr bool is_linked(DurabilityMethod method) {
  return method == DurabilityMethod::linked_yield || method == DurabilityMethod::linked_spin;
}
[[nodiscard]] constexpr bool yields(DurabilityMethod method) {
  return method == DurabilityMethod::dsync_yield || method == DurabilityMethod::linked_yield;
}

// What a probe measured for one method.
struct MethodTime {
  DurabilityMethod method{};
  double one_us_p50 = 0;   // one 4 KiB write at a time
  double four_us_p50 = 0;  // a round of four 4 KiB writes, all durable
};

}  // namespace synod::storage
