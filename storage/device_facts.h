// What the kernel says about the file system and the block device under a file (control path).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/error.h"

namespace synod::storage {

struct DeviceFacts {
  std::string file_system;           // "ext4"
  std::string device;                // "vda", or empty where the file system hides it
  std::optional<bool> write_back;    // the device has a volatile cache; nothing: unknown
  std::optional<bool> fua;           // and can write through it
  std::uint32_t memory_align = 512;  // of direct I/O
  std::uint32_t offset_align = 512;
  bool is_device = false;   // the path itself is a block device
  bool is_memory = false;   // tmpfs, ramfs, a RAM disk: nothing survives
  bool stable = false;      // as far as known, what was made durable survives loss of power
  std::string backing;      // of a loop device: what its file lies on
  bool has_direct = false;  // O_DIRECT works
};

[[nodiscard]] Result<DeviceFacts> find_device_facts(int fd, const std::string& path);

// "ext4 on vda (write-back cache, no FUA)"
[[nodiscard]] std::string describe(const DeviceFacts& facts);

}  // namespace synod::storage
