#include "storage/journal_image.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "storage/aligned_buffer.h"
#include "storage/layout.h"
#include "storage/superblock.h"

namespace synod::storage {

namespace {

struct OpenFile {
  Descriptor file;
  std::uint64_t bytes = 0;
};

Result<OpenFile> open_file(const std::string& path) {
  // Past the page cache, where the file system can: it would only hold memory, and slow the disk down.
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);
  if (fd < 0 && errno == EINVAL) fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail(fmt::format("cannot open {}: {}", path, std::strerror(errno)));
  OpenFile opened{Descriptor(fd), 0};
  struct stat facts = {};
  if (::fstat(fd, &facts) != 0) return fail(fmt::format("cannot look at {}: {}", path, std::strerror(errno)));
  opened.bytes = static_cast<std::uint64_t>(facts.st_size);
  if (S_ISBLK(facts.st_mode) && ::ioctl(fd, BLKGETSIZE64, &opened.bytes) != 0) {
    return fail(fmt::format("cannot look at {}: {}", path, std::strerror(errno)));
  }
  return opened;
}

}  // namespace

Result<JournalImage> JournalImage::open(const std::string& path, bool is_live) {
  std::error_code error;
  const bool is_directory = std::filesystem::is_directory(path, error);
  const std::string file = is_directory ? (std::filesystem::path(path) / "journal").string() : path;
  if (!std::filesystem::exists(file, error)) return fail(fmt::format("{} holds no journal: check --data", path));
  auto opened = open_file(file);
  if (!opened) return std::unexpected(opened.error());
  if (!is_live) {
    if (::flock(opened->file.fd(), LOCK_SH | LOCK_NB) != 0) {
      return fail(fmt::format("{} is in use by a running replica: stop it, read a copy, or pass --live", path));
    }
    (void)::flock(opened->file.fd(), LOCK_UN);
  }
  JournalImage image;
  image.size_bytes_ = image.ready_bytes_ = opened->bytes;
  image.parts_.push_back({std::move(opened->file), 0, opened->bytes});
  if (is_directory && image.size_bytes_ <= segments_offset) {
    if (auto added = image.add_segments(path); !added) return std::unexpected(added.error());
  }
  return image;
}

// segment-000000, segment-000001, ...; those whose zeros are not all written yet have names with `.new`.
Result<> JournalImage::add_segments(const std::string& directory) {
  AlignedBuffer copies(std::size_t{superblock_copies} * device_block_bytes);
  if (read(0, copies.bytes()) != 0) return fail(fmt::format("{} is cut off: its superblock cannot be read", directory));
  const auto superblock = newest_superblock(copies.bytes());
  if (!superblock) return fail(fmt::format("{}: {}", directory, superblock.error().text));
  const Geometry geometry = geometry_of(*superblock);
  for (std::uint32_t index = 0; index < geometry.segments; ++index) {
    const std::string path = (std::filesystem::path(directory) / fmt::format("segment-{:06}", index)).string();
    std::error_code error;
    if (!std::filesystem::exists(path, error)) break;
    auto opened = open_file(path);
    if (!opened) return std::unexpected(opened.error());
    parts_.push_back({std::move(opened->file), geometry.start_of(index), opened->bytes});
    ready_bytes_ = geometry.end_of(index);
  }
  size_bytes_ = geometry.end();
  segment_bytes_ = geometry.segment_bytes;
  return {};
}

int JournalImage::read(std::uint64_t offset, MutableBytes to) const {
  for (const Part& part : parts_) {
    const bool is_last = &part == &parts_.back();
    const std::uint64_t next = is_last ? UINT64_MAX : (&part)[1].start;
    while (!to.empty() && offset >= part.start && offset < next) {
      const std::size_t count = std::min<std::uint64_t>(to.size(), next - offset);
      const ssize_t got = ::pread(part.file.fd(), to.data(), count, static_cast<off_t>(offset - part.start));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return errno;
      if (got == 0) return EIO;
      offset += static_cast<std::uint64_t>(got);
      to = to.subspan(static_cast<std::size_t>(got));
    }
  }
  return to.empty() ? 0 : EIO;
}

std::optional<JournalImage::Place> JournalImage::locate(std::uint64_t offset, std::uint64_t bytes) const {
  const auto behind = std::ranges::upper_bound(parts_, offset, {}, &Part::start);
  const Part& part = *std::prev(behind);  // the first one starts at 0
  const std::uint64_t end = behind == parts_.end() ? size_bytes_ : behind->start;
  if (offset >= end || bytes > end - offset) return std::nullopt;
  return Place{part.file.fd(), offset - part.start};
}

ImageDevice::ImageDevice(const JournalImage& image)
    : image_(image),
      info_{.block_bytes = device_block_bytes,
            .size_bytes = image.size_bytes(),
            .segment_bytes = image.segment_bytes(),
            .stable = true,
            .description = "image"} {
  has_ring_ = io_uring_queue_init(reads_max, &ring_, 0) == 0;
  for (std::size_t i = 0; has_ring_ && i < reads_max; ++i) free_.push_back(i);
}

ImageDevice::~ImageDevice() {
  if (has_ring_) io_uring_queue_exit(&ring_);
}

void ImageDevice::write_durable(std::uint64_t, Bytes, std::uint64_t token) {
  finished_.push_back({.token = token, .error = EROFS});
}

void ImageDevice::read(std::uint64_t offset, MutableBytes to, std::uint64_t token) {
  const auto place = image_.locate(offset, to.size());
  if (free_.empty() || !place) return finished_.push_back({.token = token, .error = image_.read(offset, to)});
  const std::size_t index = free_.back();
  free_.pop_back();
  reads_[index] = {token, to.size()};
  io_uring_sqe* const entry = io_uring_get_sqe(&ring_);  // there is one for each read
  io_uring_prep_read(entry, place->fd, to.data(), static_cast<unsigned>(to.size()), place->offset);
  entry->user_data = index;
}

void ImageDevice::submit() {
  if (has_ring_ && io_uring_sq_ready(&ring_) != 0) (void)io_uring_submit(&ring_);
}

std::size_t ImageDevice::poll(std::span<Completion> out) {
  std::size_t count = 0;
  for (; count < out.size() && !finished_.empty(); ++count) {
    out[count] = finished_.front();
    finished_.pop_front();
  }
  const bool has_reads = has_ring_ && free_.size() < reads_max;
  if (!has_reads) return count;
  io_uring_cqe* entry = nullptr;
  if (count == 0 && io_uring_wait_cqe(&ring_, &entry) != 0) return 0;
  for (; count < out.size() && io_uring_peek_cqe(&ring_, &entry) == 0; ++count) {
    const Read& read = reads_[entry->user_data];
    const bool is_whole = entry->res >= 0 && static_cast<std::uint64_t>(entry->res) == read.bytes;
    out[count] = {.token = read.token, .error = is_whole ? 0 : EIO};
    free_.push_back(entry->user_data);
    io_uring_cqe_seen(&ring_, entry);
  }
  return count;
}

}  // namespace synod::storage
