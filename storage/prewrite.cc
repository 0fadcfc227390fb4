// Writing zeros for real: fallocate alone leaves unwritten extents, whose first overwrite needs a metadata commit each.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "storage/aligned_buffer.h"
#include "storage/file.h"
#include "storage/format.h"
#include "storage/layout.h"

namespace synod::storage {

namespace {

constexpr std::uint64_t piece_bytes = 4U << 20;
constexpr std::uint64_t progress_bytes = 32U << 20;  // between two reports

Result<> write_zeros(int fd, const std::string& path, std::uint64_t bytes,
                     const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
  const AlignedBuffer zeros(piece_bytes);
  std::uint64_t reported = 0;
  for (std::uint64_t done = 0; done < bytes;) {
    const std::uint64_t length = std::min(piece_bytes, bytes - done);
    if (auto written = write_all(fd, path, zeros.bytes().first(length), done); !written) return written;
    done += length;
    if (progress && (done - reported >= progress_bytes || done == bytes)) {
      progress(done, bytes);
      reported = done;
    }
  }
  return {};
}

}  // namespace

Error no_space(int fd, const std::string& path, std::uint64_t bytes_needed) {
  struct statfs space{};
  const bool known = ::fstatfs(fd, &space) == 0;
  const std::uint64_t free_bytes = known ? space.f_bavail * static_cast<std::uint64_t>(space.f_bsize) : 0;
  return {fmt::format("{}: not enough space: {} MiB are needed and {} MiB are free; free some or choose a smaller capacity", path,
                      bytes_needed >> 20, free_bytes >> 20)};
}

Result<> reserve_space(int fd, const std::string& path, std::uint64_t bytes) {
  const int error = ::posix_fallocate(fd, 0, static_cast<off_t>(bytes));
  if (error == 0) return {};
  if (error == ENOSPC) return std::unexpected(no_space(fd, path, bytes));
  return fail(fmt::format("cannot reserve {} bytes for {}: {}", bytes, path, std::strerror(error)));
}

Result<> write_all(int fd, const std::string& path, Bytes data, std::uint64_t offset) {
  while (!data.empty()) {
    const ssize_t written = ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return fail(fmt::format("cannot write {}: {}", path, written < 0 ? std::strerror(errno) : "no space"));
    data = data.subspan(static_cast<std::size_t>(written));
    offset += static_cast<std::uint64_t>(written);
  }
  return {};
}

Result<> sync_file(int fd, const std::string& path) {
  if (::fsync(fd) == 0) return {};
  return fail(fmt::format("cannot sync {} ({}): do not use this disk", path, std::strerror(errno)));
}

Result<> sync_directory_of(const std::string& path) {
  auto parent = std::filesystem::path(path).parent_path();
  if (parent.empty()) parent = ".";
  const Descriptor directory(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.fd() < 0) return fail(fmt::format("cannot open {}: {}", parent.string(), std::strerror(errno)));
  return sync_file(directory.fd(), parent.string());
}

Result<> fill_prewritten(int fd, const std::string& path, std::uint64_t bytes,
                         const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
  if (bytes % device_block_bytes != 0) return fail(fmt::format("{}: choose a multiple of {} bytes", path, device_block_bytes));
  if (auto reserved = reserve_space(fd, path, bytes); !reserved) return reserved;
  if (auto written = write_zeros(fd, path, bytes, progress); !written) return written;
  return sync_file(fd, path);
}

Result<> create_prewritten(const std::string& path, std::uint64_t bytes,
                           const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
  const Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_DIRECT | O_CLOEXEC, 0600));
  if (file.fd() < 0) return fail(fmt::format("cannot create {}: {}", path, std::strerror(errno)));
  auto filled = fill_prewritten(file.fd(), path, bytes, progress);
  if (filled) filled = sync_directory_of(path);
  if (!filled) ::unlink(path.c_str());
  return filled;
}

}  // namespace synod::storage
