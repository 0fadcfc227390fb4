// Access to a device that is used for nothing else meanwhile, as at open: reading it from one end to the other, and single
// reads and writes that are waited for.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "base/error.h"
#include "storage/aligned_buffer.h"
#include "storage/device.h"

namespace synod::storage {

// One durable write, or one read, waited for. Nothing else may be in flight.
[[nodiscard]] Result<> write_now(DeviceRef device, std::uint64_t offset, Bytes data);
[[nodiscard]] bool read_now(DeviceRef device, std::uint64_t offset, MutableBytes to);

// Between two calls, reads of a sequential reader that has gone on to its second window are in flight: until it is destroyed,
// nothing else may use the device.
class BlockReader {
 public:
  // Reads within [0, end) of the device, `ahead_bytes` at a time or as much as is asked for. With `sequential`, whoever goes
  // on behind a window finds the next one there or on its way: the device is never idle while the caller looks at what it has.
  static constexpr std::uint64_t sequential = 4U << 20;
  static constexpr std::size_t windows_ahead = 4;
  BlockReader(DeviceRef device, std::uint64_t end, std::uint64_t ahead_bytes = sequential);
  ~BlockReader() { wait_for_all(); }
  BlockReader(const BlockReader&) = delete;
  BlockReader& operator=(const BlockReader&) = delete;

  // The bytes at `offset`, valid until the next call. Offset and length are whole device blocks; at most view_bytes_max, and not
  // over the end of a segment. What the device cannot read is zero, as is what was never written.
  [[nodiscard]] Bytes view(std::uint64_t offset, std::uint64_t bytes);

  // What was read is forgotten, and the device asked again; from now on so much ahead.
  void forget(std::uint64_t ahead_bytes);

  static constexpr std::uint64_t view_bytes_max = 4U << 20;

 private:
  // Bytes as one read brought them. In front of them is room for what a view needs of the window before.
  struct Window {
    AlignedBuffer buffer{view_bytes_max + sequential};
    std::uint64_t start = 0;       // on the device
    std::uint64_t bytes = 0;       // from there on
    std::uint64_t carried = 0;     // before it, from the window before
    std::uint64_t read_bytes = 0;  // that the device was asked for; what is behind was never written
    bool is_in_flight = false;
    bool is_bad = false;  // something in it cannot be read

    [[nodiscard]] std::uint64_t end() const { return start + bytes; }
    [[nodiscard]] bool begins_before(std::uint64_t offset) const { return offset + carried >= start; }
    [[nodiscard]] bool holds(std::uint64_t offset, std::uint64_t wanted) const {
      return begins_before(offset) && offset + wanted <= end();
    }
    [[nodiscard]] MutableBytes at(std::uint64_t offset, std::uint64_t wanted) {
      return buffer.bytes().subspan(view_bytes_max + offset - start, wanted);
    }
  };

  [[nodiscard]] Window& current() { return windows_[current_]; }
  void start_over(std::uint64_t offset, std::uint64_t bytes);
  [[nodiscard]] bool go_on(std::uint64_t offset);
  void ask_ahead();
  void ask(std::size_t index, std::uint64_t offset, std::uint64_t bytes);
  void finish(Window& window);
  void wait_for(const Window& window);
  void wait_for_all();
  [[nodiscard]] std::uint64_t file_end(std::uint64_t offset) const;

  DeviceRef device_;
  std::uint64_t end_;
  std::uint64_t ahead_bytes_;
  std::array<Window, 1 + windows_ahead> windows_;  // a ring; memory that was never used costs nothing
  std::size_t current_ = 0;
  std::size_t ahead_ = 0;        // windows behind the current one that were asked for
  std::uint64_t asked_end_ = 0;  // where the last one ends
};

}  // namespace synod::storage
