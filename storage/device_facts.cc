#include "storage/device_facts.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "storage/file.h"

namespace synod::storage {

namespace {

constexpr std::uint32_t tmpfs_type = 0x01021994;
constexpr std::uint32_t ramfs_type = 0x858458F6;

std::string first_line(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// The file system's type by its device number, from the table of mounts.
std::string file_system_of(unsigned device_major, unsigned device_minor) {
  std::ifstream mounts("/proc/self/mountinfo");
  const std::string wanted = fmt::format("{}:{}", device_major, device_minor);
  std::string line;
  while (std::getline(mounts, line)) {
    std::istringstream fields(line);
    std::string id;
    std::string parent;
    std::string device;
    std::string word;
    std::string type;
    fields >> id >> parent >> device;
    if (device != wanted) continue;
    while (fields >> word && word != "-") {
    }
    if (fields >> type) return type;
  }
  return "unknown file system";
}

// A partition's queue is its disk's.
std::filesystem::path queue_of(const std::filesystem::path& device) {
  std::error_code error;
  if (std::filesystem::exists(device / "queue", error)) return device / "queue";
  return device.parent_path() / "queue";
}

void find_block_device(unsigned device_major, unsigned device_minor, DeviceFacts& facts) {
  std::error_code error;
  const auto device = std::filesystem::canonical(fmt::format("/sys/dev/block/{}:{}", device_major, device_minor), error);
  if (error) return;
  facts.device = device.filename().string();
  const auto queue = queue_of(device);
  const std::string cache = first_line(queue / "write_cache");
  const std::string fua = first_line(queue / "fua");
  if (!cache.empty()) facts.write_back = cache == "write back";
  if (!fua.empty()) facts.fua = fua == "1";
}

// A raw device counts as stable only if the kernel says what it does with its cache. A loop device is as stable as what its file
// lies on: a flush of it is an fsync of that file.
void judge_device(DeviceFacts& facts) {
  facts.is_memory = facts.device.starts_with("ram") || facts.device.starts_with("zram");
  facts.stable = !facts.is_memory && facts.write_back.has_value();
  if (!facts.device.starts_with("loop")) return;
  const std::string file = first_line("/sys/class/block/" + facts.device + "/loop/backing_file");
  const Descriptor backing(file.empty() ? -1 : ::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status{};
  const bool is_file = backing.fd() >= 0 && ::fstat(backing.fd(), &status) == 0 && S_ISREG(status.st_mode);
  const auto below = is_file ? find_device_facts(backing.fd(), file) : fail("unknown");
  facts.backing = below ? describe(*below) : "an unknown file";
  facts.is_memory = below && below->is_memory;
  facts.stable = facts.stable && below && below->stable;
}

}  // namespace

Result<DeviceFacts> find_device_facts(int fd, const std::string& path) {
  DeviceFacts facts;
  struct statfs file_system{};
  struct statx file{};
  if (::fstatfs(fd, &file_system) != 0 || ::statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_DIOALIGN, &file) != 0) {
    return fail(fmt::format("cannot examine {}: {}", path, std::strerror(errno)));
  }
  const auto type = static_cast<std::uint32_t>(file_system.f_type);
  facts.is_memory = type == tmpfs_type || type == ramfs_type;
  facts.has_direct = true;  // an old kernel does not say; then opening with O_DIRECT decides
  if ((file.stx_mask & STATX_DIOALIGN) != 0) {
    facts.has_direct = file.stx_dio_offset_align != 0;
    facts.memory_align = file.stx_dio_mem_align;
    facts.offset_align = file.stx_dio_offset_align;
  }
  const bool is_device = facts.is_device = S_ISBLK(file.stx_mode);
  const unsigned device_major = is_device ? file.stx_rdev_major : file.stx_dev_major;
  const unsigned device_minor = is_device ? file.stx_rdev_minor : file.stx_dev_minor;
  facts.file_system = is_device ? "block device" : file_system_of(device_major, device_minor);
  find_block_device(device_major, device_minor, facts);
  if (is_device) {
    judge_device(facts);
  } else {
    facts.stable = !facts.is_memory;
  }
  return facts;
}

std::string describe(const DeviceFacts& facts) {
  std::string text = facts.file_system;
  if (!facts.device.empty()) text += (facts.is_device ? " " : " on ") + facts.device;
  if (!facts.backing.empty()) text += " over " + facts.backing;
  if (!facts.write_back.has_value()) return text + " (cache unknown)";
  if (!*facts.write_back) return text + " (no volatile cache)";
  return text + (facts.fua.value_or(false) ? " (write-back cache, FUA)" : " (write-back cache, no FUA)");
}

}  // namespace synod::storage
