// A core to itself, and what to do with it when there is nothing to do.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace synod::dataplane {

// The cores that the calling thread may run on, ascending.
[[nodiscard]] std::vector<unsigned> allowed_cores();

// Pins the calling thread to one core.
[[nodiscard]] Result<> pin_to_core(unsigned core);

// spin:  never gives the core away: the lowest latency, for a core that nothing else needs.
// yield: gives it to whoever else is runnable there (several processes on one core, kernel workers of the disk).
// sleep: as yield while there was work lately, then sleeps of a thousandth of the silence so far, of 50 us at least and 1 ms at
//        most: for laptops. So much later the first message behind it is seen.
enum class IdlePolicy : std::uint8_t { spin, yield, sleep };

[[nodiscard]] const char* to_string(IdlePolicy policy);
[[nodiscard]] Result<IdlePolicy> parse_idle_policy(std::string_view text);

// Called once per iteration of a polling loop. Thread: that of the loop, for the first call to the last.
class Idler {
 public:
  explicit Idler(IdlePolicy policy) : policy_(policy) {}

  // After an iteration that did_work this returns at once, so a burst is never delayed.
  void idle(bool did_work) {
    if (did_work) {
      empty_polls_ = 0;
    } else if (++empty_polls_ < empty_polls_before_yield || policy_ == IdlePolicy::spin) {
      __builtin_ia32_pause();
    } else {
      give_core_away();
    }
  }

 private:
  static constexpr std::uint32_t empty_polls_before_yield = 16;

  void give_core_away();

  IdlePolicy policy_;
  bool slack_set_ = false;
  std::uint32_t empty_polls_ = 0;
  std::uint64_t idle_since_ns_ = 0;
};

}  // namespace synod::dataplane
