// What format.cc and format_device.cc share.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/error.h"
#include "storage/format.h"
#include "storage/layout.h"

namespace synod::storage {

using Progress = std::function<void(std::uint64_t, std::uint64_t)>;

// All copies, synced.
[[nodiscard]] Result<> write_superblocks(int fd, const std::string& path, const Superblock& superblock);
// The newest of a file or device that nobody needs to have opened.
[[nodiscard]] Result<Superblock> read_superblock_of(const std::string& path);
// A raw block device; `plan` makes the superblock for so many bytes of segments.
[[nodiscard]] Result<Identity> format_device(const FormatOptions& options,
                                             const std::function<Result<Superblock>(std::uint64_t)>& plan);

}  // namespace synod::storage
