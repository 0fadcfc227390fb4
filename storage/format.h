// Making and opening data directories (control path; may allocate and block).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/error.h"
#include "storage/journal.h"
#include "storage/preparer.h"

namespace synod::storage {

struct FormatOptions {
  std::string directory;
  std::string cluster;
  GroupId group;
  ReplicaId replica;
  std::uint16_t members = 3;
  std::uint64_t capacity_bytes = 1ULL << 30;
  std::uint64_t segment_bytes = 0;          // 0: chosen by the capacity (64 MiB, less for small journals)
  bool prepare_all = false;                 // zero every segment now, not only the first ones: for measuring
  bool force = false;                       // overwrite a raw device that is not blank
  const std::atomic<bool>* stop = nullptr;  // true: give up before the next segment, as if interrupted
};

// `directory` may name a raw block device; then capacity_bytes 0 is all of it.
//
// A directory: creates it if needed, reserves space for all segments, really zeroes the first ones (256 MiB or 4, whichever is
// more; the running replica zeroes the others in the background), writes the superblocks, and syncs files and directory. Refuses
// a directory that holds a journal already. `progress(done, total)` is called now and then (may be empty). The file `journal`
// gets its name last, so an interrupted format leaves no half journal, and can be repeated.
//
// A device: refuses one that is mounted, in use, too small, or not blank without `force`. Zeroes the superblocks, the probe area
// and the first block of each segment, and writes the superblocks last: an interrupted one leaves a blank journal.
[[nodiscard]] Result<Identity> format(const FormatOptions& options,
                                      const std::function<void(std::uint64_t, std::uint64_t)>& progress);

// Creates `path` with `bytes` of zeros, really written and synced (file and directory), so that later writes are pure
// overwrites. Fails if it exists. For journals and for the floors of the bench.
[[nodiscard]] Result<> create_prewritten(const std::string& path, std::uint64_t bytes,
                                         const std::function<void(std::uint64_t, std::uint64_t)>& progress);

// The path of the superblocks: the file `journal` in a data directory, or the raw block device itself.
[[nodiscard]] std::string journal_path(const std::string& directory);

class UringDevice;

// Opens the files of a directory, or a raw block device, with O_DIRECT, takes the lock, probes the durability method, and starts
// zeroing the segments of a directory that are not ready.
[[nodiscard]] Result<std::unique_ptr<UringDevice>> open_directory(const std::string& directory,
                                                                  const PreparerOptions& preparer = {});

// The identity in a directory's or device's superblock, without opening the journal (start needs the cluster's name to fit the
// config).
[[nodiscard]] Result<Identity> read_identity(const std::string& directory);

}  // namespace synod::storage
