// What happened in each tenth of a second of a run: to draw it, and to see whether it had settled.
//
// Thread: one. Memory is fixed at construction.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace synod::bench {

struct Interval {
  std::uint64_t appended = 0;
  std::uint64_t errors = 0;
  std::uint64_t latency_max_ns = 0;
};

class Timeline {
 public:
  static constexpr std::uint64_t interval_ns = 100'000'000;

  Timeline() = default;
  Timeline(std::uint64_t begin_ns, double seconds)
      : begin_ns_(begin_ns), intervals_(1 + static_cast<std::size_t>(seconds * 1e9 / interval_ns)) {}

  // That of a time. What comes after the end is counted in the last one.
  [[nodiscard]] Interval& at(std::uint64_t now_ns) {
    const std::size_t index = now_ns <= begin_ns_ ? 0 : (now_ns - begin_ns_) / interval_ns;
    return intervals_[std::min(index, intervals_.size() - 1)];
  }

  // Up to the last one in which something happened.
  [[nodiscard]] std::vector<Interval> intervals() const {
    std::size_t count = intervals_.size();
    while (count > 0 && intervals_[count - 1].appended + intervals_[count - 1].errors == 0) --count;
    return {intervals_.begin(), intervals_.begin() + static_cast<std::ptrdiff_t>(count)};
  }

 private:
  std::uint64_t begin_ns_ = 0;
  std::vector<Interval> intervals_{1};
};

}  // namespace synod::bench
