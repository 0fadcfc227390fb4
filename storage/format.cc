#include "storage/format.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "base/uuid.h"
#include "storage/aligned_buffer.h"
#include "storage/device_facts.h"
#include "storage/file.h"
#include "storage/format_parts.h"
#include "storage/layout.h"
#include "storage/segment_files.h"
#include "storage/superblock.h"
#include "storage/uring_device.h"
#include "wire/cluster.h"

namespace synod::storage {

namespace {

// Really zeroed by format: enough to start with, and at least this many segments.
constexpr std::uint64_t prepared_bytes_min = 256U << 20;
constexpr std::uint64_t prepared_segments_min = 4;

// The unfinished journal: a leftover of an interrupted format is overwritten by the next one.
std::string unfinished_path(const std::string& directory) {
  return (std::filesystem::path(directory) / "journal.unfinished").string();
}

Result<> make_directory(const std::string& directory) {
  std::error_code error;
  if (std::filesystem::create_directories(directory, error); error) {
    return fail(fmt::format("cannot create {}: {}", directory, error.message()));
  }
  // Both the directory's own entry and, below, the journal's must survive.
  return sync_directory_of(std::filesystem::absolute(directory).lexically_normal().string());
}

// The start of a format: locked, and the mark of segments that belong to no journal yet.
Result<Descriptor> open_unfinished(const std::string& path) {
  Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600));
  if (file.fd() < 0 && errno != EINVAL) return fail(fmt::format("cannot create {}: {}", path, std::strerror(errno)));
  if (file.fd() >= 0) {
    if (::flock(file.fd(), LOCK_EX | LOCK_NB) != 0) return fail(fmt::format("{}: another format is running here", path));
    const auto facts = find_device_facts(file.fd(), path);
    if (!facts) return std::unexpected(facts.error());
    if (!facts->is_memory && facts->has_direct) return file;
  }
  ::unlink(path.c_str());
  return fail(
      fmt::format("{} is on a file system that cannot promise durable writes (no O_DIRECT): put --data on a disk file "
                  "system, or use --data memory",
                  std::filesystem::path(path).parent_path().string()));
}

// Gives the journal its name, unless another one has it.
Result<> publish(const std::string& from, const std::string& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) != 0) {
    if (errno == EEXIST) return fail(fmt::format("{} exists: the directory is already formatted", to));
    return fail(fmt::format("cannot rename {} to {}: {}", from, to, std::strerror(errno)));
  }
  return sync_directory_of(to);
}

std::uint32_t segments_to_prepare(const FormatOptions& options, const Geometry& geometry) {
  if (options.prepare_all) return geometry.segments;
  const std::uint64_t wanted = (prepared_bytes_min + geometry.segment_bytes - 1) / geometry.segment_bytes;
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(std::max<std::uint64_t>(wanted, prepared_segments_min), geometry.segments));
}

// Before thousands of files are made: is there room for them, and may so many be open?
Result<> check_room(int fd, const FormatOptions& options, const Geometry& geometry) {
  if (geometry.segments > segment_files_max) {
    return fail(
        fmt::format("a journal of {} segments is too large for a directory: choose a smaller --capacity, or a raw block "
                    "device",
                    geometry.segments));
  }
  struct statfs space{};
  if (::fstatfs(fd, &space) == 0 && space.f_bavail * static_cast<std::uint64_t>(space.f_bsize) < geometry.end()) {
    return std::unexpected(no_space(fd, options.directory, geometry.end()));
  }
  return allow_descriptors(geometry.segments);
}

// Reserves all segments, so that a file system that is too full shows now.
Result<> reserve_segments(const FormatOptions& options, const Geometry& geometry) {
  remove_segments(options.directory);  // of an interrupted format
  for (std::uint32_t segment = 0; segment < geometry.segments; ++segment) {
    const std::string path = unprepared_path(options.directory, segment);
    const Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_DIRECT | O_CLOEXEC, 0600));
    if (file.fd() < 0) return fail(fmt::format("cannot create {}: {}", path, std::strerror(errno)));
    if (auto reserved = reserve_space(file.fd(), path, geometry.segment_bytes); !reserved) return reserved;
  }
  return {};
}

