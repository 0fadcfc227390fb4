// Reports with known figures, and files to put them into.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "bench/report.h"

namespace synod::bench {

inline Histogram sample_latency() {
  Histogram latency_ns;
  latency_ns.record(1000, 5);
  latency_ns.record(2000, 3);
  latency_ns.record(4000);
  latency_ns.record(100'000);
  return latency_ns;
}

inline Run sample_run() {
  Run run;
  run.result.latency_ns = sample_latency();
  run.result.timeline = Timeline(0, 0.5);
  for (std::uint64_t i = 0; i < 5; ++i) {
    Interval& interval = run.result.timeline.at(i * Timeline::interval_ns);
    interval = {.appended = 2, .errors = i == 3 ? 1U : 0U, .latency_max_ns = 1000 * (i + 1)};
  }
  run.result.appended = 10;
  run.result.submitted = 10;
  run.result.seconds = 0.5;
  run.result.errors = 1;
  run.counters.messages = 5;
  return run;
}

// Ten appends in half a second: p50 1 us; wire floor 0.5 us, diskless.
inline Report sample_report() {
  Report report;
  report.options.in_flight = 1;
  report.options.data = "memory";
  report.environment = {{.key = "cpu", .label = "CPU", .value = "a <fast> one"},
                        {.key = "time_utc", .label = "Time", .value = "2026-01-02T03:04:05Z"}};
  report.port = "net_ring";
  report.device = R"(memory, "as is")";
  report.replicas = 3;
  report.cpu_layout = "core 0";
  report.floors.wire = {{.method = "bare echo", .p50_us = 0.5, .p99_us = 0.75, .rounds = 100}};
  report.floors.diskless = true;
  report.run = sample_run();
  report.is_verified = true;
  report.verified = {.written = 10, .entries = 10};
  return report;
}

inline Report sample_with_ladder() {
  Report report = sample_report();
  report.peak = 40;
  for (const double share : {0.5, 1.0}) {
    Run run = sample_run();
    run.arrivals = ArrivalKind::constant;
    run.rate = 40 * share;
    report.ladder.push_back({.share = share, .run = run});
  }
  report.stages = {{.name = "to the leader", .p50_us = 0.25, .mean_us = 0.5}, {.name = "quorum", .p50_us = 0.5, .mean_us = 1.5}};
  return report;
}

inline std::span<const Report> one(const Report& report) {
  return {&report, 1};
}

// Removed in the end, with everything in it.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "synod-bench-XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  [[nodiscard]] std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  // Writes a file, with the directories above it, and returns its path.
  [[nodiscard]] std::string put(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name) << text;
    return *this / name;
  }
  [[nodiscard]] std::size_t count() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(path_), {}));
  }
  [[nodiscard]] std::string root() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

inline std::string text_of(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace synod::bench
