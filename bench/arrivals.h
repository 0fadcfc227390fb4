// When appends should be sent. In a closed loop whenever there is room; in an open loop at times that do not depend on answers,
// so that a stall is charged to every append that it delays (coordinated omission; the idea is wrk2's, Gil Tene).
#pragma once

#include <cmath>
#include <cstdint>

#include "base/prng.h"

namespace synod::bench {

enum class ArrivalKind : std::uint8_t { closed, constant, poisson };

class Arrivals {
 public:
  // `rate`: appends a second, of an open loop. `seed`: of the Poisson process.
  Arrivals(ArrivalKind kind, double rate, std::uint64_t begin_ns, std::uint64_t seed)
      : kind_(kind), gap_ns_(kind == ArrivalKind::closed ? 0 : 1e9 / rate), begin_ns_(begin_ns), prng_(seed) {}

  [[nodiscard]] bool is_open() const { return kind_ != ArrivalKind::closed; }
  // When the next append should be sent; closed: at once.
  [[nodiscard]] std::uint64_t next_ns() const { return begin_ns_ + static_cast<std::uint64_t>(offset_ns_); }
  // It was.
  void advance() {
    ++count_;
    if (kind_ == ArrivalKind::constant) offset_ns_ = static_cast<double>(count_) * gap_ns_;  // no error that adds up
    if (kind_ == ArrivalKind::poisson) offset_ns_ += exponential();
  }

 private:
  // Of mean gap_ns_.
  [[nodiscard]] double exponential() {
    constexpr double scale = 0x1p-53;
    const double uniform = static_cast<double>((prng_.next() >> 11) + 1) * scale;  // (0, 1]
    return -std::log(uniform) * gap_ns_;
  }

  ArrivalKind kind_;
  double gap_ns_;
  std::uint64_t begin_ns_;
  double offset_ns_ = 0;
  std::uint64_t count_ = 0;
  Prng prng_;
};

}  // namespace synod::bench
