// The files of a data directory: `journal` (superblock and probe area) and one file per segment.
//
//   segment-000007.new  reserved by `synod format`, not yet zeroed
//   segment-000007      zeroed for real and synced before it got this name: writes into it are pure overwrites
//
// Segments get ready in order, so the ready ones are a prefix. Every segment has a file under one of its two names from format
// on: one that has neither was taken away, and opening refuses. Control path; may allocate and block.
//
// Why a file each: zeroing converts extents, and that ties the zeroed inode to the file system's journal. In the inode that the
// journal writes to, every O_DSYNC write would wait for it (numbers: preparer_bench.cc).
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "storage/layout.h"

namespace synod::storage {

inline constexpr std::uint32_t segment_files_max = 1'000'000;  // six digits

[[nodiscard]] std::string segment_path(const std::string& directory, std::uint32_t segment);
[[nodiscard]] std::string unprepared_path(const std::string& directory, std::uint32_t segment);

// Which segments can be written, shared by the device (data path) and the preparer (its own thread).
struct SegmentTable {
  SegmentTable(std::string from_directory, const Geometry& from_geometry);
  ~SegmentTable();
  SegmentTable(const SegmentTable&) = delete;
  SegmentTable& operator=(const SegmentTable&) = delete;

  std::string directory;
  Geometry geometry;
  std::vector<int> files;                      // one per segment; those below `ready` are open with O_DIRECT
  std::atomic<std::uint32_t> ready = 0;        // grows by the preparer: a release behind the descriptor
  std::atomic<bool> preparing_failed = false;  // the preparer waits to try again
  std::atomic<std::uint32_t> used = 0;         // segments up to the highest that this open wrote to: a hint for the preparer

  [[nodiscard]] std::uint64_t ready_bytes() const { return geometry.start_of(ready.load(std::memory_order_acquire)); }
};

// Opens and syncs all segments that are ready. Refuses a directory that lacks one, or in which one is too short.
[[nodiscard]] Result<> open_segments(SegmentTable& table);

// Makes room for `count` more descriptors: raises the soft limit to the hard one if needed.
[[nodiscard]] Result<> allow_descriptors(std::uint64_t count);

// Whether the directory has files with names of segments, and their removal.
[[nodiscard]] bool has_segments(const std::string& directory);
void remove_segments(const std::string& directory);

}  // namespace synod::storage
