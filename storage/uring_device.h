// A block device behind io_uring: one ring over one file, one raw block device, or the files of a data directory (`journal` and
// one per segment, see segment_files.h), with O_DIRECT, locked (flock on the first) for as long as it writes.
//
// Opening syncs each file before anything is read from it, so that no decision rests on bytes that a crashed process never made
// durable. The lock is on the descriptor that writes; the kernel drops it only after the last write of a killed process has
// ended, which is why opening waits for it a little.
//
// Thread: one after open. A preparer's thread may add segments behind what is ready. System calls: one io_uring_enter per
// submit() that has something new, and one sched_yield per poll() that finds nothing while a durable write is in flight (see
// durability.h). None otherwise. Source of the method table: reference measurements on a virtio disk with a volatile cache, and
// REQ_FUA in Linux's iomap.
#pragma once

#include <liburing.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "storage/device.h"
#include "storage/durability.h"
#include "storage/preparer.h"
#include "storage/segment_files.h"

namespace synod::storage {

class UringDevice {
 public:
  static constexpr std::uint32_t operations_max = 64;  // asked for and not yet polled

  // Where writes may be timed: it is overwritten with zeros.
  struct ProbeArea {
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;  // at least 4 blocks
  };

  // Opens an existing, pre-written file (or block device).
  // With a method: uses it (for measuring floors). Without: times the methods in `probe` and takes the best safe one.
  [[nodiscard]] static Result<std::unique_ptr<UringDevice>> open(const std::string& path, DurabilityMethod method);
  [[nodiscard]] static Result<std::unique_ptr<UringDevice>> open(const std::string& path, ProbeArea probe);
  // The files of a data directory. Starts zeroing the segments that are not ready yet, if there are any.
  [[nodiscard]] static Result<std::unique_ptr<UringDevice>> open_directory(const std::string& directory, const Geometry& geometry,
                                                                           ProbeArea probe, const PreparerOptions& preparer);
  ~UringDevice();
  UringDevice(const UringDevice&) = delete;
  UringDevice& operator=(const UringDevice&) = delete;

  void write_durable(std::uint64_t offset, Bytes data, std::uint64_t token);
  void read(std::uint64_t offset, MutableBytes to, std::uint64_t token);
  void submit();
  [[nodiscard]] std::size_t poll(std::span<Completion> out);
  [[nodiscard]] const DeviceInfo& info() const { return info_; }
  [[nodiscard]] std::uint64_t ready_bytes() const { return segments_ != nullptr ? segments_->ready_bytes() : info_.size_bytes; }
  [[nodiscard]] bool preparing_failed() const {
    return segments_ != nullptr && segments_->preparing_failed.load(std::memory_order_relaxed);
  }

  // Zeroes segments in the background; null where all were ready at open.
  [[nodiscard]] const Preparer* preparer() const { return preparer_.get(); }

  [[nodiscard]] DurabilityMethod method() const { return method_; }
  // Changes the method. Nothing may be in flight.
  void use(DurabilityMethod method);
  // What the probe at open measured; empty if the method was given.
  [[nodiscard]] const std::vector<MethodTime>& method_times() const { return method_times_; }
  // Whether a write needs the CPU to complete: a volatile cache without FUA, or unknown.
  [[nodiscard]] bool needs_flush() const { return needs_flush_; }

 private:
  struct Operation {
    std::uint64_t token = 0;
    std::uint32_t bytes = 0;
    std::int32_t error = 0;
    std::uint8_t parts = 0;  // completions of the kernel that are still to come
    bool durable_write = false;
  };

  // Where a flat offset lies.
  struct Place {
    int fd = -1;
    std::uint32_t segment = 0;
    std::uint64_t offset = 0;
  };

  UringDevice() = default;
  [[nodiscard]] static Result<std::unique_ptr<UringDevice>> open_file(const std::string& path);
  [[nodiscard]] Result<> start(const std::string& path);
  [[nodiscard]] Result<> choose(const std::string& path, ProbeArea probe);
  [[nodiscard]] Place locate(std::uint64_t offset, std::uint64_t bytes) const;
  [[nodiscard]] std::uint32_t take_operation(std::size_t bytes, std::uint64_t token, std::uint8_t parts, bool durable_write);
  [[nodiscard]] io_uring_sqe* next_entry(unsigned entries_needed);
  [[nodiscard]] bool finish_part(const io_uring_cqe& entry, Completion& out);
  [[nodiscard]] std::size_t reap(std::span<Completion> out);

  io_uring ring_{};
  int fd_ = -1;
  bool has_ring_ = false;
  bool needs_flush_ = true;
  DurabilityMethod method_ = DurabilityMethod::dsync_yield;
  DeviceInfo info_;
  std::string facts_;
  std::vector<Operation> operations_;
  std::vector<std::uint32_t> free_;
  std::uint32_t in_flight_ = 0;
  std::uint32_t durable_in_flight_ = 0;
  std::vector<MethodTime> method_times_;
  std::unique_ptr<SegmentTable> segments_;  // of a data directory
  std::unique_ptr<Preparer> preparer_;      // uses segments_
};

// Times every method in the probe area: `rounds` single writes and a quarter as many rounds of four. A method that turns out to
// stall is given up early, so that the probe stays short. `methods` empty: all.
[[nodiscard]] Result<std::vector<MethodTime>> measure_methods(UringDevice& device, UringDevice::ProbeArea area, int rounds,
                                                              std::span<const DurabilityMethod> methods = durability_methods);

// The best method of a measurement among those that cannot stall on this device.
[[nodiscard]] DurabilityMethod choose_method(std::span<const MethodTime> times, bool needs_flush);

}  // namespace synod::storage
