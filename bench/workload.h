// The load: a client that keeps N appends in flight (closed loop), or sends at a constant rate (open loop), and measures each.
//
// Latency runs from the submission of an entry to its completion, in the order of the session. With a rate it runs from the
// time at which the entry *should* have been sent: a stall is charged to every append that it delays (coordinated omission).
// Warm-up is not measured. Thread: one, pinned by the caller; spins. No heap while it runs but for the session's own rules.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "base/error.h"
#include "bench/histogram.h"
#include "bench/link.h"
#include "bench/written.h"

namespace synod::bench {

struct WorkloadOptions {
  std::size_t in_flight = 1;
  std::size_t payload_bytes = 128;
  wire::AckLevel ack = wire::AckLevel::quorum;
  std::uint64_t rate = 0;  // appends a second; 0: closed loop
  double seconds = 5;
  double warmup_seconds = 0.5;
  bool shares_core = false;  // with the replicas: give the core away while nothing comes in
};

// For whoever shows progress. Written by the load's thread.
struct Progress {
  std::atomic<std::uint64_t> appended = 0;
  std::atomic<std::uint64_t> verified = 0;
};

struct WorkloadResult {
  Histogram latency_ns;
  std::uint64_t appended = 0;    // completed in the measured interval
  double seconds = 0;            // of it
  std::uint64_t errors = 0;      // appends that ended otherwise than appended, warm-up included
  std::uint64_t misplaced = 0;   // appended, but not behind all earlier ones
  std::uint64_t late_sends = 0;  // open loop: sent more than late_ns_max after its time
  std::uint64_t busy = 0;
  std::uint64_t resent = 0;
  double entries_per_packet = 0;
  bool filled = false;  // the journal was full before the end
  Written written;      // everything that was appended, warm-up included
};

inline constexpr std::uint64_t late_ns_max = 1'000'000;

class Workload {
 public:
  Workload(Link& link, Payloads& payloads, const WorkloadOptions& options, Progress& progress);

  [[nodiscard]] Result<WorkloadResult> run();

 private:
  void submit(std::uint64_t now_ns);
  void complete(std::uint64_t now_ns);
  [[nodiscard]] Result<> check_session(std::uint64_t now_ns);
  [[nodiscard]] std::uint64_t intended_ns(std::uint64_t number) const;
  [[nodiscard]] std::uint64_t due(std::uint64_t now_ns) const;

  Link& link_;
  Payloads& payloads_;
  WorkloadOptions options_;
  Progress& progress_;
  WorkloadResult result_;
  std::vector<std::uint64_t> sent_ns_;  // by number modulo in_flight: when its latency begins
  std::uint64_t begin_ns_ = 0;
  std::uint64_t measure_ns_ = 0;  // when warm-up is over
  std::uint64_t end_ns_ = 0;
  std::uint64_t submitted_ = 0;
  std::uint64_t completed_ = 0;
  std::uint64_t sessions_ended_ = 0;
};

}  // namespace synod::bench
