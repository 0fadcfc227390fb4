#include "storage/uring_device.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "base/check.h"
#include "storage/device_facts.h"
#include "storage/file.h"
#include "storage/format.h"
#include "storage/layout.h"

namespace synod::storage {

namespace {

using namespace std::chrono_literals;

// The kernel ends a killed process's writes, and then drops its lock, a moment after the process is gone.
constexpr auto lock_wait_max = 2s;
constexpr auto drain_wait_max = 2s;
// user_data is the operation's index times two, plus one for the write in front of a linked fsync.
constexpr std::uint64_t write_part = 1;

std::string no_direct(const std::string& path, const std::string& file_system) {
  return fmt::format("{}: {} cannot promise durable writes (no O_DIRECT): put --data on a disk file system, or use --data memory",
                     path, file_system);
}

}  // namespace

Result<int> open_exclusive(const std::string& path) {
  const bool device = is_block_device(path);
  // Without O_CREAT, and on a block device, O_EXCL means: not mounted, and nobody else has it so.
  const int flags = O_RDWR | O_DIRECT | O_CLOEXEC | (device ? O_EXCL : 0);
  const std::string in_use =
      device ? fmt::format(
                   "{}: the device is mounted or in use by another process; unmount it or stop that one first, or choose "
                   "another --data",
                   path)
             : fmt::format("{}: the directory is in use by another process; stop that one first or choose another --data", path);
  const auto deadline = std::chrono::steady_clock::now() + lock_wait_max;
  for (;; std::this_thread::sleep_for(10ms)) {
    Descriptor file(::open(path.c_str(), flags));
    if (file.fd() >= 0 && ::flock(file.fd(), LOCK_EX | LOCK_NB) == 0) return file.release();
    const int error = errno;
    if (file.fd() < 0 && error == EINVAL) return fail(no_direct(path, "this file system"));
    if (file.fd() < 0 && error != EBUSY) return fail(fmt::format("cannot open {}: {}", path, std::strerror(error)));
    if (error != EWOULDBLOCK && error != EINTR && error != EBUSY) {
      return fail(fmt::format("cannot lock {}: {}", path, std::strerror(error)));
    }
    if (std::chrono::steady_clock::now() > deadline) return fail(in_use);
  }
}

Result<std::uint64_t> size_of_open(int fd, const std::string& path) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) return fail(fmt::format("cannot examine {}: {}", path, std::strerror(errno)));
  if (!S_ISBLK(status.st_mode)) return static_cast<std::uint64_t>(status.st_size);
  std::uint64_t bytes = 0;
  if (::ioctl(fd, BLKGETSIZE64, &bytes) != 0) return fail(fmt::format("cannot size {}: {}", path, std::strerror(errno)));
  return bytes;
}

bool is_block_device(const std::string& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 && S_ISBLK(status.st_mode);
}

const char* name(DurabilityMethod method) {
  switch (method) {
    case DurabilityMethod::dsync_yield: return "O_DSYNC";
    case DurabilityMethod::dsync_spin: return "O_DSYNC, spinning";
    case DurabilityMethod::linked_yield: return "linked fdatasync";
    case DurabilityMethod::linked_spin: return "linked fdatasync, spinning";
  }
  return "unknown";
}

Result<std::unique_ptr<UringDevice>> UringDevice::open(const std::string& path, DurabilityMethod method) {
  auto device = open_file(path);
  if (device) (*device)->use(method);
  return device;
}

Result<std::unique_ptr<UringDevice>> UringDevice::open(const std::string& path, ProbeArea probe) {
  auto opened = open_file(path);
  if (!opened) return opened;
  if (auto probed = (*opened)->choose(path, probe); !probed) return std::unexpected(probed.error());
  return opened;
}

Result<std::unique_ptr<UringDevice>> UringDevice::open_directory(const std::string& directory, const Geometry& geometry,
                                                                 ProbeArea probe, const PreparerOptions& preparer) {
  const std::string path = journal_path(directory);
  auto opened = open_file(path);
  if (!opened) return opened;
  UringDevice& device = **opened;
  if (auto probed = device.choose(path, probe); !probed) return std::unexpected(probed.error());
  device.segments_ = std::make_unique<SegmentTable>(directory, geometry);
  if (auto found = open_segments(*device.segments_); !found) return std::unexpected(found.error());
  device.info_.size_bytes = geometry.end();
  device.info_.segment_bytes = geometry.segment_bytes;
  const bool complete = device.segments_->ready == geometry.segments;
  if (!complete && preparer.enabled) device.preparer_ = std::make_unique<Preparer>(*device.segments_, preparer);
  return opened;
}

