// A journal's bytes as they lie on a disk, for tools that only read: one file `journal` (or a raw block device), or `journal` and
// one file a segment. A copied directory will do.
//
// Nothing is written, and no lock is kept: a shared one is tried, which says whether a replica is running here.
#pragma once

#include <cstdint>
#include <deque>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "storage/aligned_buffer.h"
#include "storage/device.h"
#include "storage/file.h"

namespace synod::replica {

class JournalImage {
 public:
  // `is_live`: read although a replica runs here. What it writes meanwhile may look damaged.
  [[nodiscard]] static Result<JournalImage> open(const std::string& path, bool is_live);

  [[nodiscard]] std::uint64_t size_bytes() const { return size_bytes_; }
  // Segments from here on are not written with zeros yet.
  [[nodiscard]] std::uint64_t ready_bytes() const { return ready_bytes_; }
  // An errno, or 0. For any thread. What lies behind the end of a file (one that was cut off) is an error.
  [[nodiscard]] int read(std::uint64_t offset, MutableBytes to) const;

 private:
  struct Part {
    storage::Descriptor file;
    std::uint64_t start = 0;  // where it lies in the journal
    std::uint64_t bytes = 0;
  };
  [[nodiscard]] Result<> add_segments(const std::string& directory);

  std::vector<Part> parts_;  // in the order of `start`, back to back
  std::uint64_t size_bytes_ = 0;
  std::uint64_t ready_bytes_ = 0;
};

// An image as a device, so that recovery's own code reads it. With read-ahead, large pieces are read by threads while the caller
// checks what came before. Thread: one.
class ImageDevice {
 public:
  ImageDevice(const JournalImage& image, bool reads_ahead);

  void write_durable(std::uint64_t offset, Bytes data, std::uint64_t token);  // refused: EROFS
  void read(std::uint64_t offset, MutableBytes to, std::uint64_t token);
  void submit() {}
  [[nodiscard]] std::size_t poll(std::span<storage::Completion> out);
  [[nodiscard]] const storage::DeviceInfo& info() const { return info_; }
  [[nodiscard]] std::uint64_t ready_bytes() const { return image_.ready_bytes(); }

 private:
  struct Chunk {
    storage::AlignedBuffer buffer;
    std::size_t bytes = 0;
    std::vector<bool> bad;  // device blocks that cannot be read; empty: all can
  };
  static Chunk read_chunk(const JournalImage& image, std::uint64_t offset, std::size_t bytes, storage::AlignedBuffer buffer);
  void ask(std::uint64_t index);
  const Chunk& chunk(std::uint64_t index);
  [[nodiscard]] int read_from_chunks(std::uint64_t offset, MutableBytes to);

  const JournalImage& image_;
  storage::DeviceInfo info_;
  bool reads_ahead_;
  std::map<std::uint64_t, std::future<Chunk>> asked_;
  std::map<std::uint64_t, Chunk> chunks_;
  std::vector<storage::AlignedBuffer> free_;  // used again: fresh memory costs a page fault each 4 KiB
  std::deque<storage::Completion> finished_;
};

}  // namespace synod::replica
