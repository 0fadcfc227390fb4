// What a bench found. How it is shown is up to report_table, report_json, report_csv, report_hgrm and report_html; the keys of
// the JSON object and the columns of the CSV are a contract (docs/BENCHMARKS.md).
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bench/against.h"
#include "bench/appender.h"
#include "bench/environment.h"
#include "bench/floors.h"
#include "bench/options.h"
#include "bench/stages.h"
#include "bench/workload.h"

namespace synod::bench {

struct Latency {
  double p50 = 0;
  double p90 = 0;
  double p99 = 0;
  double p999 = 0;
  double p9999 = 0;
  double max = 0;
};

[[nodiscard]] Latency latency_us(const Histogram& latency_ns);

// One load and what became of it.
struct Run {
  ArrivalKind arrivals = ArrivalKind::closed;
  double rate = 0;  // wanted, of an open loop
  WorkloadResult result;
  AppenderCounters counters;
  std::uint64_t elections = 0;        // ballots raised during the run
  std::uint64_t packets_dropped = 0;  // by replicas, for any reason

  [[nodiscard]] double appends_per_second() const;
  [[nodiscard]] double entries_per_packet() const;
  // No send was missed, nobody was told to wait: the cluster keeps up with an open loop.
  [[nodiscard]] bool keeps_up() const;
  // All was sent and answered, if up to one in a hundred late: what a machine allows that is paused now and then.
  [[nodiscard]] bool nearly_keeps_up() const;
};

// What a load saw of the leader's death.
struct Failure {
  ReplicaId killed;
  double at_seconds = 0;        // into the measured time
  double rate_before = 0;       // appends a second
  double outage_seconds = 0;    // the longest time without an answer
  double recovery_seconds = 0;  // until a tenth of a second brought 90 % of the rate before
  bool recovered = false;
  std::uint64_t errors = 0;
};

[[nodiscard]] Failure failure_of(ReplicaId killed, const WorkloadResult& result);

// A rung of the ladder of load.
struct Rung {
  double share = 0;  // of the peak
  Run run;
};

struct Report {
  std::string name;  // what is special about it in a sweep
  Options options;
  Environment environment;
  CpuLayout cpu;
  std::string cpu_layout;
  std::string port;
  std::string device;
  bool device_stable = false;
  std::size_t replicas = 0;
  Floors floors;

  Run run;
  std::vector<StageTime> stages;  // of a load of its own behind the run: stamps cost time
  std::optional<Failure> failure;
  std::optional<double> peak;  // appends a second: the highest rate that the cluster kept up with
  std::vector<Rung> ladder;

  std::optional<bool> is_verified;  // nothing: not asked for
  Verified verified;
  std::vector<std::string> notes;  // what a reader must know to judge the figures
  std::string cut_short;           // why the figures are not all there
  std::optional<Comparison> against;

  [[nodiscard]] bool has_run() const { return options.measure != Measure::floor; }
  [[nodiscard]] std::optional<double> ratio_to_floor() const;
};

// Of one report or several: a sweep, all of one environment.
[[nodiscard]] std::string to_table(std::span<const Report> reports);
[[nodiscard]] std::string to_json(std::span<const Report> reports);
[[nodiscard]] std::string to_csv(std::span<const Report> reports);
// A page of its own, which needs nothing but a browser.
[[nodiscard]] std::string to_html(std::span<const Report> reports);
// HdrHistogram's text, in microseconds.
[[nodiscard]] std::string to_hgrm(const Histogram& latency_ns);

}  // namespace synod::bench
