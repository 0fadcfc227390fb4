// What a run is doing, for whoever shows it. Written by the run's threads, read by any.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

namespace synod::bench {

// Of the load.
struct Progress {
  std::atomic<std::uint64_t> appended = 0;
  std::atomic<std::uint64_t> verified = 0;
};

enum class Stage : std::uint8_t { starting, floors, formatting, electing, loading, verifying, done };

class Watch {
 public:
  std::atomic<Stage> stage = Stage::starting;
  Progress progress;

  // Which part of a longer piece of work runs, e.g. "3 of 12: 4096 B".
  void set_part(std::string part) {
    const std::lock_guard lock(mutex_);
    part_ = std::move(part);
  }
  [[nodiscard]] std::string part() const {
    const std::lock_guard lock(mutex_);
    return part_;
  }

 private:
  mutable std::mutex mutex_;
  std::string part_;
};

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
