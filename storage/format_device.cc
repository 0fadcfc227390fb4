// Formatting a raw block device. Blocks carry the disk's uuid, so what lies there from before is never taken for ours; nothing
// needs zeroing for speed either, for a device has no extents.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "storage/aligned_buffer.h"
#include "storage/file.h"
#include "storage/format_parts.h"

namespace synod::storage {

namespace {

// Where file systems, partition tables, RAID and LVM leave their marks: at the start, and some at the end.
constexpr std::uint64_t marks_bytes = 1U << 20;

Result<bool> is_blank(int fd, const std::string& path, std::uint64_t offset, std::uint64_t bytes) {
  AlignedBuffer buffer(bytes);
  for (std::size_t filled = 0; filled < bytes;) {
    const auto rest = buffer.bytes().subspan(filled);
    const ssize_t got = ::pread(fd, rest.data(), rest.size(), static_cast<off_t>(offset + filled));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return fail(fmt::format("cannot read {}: {}", path, got < 0 ? std::strerror(errno) : "it ends too early"));
    filled += static_cast<std::size_t>(got);
  }
  return is_zero(buffer.bytes());
}

Result<> check_blank(int fd, const std::string& path, std::uint64_t size) {
  for (const std::uint64_t offset : {std::uint64_t{0}, size - marks_bytes}) {
    const auto blank = is_blank(fd, path, offset, marks_bytes);
    if (!blank) return std::unexpected(blank.error());
    if (*blank) continue;
    if (const auto journal = read_superblock_of(path); journal) {
      return fail(
          fmt::format("{} is already formatted (replica {} of cluster {:016x}): choose another --data, or --force to destroy "
                      "that journal",
                      path, journal->replica.value(), journal->cluster.value()));
    }
    return fail(
        fmt::format("{} is not blank (a file system or something else lies on it): choose another --data, or --force to "
                    "overwrite it",
                    path));
  }
  return {};
}

Result<> write_blank(int fd, const std::string& path, const Geometry& geometry, std::uint64_t size) {
  const AlignedBuffer zeros(marks_bytes);
  if (auto written = write_all(fd, path, zeros.bytes(), 0); !written) return written;
  if (auto written = write_all(fd, path, zeros.bytes(), size - marks_bytes); !written) return written;
  for (std::uint32_t segment = 0; segment < geometry.segments; ++segment) {
    const Bytes block = zeros.bytes().first(device_block_bytes);
    if (auto written = write_all(fd, path, block, geometry.start_of(segment)); !written) return written;
  }
  return sync_file(fd, path);
}

}  // namespace

Result<Identity> format_device(const FormatOptions& options, const std::function<Result<Superblock>(std::uint64_t)>& plan) {
  const std::string& path = options.directory;
  const auto opened = open_exclusive(path);
  if (!opened) return std::unexpected(opened.error());
  const Descriptor file(*opened);
  const auto found = size_of_open(file.fd(), path);
  if (!found) return std::unexpected(found.error());
  const std::uint64_t size = *found / device_block_bytes * device_block_bytes;
  const std::uint64_t room = size < marks_bytes ? 0 : size - segments_offset;
  if (room == 0 || options.capacity_bytes > room) {
    return fail(fmt::format("{} has {} bytes, of which {} can hold segments: choose a smaller --capacity or a larger device",
                            path, size, room));
  }
  const auto superblock = plan(options.capacity_bytes == 0 ? room : options.capacity_bytes);
  if (!superblock) return std::unexpected(superblock.error());
  if (!options.force) {
    if (auto blank = check_blank(file.fd(), path, size); !blank) return std::unexpected(blank.error());
  }
  if (auto blank = write_blank(file.fd(), path, geometry_of(*superblock), size); !blank) return std::unexpected(blank.error());
  if (auto written = write_superblocks(file.fd(), path, *superblock); !written) return std::unexpected(written.error());
  return identity_of(*superblock);
}

}  // namespace synod::storage
