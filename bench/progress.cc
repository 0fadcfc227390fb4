#include "bench/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

namespace synod::bench {

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto refresh = 250ms;
constexpr auto quiet_max = 1s;

std::string describe_stage(const Watch& watch) {
  switch (watch.stage.load()) {
    case Stage::starting: return "starting";
    case Stage::floors: return "measuring the floors";
    case Stage::formatting: return "formatting the journals";
    case Stage::electing: return "waiting for a leader";
    case Stage::loading: return fmt::format("appending: {} done", watch.progress.appended.load());
    case Stage::verifying:
      return fmt::format("reading back: {} of {}", watch.progress.verified.load(), watch.progress.appended.load());
    case Stage::done: return "done";
  }
  return "";
}

std::string describe(const Watch& watch) {
  const std::string part = watch.part();
  return part.empty() ? describe_stage(watch) : part + ": " + describe_stage(watch);
}

}  // namespace

struct ProgressLine::Thread {
  explicit Thread(const Watch& watched) : watch(watched), terminal(::isatty(STDERR_FILENO) == 1), thread([this] { run(); }) {}

  void run() {
    Stage stage = watch.stage;
    Clock::time_point since = Clock::now();
    bool told = false;
    std::unique_lock lock(mutex);
    while (!wake.wait_for(lock, refresh, [this] { return ended; })) {
      if (watch.stage != stage) {
        stage = watch.stage;
        since = Clock::now();
        told = false;
      }
      if (terminal) {
        fmt::print(stderr, "\r\033[K{}", describe(watch));
      } else if (!told && Clock::now() - since > quiet_max) {
        fmt::print(stderr, "{}\n", describe(watch));
        told = true;
      }
      std::fflush(stderr);
    }
    if (terminal) fmt::print(stderr, "\r\033[K");
    std::fflush(stderr);
  }

  const Watch& watch;
  bool terminal;
  bool ended = false;  // guarded by mutex
  std::mutex mutex;
  std::condition_variable wake;
  std::thread thread;  // last: it uses the others
};

ProgressLine::ProgressLine(const Watch& watch) : thread_(std::make_unique<Thread>(watch)) {}

ProgressLine::~ProgressLine() {
  {
    const std::lock_guard lock(thread_->mutex);
    thread_->ended = true;
  }
  thread_->wake.notify_one();
  thread_->thread.join();
}

}  // namespace synod::bench
