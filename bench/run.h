// One run of `synod bench`: floors, load, read back, floors again, and a report.
#pragma once

#include <atomic>
#include <memory>

#include "base/error.h"
#include "bench/options.h"
#include "bench/report.h"
#include "bench/workload.h"

namespace synod::bench {

// What the run is doing, for whoever shows it.
enum class Stage : std::uint8_t { starting, floors, formatting, electing, loading, verifying, done };

struct Watch {
  std::atomic<Stage> stage = Stage::starting;
  Progress progress;
};

// Control thread; blocks until it is done. SIGINT and SIGTERM (replica/stop.h) end it early, with an error, and cleaned up.
[[nodiscard]] Result<Report> run(const Options& options, Watch& watch);

// Shows a watch on stderr: rewritten in place on a terminal, else a line for each stage that takes longer than a second.
class ProgressLine {
 public:
  explicit ProgressLine(const Watch& watch);
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

 private:
  struct Thread;
  std::unique_ptr<Thread> thread_;
};

}  // namespace synod::bench
