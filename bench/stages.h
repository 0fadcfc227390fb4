// Where the time of an append goes: the steps of its slot at the leader (replica/stage_trace.h), between its own beginning and
// end at the client. The parts of one append add up to its latency, so their means add up to the mean.
//
// Thread: the load's. No heap while it records.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bench/histogram.h"
#include "replica/stage_trace.h"

namespace synod::bench {

struct StageTime {
  std::string name;
  double mean_us = 0;
  double p50_us = 0;
  double p99_us = 0;
};

// From ticks to the nanoseconds of now_ns.
class TickClock {
 public:
  // Compares both clocks; blocks for some milliseconds.
  TickClock();

  [[nodiscard]] std::uint64_t to_ns(std::uint64_t ticks) const {
    const auto since = static_cast<double>(static_cast<std::int64_t>(ticks - ticks_));
    return ns_ + static_cast<std::uint64_t>(static_cast<std::int64_t>(since * ns_per_tick_));
  }

 private:
  struct Pair {
    std::uint64_t ticks = 0;
    std::uint64_t ns = 0;
  };
  [[nodiscard]] static Pair read();

  std::uint64_t ticks_ = 0;
  std::uint64_t ns_ = 0;
  double ns_per_tick_ = 1;
};

class StageRecorder {
 public:
  // Enables the traces while it lives. They outlive it.
  explicit StageRecorder(std::span<replica::StageTrace* const> traces);
  StageRecorder(const StageRecorder&) = delete;
  StageRecorder& operator=(const StageRecorder&) = delete;
  ~StageRecorder();

  // An append that lies at `lsn`. Those of one client come in order; of several, what is too late for its slot is left out.
  void add(Lsn lsn, std::uint64_t begin_ns, std::uint64_t end_ns);
  // Empty if nothing was recorded.
  [[nodiscard]] std::vector<StageTime> times() const;
  [[nodiscard]] std::uint64_t count() const { return parts_[0].count(); }

 private:
  static constexpr std::size_t part_count = replica::steps + 1;  // the last one is the way back

  [[nodiscard]] const replica::SlotTimes* find(Lsn lsn);

  std::vector<replica::StageTrace*> traces_;
  TickClock clock_;
  std::vector<replica::SlotTimes> recent_;  // a ring, by the order in which they came
  std::uint64_t taken_ = 0;
  std::uint64_t cursor_ = 0;  // where the last append was found
  std::array<Histogram, part_count> parts_;
  std::array<double, part_count> sums_ns_{};
};

}  // namespace synod::bench
