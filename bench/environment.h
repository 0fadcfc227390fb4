// What a run's figures depend on besides the program: the machine, its kernel and settings, the libraries, the build.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace synod::bench {

// Plain text; `unknown` where it cannot be read.
struct Fact {
  std::string_view key;    // in JSON
  std::string_view label;  // for people
  std::string value;
};

using Environment = std::vector<Fact>;

inline constexpr std::string_view unknown = "unknown";

// Control path: reads some small files. `root`: before /proc and /sys, for tests. The host's name is not among the facts.
[[nodiscard]] Environment read_environment(const std::string& root = "");

// `unknown` for a key that is not there.
[[nodiscard]] std::string_view value_of(const Environment& environment, std::string_view key);

}  // namespace synod::bench
