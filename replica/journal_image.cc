#include "replica/journal_image.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "storage/layout.h"
#include "storage/superblock.h"

namespace synod::replica {

namespace {

constexpr std::uint64_t chunk_bytes = 4U << 20;
constexpr std::uint64_t chunks_ahead = 4;  // asked for behind the one that is used
constexpr std::uint64_t chunks_kept = 4;   // before it: a block may begin there

struct OpenFile {
  storage::Descriptor file;
  std::uint64_t bytes = 0;
};

Result<OpenFile> open_file(const std::string& path) {
  // Past the page cache, where the file system can: it would only hold memory, and slow the disk down.
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);
  if (fd < 0 && errno == EINVAL) fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail(fmt::format("cannot open {}: {}", path, std::strerror(errno)));
  OpenFile opened{storage::Descriptor(fd), 0};
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
  if (is_directory && image.size_bytes_ <= storage::segments_offset) {
    if (auto added = image.add_segments(path); !added) return std::unexpected(added.error());
  }
  return image;
}

// segment-000000, segment-000001, ...; those whose zeros are not all written yet have names with `.new`.
Result<> JournalImage::add_segments(const std::string& directory) {
  storage::AlignedBuffer copies(std::size_t{storage::superblock_copies} * storage::device_block_bytes);
  if (read(0, copies.bytes()) != 0) return fail(fmt::format("{} is cut off: its superblock cannot be read", directory));
  const auto superblock = storage::newest_superblock(copies.bytes());
  if (!superblock) return fail(fmt::format("{}: {}", directory, superblock.error().text));
  const storage::Geometry geometry = storage::geometry_of(*superblock);
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

ImageDevice::ImageDevice(const JournalImage& image, bool reads_ahead)
    : image_(image),
      info_{.block_bytes = storage::device_block_bytes, .size_bytes = image.size_bytes(), .stable = true, .description = "image"},
      reads_ahead_(reads_ahead) {}

void ImageDevice::write_durable(std::uint64_t, Bytes, std::uint64_t token) {
  finished_.push_back({.token = token, .error = EROFS});
}

void ImageDevice::read(std::uint64_t offset, MutableBytes to, std::uint64_t token) {
  const int error = reads_ahead_ ? read_from_chunks(offset, to) : image_.read(offset, to);
  finished_.push_back({.token = token, .error = error});
}

std::size_t ImageDevice::poll(std::span<storage::Completion> out) {
  std::size_t count = 0;
  for (; count < out.size() && !finished_.empty(); ++count) {
    out[count] = finished_.front();
    finished_.pop_front();
  }
  return count;
}

ImageDevice::Chunk ImageDevice::read_chunk(const JournalImage& image, std::uint64_t offset, std::size_t bytes,
                                           storage::AlignedBuffer buffer) {
  Chunk chunk{std::move(buffer), bytes, {}};
  const MutableBytes to = chunk.buffer.bytes().first(bytes);
  if (image.read(offset, to) == 0) return chunk;
  chunk.bad.resize(bytes / storage::device_block_bytes);
  for (std::size_t i = 0; i < chunk.bad.size(); ++i) {
    const std::size_t at = i * storage::device_block_bytes;
    chunk.bad[i] = image.read(offset + at, to.subspan(at, storage::device_block_bytes)) != 0;
  }
  return chunk;
}

void ImageDevice::ask(std::uint64_t index) {
  const std::uint64_t offset = index * chunk_bytes;
  if (offset >= image_.ready_bytes() || asked_.contains(index) || chunks_.contains(index)) return;
  const std::uint64_t left = (image_.ready_bytes() - offset) / storage::device_block_bytes * storage::device_block_bytes;
  if (free_.empty()) {
    free_.emplace_back(chunk_bytes);
    free_.back().prefer_huge_pages();
  }
  asked_.emplace(index, std::async(std::launch::async, read_chunk, std::cref(image_), offset, std::min(chunk_bytes, left),
                                   std::move(free_.back())));
  free_.pop_back();
}

const ImageDevice::Chunk& ImageDevice::chunk(std::uint64_t index) {
  for (auto asked = asked_.begin(); asked != asked_.end();) {
    const bool is_near = asked->first >= index && asked->first <= index + chunks_ahead;
    if (!is_near) free_.push_back(std::move(asked->second.get().buffer));
    asked = is_near ? std::next(asked) : asked_.erase(asked);
  }
  for (auto kept = chunks_.begin(); kept != chunks_.end();) {
    const bool is_near = kept->first + chunks_kept >= index && kept->first <= index + chunks_ahead;
    if (!is_near) free_.push_back(std::move(kept->second.buffer));
    kept = is_near ? std::next(kept) : chunks_.erase(kept);
  }
  for (std::uint64_t at = index; at <= index + chunks_ahead; ++at) ask(at);
  if (const auto asked = asked_.find(index); asked != asked_.end()) {
    chunks_.insert_or_assign(index, asked->second.get());
    asked_.erase(asked);
  }
  return chunks_.at(index);
}

int ImageDevice::read_from_chunks(std::uint64_t offset, MutableBytes to) {
  if (offset + to.size() > image_.ready_bytes()) return EIO;
  while (!to.empty()) {
    const Chunk& from = chunk(offset / chunk_bytes);
    const std::uint64_t at = offset % chunk_bytes;
    const std::size_t count = std::min<std::uint64_t>(to.size(), chunk_bytes - at);
    if (at + count > from.bytes) return EIO;
    for (std::uint64_t i = at / storage::device_block_bytes; !from.bad.empty() && i * storage::device_block_bytes < at + count;
         ++i) {
      if (from.bad[i]) return EIO;
    }
    copy(to, from.buffer.bytes().subspan(at, count));
    offset += count;
    to = to.subspan(count);
  }
  return 0;
}

}  // namespace synod::replica
