#include "storage/segment_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>

#include "storage/file.h"

namespace synod::storage {

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t descriptors_spare = 256;  // for sockets, drivers, files that are open for a moment

bool is_segment_name(std::string_view name) {
  constexpr std::string_view prefix = "segment-";
  if (name.ends_with(".new")) name.remove_suffix(4);
  if (!name.starts_with(prefix)) return false;
  name.remove_prefix(prefix.size());
  return name.size() == 6 && name.find_first_not_of("0123456789") == std::string_view::npos;
}

void for_each_segment(const std::string& directory, const std::function<void(const fs::path&)>& visit) {
  std::error_code error;
  std::vector<fs::path> found;
  for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
    if (is_segment_name(at->path().filename().string())) found.push_back(at->path());
  }
  for (const fs::path& path : found) visit(path);
}

bool exists(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

Result<int> open_segment(const std::string& path, std::uint64_t bytes) {
  Descriptor file(::open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
  if (file.fd() < 0) return fail(fmt::format("cannot open {}: {}", path, std::strerror(errno)));
  struct stat status{};
  if (::fstat(file.fd(), &status) != 0) return fail(fmt::format("cannot examine {}: {}", path, std::strerror(errno)));
  if (static_cast<std::uint64_t>(status.st_size) < bytes) {
    return fail(fmt::format("{} has {} bytes and should have {}: it was cut off; restore it or join as a new member", path,
                            status.st_size, bytes));
  }
  if (::fsync(file.fd()) != 0) {
    return fail(
        fmt::format("{}: fsync failed ({}): the disk lost writes; this replica must not vote", path, std::strerror(errno)));
  }
  return file.release();
}

}  // namespace

std::string segment_path(const std::string& directory, std::uint32_t segment) {
  return (fs::path(directory) / fmt::format("segment-{:06}", segment)).string();
}

std::string unprepared_path(const std::string& directory, std::uint32_t segment) {
  return segment_path(directory, segment) + ".new";
}

SegmentTable::SegmentTable(std::string from_directory, const Geometry& from_geometry)
    : directory(std::move(from_directory)), geometry(from_geometry), files(from_geometry.segments, -1) {}

SegmentTable::~SegmentTable() {
  for (const int file : files) {
    if (file >= 0) ::close(file);
  }
}

Result<> open_segments(SegmentTable& table) {
  const std::uint32_t count = table.geometry.segments;
  if (auto allowed = allow_descriptors(count); !allowed) return allowed;
  std::uint32_t ready = 0;
  for (; ready < count && exists(segment_path(table.directory, ready)); ++ready) {
    const auto file = open_segment(segment_path(table.directory, ready), table.geometry.segment_bytes);
    if (!file) return std::unexpected(file.error());
    table.files[ready] = *file;
  }
  for (std::uint32_t segment = ready; segment < count; ++segment) {
    // A ready segment behind one that is not: the one before it was taken away.
    const std::string path = segment_path(table.directory, segment);
    if (exists(path + ".new") && !exists(path)) continue;
    return fail(fmt::format("{} is missing: restore it, or join as a new member with a fresh --data",
                            segment_path(table.directory, exists(path) ? ready : segment)));
  }
  table.ready.store(ready, std::memory_order_release);
  return {};
}

Result<> allow_descriptors(std::uint64_t count) {
  struct rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return fail(fmt::format("cannot read RLIMIT_NOFILE: {}", std::strerror(errno)));
  std::error_code error;
  const auto open_now = std::distance(fs::directory_iterator("/proc/self/fd", error), fs::directory_iterator());
  const std::uint64_t wanted = count + static_cast<std::uint64_t>(open_now) + descriptors_spare;
  if (wanted <= limit.rlim_cur) return {};
  limit.rlim_cur = limit.rlim_max;
  if (wanted <= limit.rlim_max && ::setrlimit(RLIMIT_NOFILE, &limit) == 0) return {};
  return fail(
      fmt::format("a journal of {} segments needs {} open files, and this process may have {}: raise the hard limit (ulimit -Hn, "
                  "or LimitNOFILE=), choose a smaller --capacity, or use a raw block device",
                  count, wanted, limit.rlim_max));
}

bool has_segments(const std::string& directory) {
  bool found = false;
  for_each_segment(directory, [&](const fs::path&) { found = true; });
  return found;
}

void remove_segments(const std::string& directory) {
  for_each_segment(directory, [](const fs::path& path) {
    std::error_code error;
    fs::remove(path, error);
  });
}

}  // namespace synod::storage
