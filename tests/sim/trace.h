// What happened, for people: lines with the virtual time, printed when a run is replayed with --trace.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <utility>

namespace synod::sim {

class Trace {
 public:
  bool enabled = false;
  bool packets = false;

  template <class... Args>
  void operator()(std::uint64_t now_us, fmt::format_string<Args...> format, Args&&... args) const {
    if (!enabled) return;
    fmt::print("{:>10.3f} ms  {}\n", static_cast<double>(now_us) / 1e3, fmt::format(format, std::forward<Args>(args)...));
  }
};

}  // namespace synod::sim
