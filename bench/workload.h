// The load: clients that keep N appends in flight each (closed loop), or send at times that do not depend on answers (open
// loop), and what became of each append.
//
// Latency runs from the submission of an entry to its completion; in an open loop from the time at which the entry *should* have
// been sent. What is sent late is counted, and so is what was due and never sent. Warm-up is not measured: a closed loop warms up
// until its rate has settled.
//
// Thread: one, pinned by the caller; spins. No heap while it runs but for the appender's own rules.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "bench/appender.h"
#include "bench/arrivals.h"
#include "bench/histogram.h"
#include "bench/stages.h"
#include "bench/timeline.h"

namespace synod::bench {

struct WorkloadOptions {
  std::size_t in_flight = 1;  // of each client
  ArrivalKind arrivals = ArrivalKind::closed;
  double rate = 0;  // appends a second of all clients, in an open loop
  double seconds = 5;
  double warmup_seconds = 0.5;      // at least
  double warmup_seconds_max = 0.5;  // until then the rate must have settled
  std::uint64_t seed = 1;           // of the arrivals
  bool shares_core = false;         // with the replicas: give the core away while nothing comes in
  StageRecorder* stages = nullptr;  // gets each append of the measured interval
  // Something that is done to the cluster in the middle of the measured interval, on the load's thread.
  std::function<void()> event;
};

struct WorkloadResult {
  Histogram latency_ns;
  Timeline timeline;             // of the measured interval
  std::uint64_t appended = 0;    // completed in the measured interval
  double seconds = 0;            // of it
  double warmup_seconds = 0;     // before it
  bool settled = true;           // the rate, when the warm-up ended
  std::uint64_t submitted = 0;   // warm-up included
  std::uint64_t errors = 0;      // appends that ended otherwise than appended, warm-up included
  std::uint64_t late_sends = 0;  // open loop: sent more than late_ns_max after its time
  std::uint64_t unsent = 0;      // open loop: due before the end, and never sent
  double event_seconds = 0;      // when the event had happened, from the beginning of the measured interval
  double outage_seconds = 0;     // the longest time behind it in which nothing was completed
  bool filled = false;           // the journal was full before the end
  std::string cut_short;         // why it ended early: what was measured until then is here
};

inline constexpr std::uint64_t late_ns_max = 1'000'000;

class Workload {
 public:
  Workload(Appender& appender, Payloads& payloads, const WorkloadOptions& options, Progress& progress);

  // `numbers`: of the next entry of each client; carried from one load on the same appender to the next.
  [[nodiscard]] WorkloadResult run(std::vector<std::uint64_t>& numbers);

 private:
  // An append in flight, or room for one.
  struct Place {
    std::uint32_t client = 0;
    std::uint64_t begin_ns = 0;  // when its latency begins
  };

  void submit(std::uint64_t now_ns);
  [[nodiscard]] bool submit_one(std::size_t client, std::uint64_t begin_ns, std::uint64_t now_ns);
  void complete(std::uint64_t now_ns);
  void watch_warmup(std::uint64_t now_ns);
  void begin_measuring(std::uint64_t now_ns, bool settled);
  [[nodiscard]] bool may_go_on(std::uint64_t now_ns);
  void count_unsent(std::uint64_t now_ns);
  void play_event(std::uint64_t now_ns);

  Appender& appender_;
  Payloads& payloads_;
  WorkloadOptions options_;
  Progress& progress_;
  Arrivals arrivals_;
  WorkloadResult result_;
  std::vector<std::uint64_t>* numbers_ = nullptr;
  std::vector<Place> places_;                     // by tag
  std::vector<std::vector<std::uint32_t>> free_;  // tags, by client
  std::array<Finished, 256> finished_;
  std::size_t next_client_ = 0;
  std::uint64_t begin_ns_ = 0;
  std::uint64_t measure_ns_ = 0;  // when warm-up was over; not yet: beyond every time
  std::uint64_t end_ns_ = 0;
  std::uint64_t in_flight_ = 0;
  std::uint64_t completed_ = 0;
  std::uint64_t event_ns_ = 0;  // 0: not yet
  std::uint64_t heard_ns_ = 0;  // when something was last completed, or nothing was in flight
  // Warm-up: how much was completed in each of the last windows.
  std::array<std::uint64_t, 3> windows_{};
  std::uint64_t window_end_ns_ = 0;
  std::uint64_t window_completed_ = 0;
};

}  // namespace synod::bench
