#include "bench/stages.h"

#include <algorithm>

#include "dataplane/clock.h"

namespace synod::bench {

namespace {

constexpr std::size_t recent_slots = 8192;  // a power of two
constexpr std::uint64_t calibration_ns = 5'000'000;

constexpr std::array<const char*, replica::steps + 1> names{"client to leader: sent, received",
                                                            "received to proposed: waits for its batch",
                                                            "proposed to sent: accepts made and flushed",
                                                            "sent to peers durable: a quorum",
                                                            "peers durable to own durable",
                                                            "own durable to committed",
                                                            "committed to answered: flushed",
                                                            "leader to client: received, taken"};

}  // namespace

// The reading of one clock between two of the other, as close together as they came in a few tries.
TickClock::Pair TickClock::read() {
  Pair best;
  std::uint64_t least = ~std::uint64_t{0};
  for (int i = 0; i < 20; ++i) {
    const std::uint64_t before = dataplane::ticks();
    const std::uint64_t ns = dataplane::now_ns();
    const std::uint64_t after = dataplane::ticks();
    if (after - before >= least) continue;
    least = after - before;
    best = {before + (after - before) / 2, ns};
  }
  return best;
}

TickClock::TickClock() {
  const Pair begin = read();
  ticks_ = begin.ticks;
  ns_ = begin.ns;
  while (dataplane::now_ns() < begin.ns + calibration_ns) {
  }
  const Pair now = read();
  ns_per_tick_ = static_cast<double>(now.ns - ns_) / static_cast<double>(now.ticks - ticks_);
}

StageRecorder::StageRecorder(std::span<replica::StageTrace* const> traces)
    : traces_(traces.begin(), traces.end()), recent_(recent_slots) {
  for (replica::StageTrace* const trace : traces_) trace->set_enabled(true);
}

StageRecorder::~StageRecorder() {
  for (replica::StageTrace* const trace : traces_) trace->set_enabled(false);
}

// Appends of one client end in the order of the log: the search goes on where the last one ended.
const replica::SlotTimes* StageRecorder::find(Lsn lsn) {
  for (replica::StageTrace* const trace : traces_) {
    while (trace->take(recent_[taken_ % recent_slots])) ++taken_;
  }
  cursor_ = std::max(cursor_, taken_ - std::min<std::uint64_t>(taken_, recent_slots));
  for (std::uint64_t at = cursor_; at < taken_; ++at) {
    const replica::SlotTimes& times = recent_[at % recent_slots];
    if (lsn < times.first) return nullptr;
    if (lsn >= times.first + times.count) continue;
    cursor_ = at;
    return &times;
  }
  return nullptr;
}

void StageRecorder::add(Lsn lsn, std::uint64_t begin_ns, std::uint64_t end_ns) {
  const replica::SlotTimes* const times = find(lsn);
  if (times == nullptr) return;
  std::uint64_t last = begin_ns;
  for (std::size_t i = 0; i < part_count; ++i) {
    const std::uint64_t step = i < replica::steps ? clock_.to_ns(times->ticks[i]) : end_ns;
    const std::uint64_t at = std::clamp(step, last, std::max(last, end_ns));
    parts_[i].record(at - last);
    sums_ns_[i] += static_cast<double>(at - last);
    last = at;
  }
}

std::vector<StageTime> StageRecorder::times() const {
  std::vector<StageTime> times;
  if (count() == 0) return times;
  for (std::size_t i = 0; i < part_count; ++i) {
    times.push_back({.name = names[i],
                     .mean_us = sums_ns_[i] / static_cast<double>(count()) / 1000,
                     .p50_us = static_cast<double>(parts_[i].percentile(50)) / 1000,
                     .p99_us = static_cast<double>(parts_[i].percentile(99)) / 1000});
  }
  return times;
}

}  // namespace synod::bench