Result<> prepare_segments(const FormatOptions& options, const Geometry& geometry, const Progress& progress) {
  const std::uint32_t count = segments_to_prepare(options, geometry);
  const std::uint64_t total = count * geometry.segment_bytes;
  for (std::uint32_t segment = 0; segment < count; ++segment) {
    if (options.stop != nullptr && *options.stop) return fail("interrupted");
    const std::string path = unprepared_path(options.directory, segment);
    const Descriptor file(::open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
    if (file.fd() < 0) return fail(fmt::format("cannot open {}: {}", path, std::strerror(errno)));
    const std::uint64_t before = segment * geometry.segment_bytes;
    const auto report = [&](std::uint64_t done, std::uint64_t) {
      if (progress) progress(before + done, total);
    };
    if (auto filled = fill_prewritten(file.fd(), path, geometry.segment_bytes, report); !filled) return filled;
    const std::string ready = segment_path(options.directory, segment);
    if (::rename(path.c_str(), ready.c_str()) != 0) {
      return fail(fmt::format("cannot rename {} to {}: {}", path, ready, std::strerror(errno)));
    }
  }
  return {};
}

Result<> fill_directory(const FormatOptions& options, const Superblock& superblock, int fd, const Progress& progress) {
  const Geometry geometry = geometry_of(superblock);
  const std::string unfinished = unfinished_path(options.directory);
  if (::ftruncate(fd, 0) != 0) return fail(fmt::format("cannot empty {}: {}", unfinished, std::strerror(errno)));
  // From now on, even after a crash, segments here are known to be a format's.
  if (auto synced = sync_directory_of(unfinished); !synced) return synced;
  if (auto room = check_room(fd, options, geometry); !room) return room;
  if (auto reserved = reserve_segments(options, geometry); !reserved) return reserved;
  if (auto prepared = prepare_segments(options, geometry, progress); !prepared) return prepared;
  if (auto filled = fill_prewritten(fd, unfinished, segments_offset, {}); !filled) return filled;
  if (auto synced = sync_directory_of(unfinished); !synced) return synced;
  if (auto written = write_superblocks(fd, unfinished, superblock); !written) return written;
  return publish(unfinished, journal_path(options.directory));
}

Error already_formatted(const std::string& path) {
  return {
      fmt::format("{} exists: the directory is already formatted; choose another one, or remove it if its data may go", path)};
}

Result<> format_directory(const FormatOptions& options, const Superblock& superblock, const Progress& progress) {
  const std::string path = journal_path(options.directory);
  const std::string unfinished = unfinished_path(options.directory);
  std::error_code error;
  if (std::filesystem::exists(path, error)) return std::unexpected(already_formatted(path));
  if (auto made = make_directory(options.directory); !made) return made;
  if (has_segments(options.directory) && !std::filesystem::exists(unfinished, error)) {
    return fail(fmt::format("{} holds segments without their journal: restore it, or remove them if their data may go",
                            options.directory));
  }
  const auto file = open_unfinished(unfinished);
  if (!file) return std::unexpected(file.error());
  // Again, under the lock: another format may just have ended, and its segments are not ours to remove.
  if (std::filesystem::exists(path, error)) {
    ::unlink(unfinished.c_str());
    return std::unexpected(already_formatted(path));
  }
  auto done = fill_directory(options, superblock, file->fd(), progress);
  if (!done) {
    remove_segments(options.directory);
    ::unlink(unfinished.c_str());
  }
  return done;
}

}  // namespace

Result<> write_superblocks(int fd, const std::string& path, const Superblock& superblock) {
  AlignedBuffer block(device_block_bytes);
  store(block.bytes(), seal(superblock));
  for (std::uint32_t i = 0; i < superblock_copies; ++i) {
    if (auto written = write_all(fd, path, block.bytes(), std::uint64_t{i} * device_block_bytes); !written) return written;
  }
  return sync_file(fd, path);
}

std::string journal_path(const std::string& directory) {
  if (is_block_device(directory)) return directory;
  return (std::filesystem::path(directory) / "journal").string();
}

Result<Identity> format(const FormatOptions& options, const Progress& progress) {
  const auto plan = [&](std::uint64_t capacity_bytes) {
    return plan_superblock({.cluster = wire::cluster_id(options.cluster),
                            .group = options.group,
                            .replica = options.replica,
                            .members = options.members,
                            .disk = draw_uuid(),
                            .capacity_bytes = capacity_bytes,
                            .segment_bytes = options.segment_bytes});
  };
  if (is_block_device(options.directory)) return format_device(options, plan);
  const auto superblock = plan(options.capacity_bytes);
  if (!superblock) return std::unexpected(superblock.error());
  if (auto done = format_directory(options, *superblock, progress); !done) return std::unexpected(done.error());
  return identity_of(*superblock);
}

Result<std::unique_ptr<UringDevice>> open_directory(const std::string& directory, const PreparerOptions& preparer) {
  const std::string path = journal_path(directory);
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    return fail(fmt::format("{} holds no journal: make one with `synod format --data {} ...`", directory, directory));
  }
  // Probing writes: it must not touch a file that is not a journal.
  const auto superblock = read_superblock_of(path);
  if (!superblock) return std::unexpected(superblock.error());
  constexpr UringDevice::ProbeArea probe{.offset = probe_offset, .bytes = probe_bytes};
  if (is_block_device(directory)) return UringDevice::open(path, probe);
  if (auto synced = sync_directory_of(path); !synced) return std::unexpected(synced.error());
  return UringDevice::open_directory(directory, geometry_of(*superblock), probe, preparer);
}

Result<Superblock> read_superblock_of(const std::string& path) {
  // A device without the page cache, which may be older than what the owner wrote around it.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | (is_block_device(path) ? O_DIRECT : 0)));
  if (file.fd() < 0) return fail(fmt::format("cannot open {}: {}", path, std::strerror(errno)));
  AlignedBuffer copies(std::size_t{superblock_copies} * device_block_bytes);
  std::size_t filled = 0;
  while (filled < copies.size()) {
    const auto rest = copies.bytes().subspan(filled);
    const ssize_t got = ::pread(file.fd(), rest.data(), rest.size(), static_cast<off_t>(filled));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(fmt::format("cannot read {}: {}", path, std::strerror(errno)));
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  auto superblock = newest_superblock(copies.bytes());
  if (!superblock) return fail(fmt::format("{}: {}", path, superblock.error().text));
  return superblock;
}

Result<Identity> read_identity(const std::string& directory) {
  const std::string path = journal_path(directory);
  std::error_code error;
  if (!std::filesystem::exists(path, error) && !error) {
    return fail(fmt::format("{} holds no journal: make one with `synod format --data {} ...`", directory, directory));
  }
  const auto superblock = read_superblock_of(path);
  if (!superblock) return std::unexpected(superblock.error());
  return identity_of(*superblock);
}

}  // namespace synod::storage