Result<> UringDevice::choose(const std::string& path, ProbeArea probe) {
  if (probe.offset + probe.bytes > info_.size_bytes) {
    return fail(fmt::format("{} is too short to be a journal: it was cut off; restore it or join as a new member", path));
  }
  constexpr int probe_rounds = 64;
  auto times = measure_methods(*this, probe, probe_rounds);
  if (!times) return fail(fmt::format("{}: {}", path, times.error().text));
  method_times_ = std::move(*times);
  use(choose_method(method_times_, needs_flush_));
  return {};
}

Result<std::unique_ptr<UringDevice>> UringDevice::open_file(const std::string& path) {
  std::unique_ptr<UringDevice> device(new UringDevice);
  if (auto started = device->start(path); !started) return std::unexpected(started.error());
  return device;
}

Result<> UringDevice::start(const std::string& path) {
  const auto opened = open_exclusive(path);
  if (!opened) return std::unexpected(opened.error());
  fd_ = *opened;
  const auto facts = find_device_facts(fd_, path);
  if (!facts) return std::unexpected(facts.error());
  if ((facts->is_memory && !facts->is_device) || !facts->has_direct) return fail(no_direct(path, facts->file_system));
  if (device_block_bytes % facts->offset_align != 0 || device_block_bytes % facts->memory_align != 0) {
    return fail(fmt::format("{}: direct I/O here needs blocks of {} bytes, and Synod writes blocks of {}: use another disk", path,
                            facts->offset_align, device_block_bytes));
  }
  const auto size = size_of_open(fd_, path);
  if (!size) return std::unexpected(size.error());
  if (::fsync(fd_) != 0) {
    return fail(
        fmt::format("{}: fsync failed ({}): the disk lost writes; this replica must not vote", path, std::strerror(errno)));
  }
  const int error = io_uring_queue_init(2 * operations_max, &ring_, 0);
  if (error < 0) {
    return fail(
        fmt::format("io_uring is not available ({}): allow it (sysctl kernel.io_uring_disabled=0, RLIMIT_MEMLOCK), or use "
                    "--data memory",
                    std::strerror(-error)));
  }
  has_ring_ = true;
  needs_flush_ = facts->write_back.value_or(true) && !facts->fua.value_or(false);
  info_ = {
      .block_bytes = device_block_bytes, .size_bytes = *size, .segment_bytes = 0, .stable = facts->stable, .description = {}};
  facts_ = describe(*facts);
  operations_.resize(operations_max);
  free_.reserve(operations_max);
  for (std::uint32_t i = operations_max; i > 0; --i) free_.push_back(i - 1);
  use(method_);
  return {};
}

UringDevice::~UringDevice() {
  preparer_.reset();
  // Buffers belong to callers, who have waited for their operations; this waits for what a careless one left.
  const auto deadline = std::chrono::steady_clock::now() + drain_wait_max;
  std::array<Completion, 8> finished;
  if (in_flight_ > 0) submit();
  while (in_flight_ > 0 && std::chrono::steady_clock::now() < deadline) {
    if (poll(finished) == 0) ::sched_yield();
  }
  if (has_ring_) io_uring_queue_exit(&ring_);
  if (fd_ >= 0) ::close(fd_);
}

void UringDevice::use(DurabilityMethod method) {
  CHECK_EQ(in_flight_, 0U);
  method_ = method;
  info_.description = fmt::format("{}, O_DIRECT + {}", facts_, name(method));
}

std::uint32_t UringDevice::take_operation(std::size_t bytes, std::uint64_t token, std::uint8_t parts, bool durable_write) {
  CHECK(!free_.empty());
  const std::uint32_t index = free_.back();
  free_.pop_back();
  operations_[index] = {
      .token = token, .bytes = static_cast<std::uint32_t>(bytes), .error = 0, .parts = parts, .durable_write = durable_write};
  ++in_flight_;
  if (durable_write) ++durable_in_flight_;
  return index;
}

