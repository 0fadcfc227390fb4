#include "storage/format.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "base/uuid.h"
#include "storage/aligned_buffer.h"
#include "storage/device_facts.h"
#include "storage/file.h"
#include "storage/layout.h"
#include "storage/superblock.h"
#include "storage/uring_device.h"
#include "wire/cluster.h"

namespace synod::storage {

namespace {

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

Result<> write_superblocks(int fd, const std::string& path, const Superblock& superblock) {
  AlignedBuffer block(device_block_bytes);
  store(block.bytes(), seal(superblock));
  for (std::uint32_t i = 0; i < superblock_copies; ++i) {
    if (auto written = write_all(fd, path, block.bytes(), std::uint64_t{i} * device_block_bytes); !written) return written;
  }
  return sync_file(fd, path);
}

// Gives the journal its name, unless another one has it.
Result<> publish(const std::string& from, const std::string& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) != 0) {
    if (errno == EEXIST) return fail(fmt::format("{} exists: the directory is already formatted", to));
    return fail(fmt::format("cannot rename {} to {}: {}", from, to, std::strerror(errno)));
  }
  return sync_directory_of(to);
}

}  // namespace

std::string journal_path(const std::string& directory) {
  return (std::filesystem::path(directory) / "journal").string();
}

Result<Identity> format(const FormatOptions& options, const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
  const auto superblock = plan_superblock({.cluster = wire::cluster_id(options.cluster),
                                           .replica = options.replica,
                                           .members = options.members,
                                           .disk = draw_uuid(),
                                           .capacity_bytes = options.capacity_bytes,
                                           .segment_bytes = options.segment_bytes});
  if (!superblock) return std::unexpected(superblock.error());
  const std::string path = journal_path(options.directory);
  std::error_code error;
  if (std::filesystem::exists(path, error)) {
    return fail(
        fmt::format("{} exists: the directory is already formatted; choose another one, or remove it if its data may go", path));
  }
  if (auto made = make_directory(options.directory); !made) return std::unexpected(made.error());
  const std::string unfinished = unfinished_path(options.directory);
  const auto file = open_unfinished(unfinished);
  if (!file) return std::unexpected(file.error());
  const int fd = file->fd();
  Result<> done = {};
  if (::ftruncate(fd, 0) != 0) done = fail(fmt::format("cannot empty {}: {}", unfinished, std::strerror(errno)));
  if (done) done = fill_prewritten(fd, unfinished, geometry_of(*superblock).end(), progress);
  if (done) done = write_superblocks(fd, unfinished, *superblock);
  if (done) done = publish(unfinished, path);
  if (!done) {
    ::unlink(unfinished.c_str());
    return std::unexpected(done.error());
  }
  return identity_of(*superblock);
}

Result<std::unique_ptr<UringDevice>> open_directory(const std::string& directory) {
  const std::string path = journal_path(directory);
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    return fail(fmt::format("{} holds no journal: make one with `synod format --data {} ...`", directory, directory));
  }
  // Probing writes: it must not touch a file that is not a journal.
  if (const auto identity = read_identity(directory); !identity) return std::unexpected(identity.error());
  if (auto synced = sync_directory_of(path); !synced) return std::unexpected(synced.error());
  return UringDevice::open(path, UringDevice::ProbeArea{.offset = probe_offset, .bytes = probe_bytes});
}

Result<Identity> read_identity(const std::string& directory) {
  const std::string path = journal_path(directory);
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.fd() < 0) {
    if (errno == ENOENT) {
      return fail(fmt::format("{} holds no journal: make one with `synod format --data {} ...`", directory, directory));
    }
    return fail(fmt::format("cannot open {}: {}", path, std::strerror(errno)));
  }
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
  const auto superblock = newest_superblock(copies.bytes());
  if (!superblock) return fail(fmt::format("{}: {}", path, superblock.error().text));
  return identity_of(*superblock);
}

}  // namespace synod::storage
