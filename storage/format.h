// Making and opening data directories (control path; may allocate and block).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/error.h"
#include "storage/journal.h"

namespace synod::storage {

struct FormatOptions {
  std::string directory;
  std::string cluster;
  ReplicaId replica;
  std::uint16_t members = 3;
  std::uint64_t capacity_bytes = 1ULL << 30;
  std::uint64_t segment_bytes = 0;  // 0: chosen by the capacity (64 MiB, less for small journals)
};

// Creates the directory if needed, the superblock and the pre-written segments, and syncs file and directory. Refuses a
// directory that holds a journal already. `progress(done, total)` is called now and then (may be empty). The journal gets its
// name last, so an interrupted format leaves no half journal, and can be repeated.
[[nodiscard]] Result<Identity> format(const FormatOptions& options,
                                      const std::function<void(std::uint64_t, std::uint64_t)>& progress);

// Creates `path` with `bytes` of zeros, really written and synced (file and directory), so that later writes are pure
// overwrites. Fails if it exists. For journals and for the floors of the bench.
[[nodiscard]] Result<> create_prewritten(const std::string& path, std::uint64_t bytes,
                                         const std::function<void(std::uint64_t, std::uint64_t)>& progress);

// The journal's path in a data directory.
[[nodiscard]] std::string journal_path(const std::string& directory);

class UringDevice;

// Opens the journal file of a directory with O_DIRECT, takes its lock, probes the durability method.
[[nodiscard]] Result<std::unique_ptr<UringDevice>> open_directory(const std::string& directory);

// The identity in a directory's superblock, without opening the journal (start needs the cluster's name to fit the config).
[[nodiscard]] Result<Identity> read_identity(const std::string& directory);

}  // namespace synod::storage
