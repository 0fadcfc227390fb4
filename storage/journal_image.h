// A journal's bytes as they lie on a disk, for tools that only read: one file `journal` (or a raw block device), or `journal` and
// one file a segment. A copied directory will do.
//
// Nothing is written, and no lock is kept: a shared one is tried, which says whether a replica is running here.
#pragma once

#include <liburing.h>

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "storage/device.h"
#include "storage/file.h"

namespace synod::storage {

class JournalImage {
 public:
  // `is_live`: read although a replica runs here. What it writes meanwhile may look damaged.
  [[nodiscard]] static Result<JournalImage> open(const std::string& path, bool is_live);

  [[nodiscard]] std::uint64_t size_bytes() const { return size_bytes_; }
  // Segments from here on are not written with zeros yet.
  [[nodiscard]] std::uint64_t ready_bytes() const { return ready_bytes_; }
  // An errno, or 0. For any thread. What lies behind the end of a file (one that was cut off) is an error.
  [[nodiscard]] int read(std::uint64_t offset, MutableBytes to) const;
  // Not 0: a file per segment.
  [[nodiscard]] std::uint64_t segment_bytes() const { return segment_bytes_; }
  // In which file it lies. Nothing: not in one alone.
  struct Place {
    int fd = -1;
    std::uint64_t offset = 0;
  };
  [[nodiscard]] std::optional<Place> locate(std::uint64_t offset, std::uint64_t bytes) const;

 private:
  struct Part {
    Descriptor file;
    std::uint64_t start = 0;  // where it lies in the journal
    std::uint64_t bytes = 0;
  };
  [[nodiscard]] Result<> add_segments(const std::string& directory);

  std::vector<Part> parts_;  // in the order of `start`, back to back
  std::uint64_t size_bytes_ = 0;
  std::uint64_t ready_bytes_ = 0;
  std::uint64_t segment_bytes_ = 0;
};

// An image as a device, so that recovery's own code reads it. Where io_uring is refused, as in many containers, read() itself
// reads, and nothing is read ahead. poll() waits when nothing has finished: a tool has nothing else to do meanwhile, and others
// may need the CPU. Thread: one.
class ImageDevice {
 public:
  explicit ImageDevice(const JournalImage& image);
  ~ImageDevice();
  ImageDevice(const ImageDevice&) = delete;
  ImageDevice& operator=(const ImageDevice&) = delete;

  void write_durable(std::uint64_t offset, Bytes data, std::uint64_t token);  // refused: EROFS
  void read(std::uint64_t offset, MutableBytes to, std::uint64_t token);
  void submit();
  [[nodiscard]] std::size_t poll(std::span<Completion> out);
  [[nodiscard]] const DeviceInfo& info() const { return info_; }
  [[nodiscard]] std::uint64_t ready_bytes() const { return image_.ready_bytes(); }

 private:
  static constexpr std::size_t reads_max = 32;  // of the ring; whatever is asked for beyond is read at once
  struct Read {
    std::uint64_t token = 0;
    std::uint64_t bytes = 0;
  };

  const JournalImage& image_;
  DeviceInfo info_;
  io_uring ring_{};
  bool has_ring_ = false;
  std::array<Read, reads_max> reads_;  // in flight, but those in `free_`
  std::vector<std::size_t> free_;
  std::deque<Completion> finished_;  // without the ring
};

}  // namespace synod::storage
