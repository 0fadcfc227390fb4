// The preparer: zeroes segments that `synod format` only reserved, one after the other, on a thread of its own.
//
// Each segment is written with plain O_DIRECT writes in its own file, synced once, renamed from `segment-N.new` to `segment-N`,
// and only when the directory is synced too does SegmentTable::ready grow. A stop or a crash at any point leaves a `.new` file,
// which the next one writes again from its start. Where a segment cannot be written (no space, as a rule) error() and one line on
// stderr say why, the journal goes on with what is ready, and it is tried again every few seconds. A failed sync is final.
//
// Thread: its own, with low priority and all signals blocked; the CPU mask is the creator's, so open before pinning.
// The data path reads one atomic and, when it enters a segment, writes one.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

#include "base/error.h"
#include "storage/segment_files.h"

namespace synod::storage {

struct PreparerOptions {
  bool enabled = true;
  std::uint32_t ahead = 2;                              // segments that should be ready behind the one in use
  std::uint64_t bytes_per_second = 200'000'000;         // while that many are; 0: no limit
  std::uint64_t bytes_per_second_behind = 800'000'000;  // while they are not; 0: no limit
  std::chrono::milliseconds try_again_after{5'000};     // where one cannot be written
};

class Preparer {
 public:
  // Starts the thread. The table must outlive it.
  Preparer(SegmentTable& table, const PreparerOptions& options);
  ~Preparer();  // stops promptly: after one write and at most one sync
  Preparer(const Preparer&) = delete;
  Preparer& operator=(const Preparer&) = delete;

  // Why it does not go on just now, or empty. Any thread.
  [[nodiscard]] std::string error() const;
  // Waits until all is ready, or one cannot be made so. Any thread but the polling one.
  void wait() const;

 private:
  void run(const std::stop_token& stop);
  void failed(const std::string& text);
  void succeeded();
  // The descriptor of the segment, ready; -1: stopped.
  [[nodiscard]] Result<int> prepare(std::uint32_t segment, const std::stop_token& stop);
  [[nodiscard]] Result<bool> write_zeros(int fd, const std::string& path, const std::stop_token& stop);
  void pause(std::uint64_t bytes, const std::stop_token& stop);

  SegmentTable& table_;
  PreparerOptions options_;
  std::chrono::steady_clock::time_point next_write_;  // the thread's
  mutable std::mutex mutex_;                          // of what follows
  mutable std::condition_variable_any changed_;
  std::string error_;
  bool finished_ = false;
  bool sync_failed_ = false;  // the thread's
  std::jthread thread_;       // last: it uses the others
};

}  // namespace synod::storage