io_uring_sqe* UringDevice::next_entry(unsigned entries_needed) {
  // Room is always there: the queue has two entries per operation.
  if (entries_needed > 0) CHECK_GE(io_uring_sq_space_left(&ring_), entries_needed);
  io_uring_sqe* entry = io_uring_get_sqe(&ring_);
  CHECK(entry != nullptr);
  return entry;
}

UringDevice::Place UringDevice::locate(std::uint64_t offset, std::uint64_t bytes) const {
  if (segments_ == nullptr || offset + bytes <= segments_offset) return {.fd = fd_, .segment = 0, .offset = offset};
  const Geometry& geometry = segments_->geometry;
  CHECK_GE(offset, segments_offset);
  CHECK_LE(offset + bytes, segments_->ready_bytes());
  const std::uint32_t segment = geometry.segment_of(offset);
  CHECK_LE(offset + bytes, geometry.start_of(segment + 1));
  return {.fd = segments_->files[segment], .segment = segment, .offset = offset - geometry.start_of(segment)};
}

void UringDevice::write_durable(std::uint64_t offset, Bytes data, std::uint64_t token) {
  const bool linked = is_linked(method_);
  const std::uint32_t index = take_operation(data.size(), token, linked ? 2 : 1, true);
  io_uring_sqe* entry = next_entry(linked ? 2 : 1);
  const Place place = locate(offset, data.size());
  if (segments_ != nullptr && place.segment >= segments_->used.load(std::memory_order_relaxed)) {
    segments_->used.store(place.segment + 1, std::memory_order_relaxed);
  }
  io_uring_prep_write(entry, place.fd, data.data(), static_cast<unsigned>(data.size()), place.offset);
  entry->user_data = std::uint64_t{index} * 2 + write_part;
  if (!linked) {
    entry->rw_flags = RWF_DSYNC;
    return;
  }
  // A short or failed write breaks the link: then the fsync ends with ECANCELED.
  entry->flags |= IOSQE_IO_LINK;
  io_uring_sqe* sync = next_entry(0);
  io_uring_prep_fsync(sync, place.fd, IORING_FSYNC_DATASYNC);
  sync->user_data = std::uint64_t{index} * 2;
}

void UringDevice::read(std::uint64_t offset, MutableBytes to, std::uint64_t token) {
  const std::uint32_t index = take_operation(to.size(), token, 1, false);
  io_uring_sqe* entry = next_entry(1);
  const Place place = locate(offset, to.size());
  io_uring_prep_read(entry, place.fd, to.data(), static_cast<unsigned>(to.size()), place.offset);
  entry->user_data = std::uint64_t{index} * 2 + write_part;
}

void UringDevice::submit() {
  // A transient refusal (EAGAIN, EINTR) leaves the entries in the queue for the next call.
  if (io_uring_sq_ready(&ring_) != 0) (void)io_uring_submit(&ring_);
}

bool UringDevice::finish_part(const io_uring_cqe& entry, Completion& out) {
  const auto index = static_cast<std::uint32_t>(entry.user_data / 2);
  Operation& operation = operations_[index];
  const bool transfer = (entry.user_data & write_part) != 0;
  std::int32_t error = 0;
  if (entry.res < 0) {
    error = -entry.res;
  } else if (transfer && static_cast<std::uint32_t>(entry.res) != operation.bytes) {
    error = EIO;
  }
  // The write's own error says more than the ECANCELED of the fsync behind it.
  if (error != 0 && (operation.error == 0 || operation.error == ECANCELED)) operation.error = error;
  if (--operation.parts > 0) return false;
  out = {.token = operation.token, .error = operation.error};
  --in_flight_;
  if (operation.durable_write) --durable_in_flight_;
  free_.push_back(index);
  return true;
}

std::size_t UringDevice::reap(std::span<Completion> out) {
  std::size_t count = 0;
  while (count < out.size()) {
    io_uring_cqe* entry = nullptr;
    if (io_uring_peek_cqe(&ring_, &entry) != 0) break;
    if (finish_part(*entry, out[count])) ++count;
    io_uring_cqe_seen(&ring_, entry);
  }
  return count;
}

std::size_t UringDevice::poll(std::span<Completion> out) {
  if (in_flight_ == 0) return 0;
  const std::size_t count = reap(out);
  if (count > 0 || durable_in_flight_ == 0 || !yields(method_)) return count;
  ::sched_yield();
  return reap(out);
}

}  // namespace synod::storage
