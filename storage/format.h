// Making and opening data directories (control path; may allocate and block).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/error.h"
#include "storage/journal.h"

namespace synod::storage {

// A cluster's name as every packet and block carries it.
[[nodiscard]] ClusterId cluster_id(std::string_view name);

// A fresh random uuid from the kernel.
[[nodiscard]] Uuid draw_uuid();

struct FormatOptions {
  std::string directory;
  std::string cluster;
  ReplicaId replica;
  std::uint16_t members = 3;
  std::uint64_t capacity_bytes = 1ULL << 30;
};

// Creates the directory if needed, the superblock and the pre-written segments, and syncs file and directory. Refuses a
// directory that holds a journal already. `progress(done, total)` is called now and then.
[[nodiscard]] Result<Identity> format(const FormatOptions& options,
                                      const std::function<void(std::uint64_t, std::uint64_t)>& progress);

class UringDevice;

// Opens the journal file of a directory with O_DIRECT, takes its lock, probes the durability method.
[[nodiscard]] Result<std::unique_ptr<UringDevice>> open_directory(const std::string& directory);

// The identity in a directory's superblock, without opening the journal (start needs the cluster's name to fit the config).
[[nodiscard]] Result<Identity> read_identity(const std::string& directory);

}  // namespace synod::storage
