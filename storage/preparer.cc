#include "storage/preparer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <csignal>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>

#include "storage/aligned_buffer.h"
#include "storage/file.h"

namespace synod::storage {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t piece_bytes = 1U << 20;
constexpr int thread_nice = 10;

}  // namespace

Preparer::Preparer(SegmentTable& table, const PreparerOptions& options)
    : table_(table), options_(options), next_write_(Clock::now()) {
  // A signal belongs to the threads that expect it; here it would interrupt a reservation of space.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Preparer::~Preparer() = default;  // the thread is told to stop, and joined

std::string Preparer::error() const {
  const std::scoped_lock hold(mutex_);
  return error_;
}

void Preparer::wait() const {
  std::unique_lock hold(mutex_);
  changed_.wait(hold, [this] { return finished_ || !error_.empty(); });
}

void Preparer::run(const std::stop_token& stop) {
  (void)::pthread_setname_np(::pthread_self(), "preparer");
  (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), thread_nice);
  for (std::uint32_t segment = table_.ready.load(); segment < table_.geometry.segments && !stop.stop_requested();) {
    const auto file = prepare(segment, stop);
    if (!file) {
      failed(file.error().text);
      if (sync_failed_) return;
      std::unique_lock hold(mutex_);
      (void)changed_.wait_for(hold, stop, options_.try_again_after, [] { return false; });
      continue;
    }
    if (*file < 0) break;
    table_.files[segment] = *file;
    table_.ready.store(++segment, std::memory_order_release);
    succeeded();
  }
  const std::scoped_lock hold(mutex_);
  finished_ = true;
  changed_.notify_all();
}

// Said once, and not again at every try.
void Preparer::failed(const std::string& text) {
  const std::scoped_lock hold(mutex_);
  if (error_.empty()) {
    fmt::print(stderr, "synod: {}: the journal goes on with {} of {} segments{}\n", text, table_.ready.load(),
               table_.geometry.segments, sync_failed_ ? "" : "; trying again");
  }
  error_ = text;
  table_.preparing_failed.store(true, std::memory_order_relaxed);
  changed_.notify_all();
}

void Preparer::succeeded() {
  const std::scoped_lock hold(mutex_);
  if (error_.empty()) return;
  error_.clear();
  table_.preparing_failed.store(false, std::memory_order_relaxed);
  fmt::print(stderr, "synod: {}: segments are made ready again, {} of {}\n", table_.directory, table_.ready.load(),
             table_.geometry.segments);
}

Result<int> Preparer::prepare(std::uint32_t segment, const std::stop_token& stop) {
  const std::string path = unprepared_path(table_.directory, segment);
  Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600));
  if (file.fd() < 0) return fail(fmt::format("cannot open {}: {}", path, std::strerror(errno)));
  if (auto reserved = reserve_space(file.fd(), path, table_.geometry.segment_bytes); !reserved) {
    return std::unexpected(reserved.error());
  }
  const auto written = write_zeros(file.fd(), path, stop);
  if (!written) return std::unexpected(written.error());
  if (!*written) return -1;
  if (::fdatasync(file.fd()) != 0) {
    sync_failed_ = true;
    return fail(fmt::format("cannot sync {} ({}): do not use this disk", path, std::strerror(errno)));
  }
  const std::string ready_path = segment_path(table_.directory, segment);
  if (::rename(path.c_str(), ready_path.c_str()) != 0) {
    return fail(fmt::format("cannot rename {} to {}: {}", path, ready_path, std::strerror(errno)));
  }
  if (auto synced = sync_directory_of(ready_path); !synced) return std::unexpected(synced.error());
  return file.release();
}

// False: stopped.
Result<bool> Preparer::write_zeros(int fd, const std::string& path, const std::stop_token& stop) {
  const AlignedBuffer zeros(piece_bytes);
  const std::uint64_t bytes = table_.geometry.segment_bytes;
  for (std::uint64_t at = 0; at < bytes; at += piece_bytes) {
    const std::uint64_t length = std::min(piece_bytes, bytes - at);
    pause(length, stop);
    if (stop.stop_requested()) return false;
    if (auto written = write_all(fd, path, zeros.bytes().first(length), at); !written) return std::unexpected(written.error());
  }
  return true;
}

// Waits until the next write is due at the rate of now.
void Preparer::pause(std::uint64_t bytes, const std::stop_token& stop) {
  const bool behind = table_.ready.load(std::memory_order_relaxed) < table_.used.load(std::memory_order_relaxed) + options_.ahead;
  const std::uint64_t rate = behind ? options_.bytes_per_second_behind : options_.bytes_per_second;
  const auto now = Clock::now();
  if (rate == 0) return;
  std::unique_lock hold(mutex_);
  (void)changed_.wait_until(hold, stop, std::max(now, next_write_), [] { return false; });
  const auto spacing = std::chrono::duration<double>(static_cast<double>(bytes) / static_cast<double>(rate));
  next_write_ = std::max(now, next_write_) + std::chrono::duration_cast<Clock::duration>(spacing);
}

}  // namespace synod::storage
