// Blocking access to a device while nothing else is in flight, as at open: reads ahead in large pieces, and single writes.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/bytes.h"
#include "base/error.h"
#include "storage/aligned_buffer.h"
#include "storage/device.h"

namespace synod::storage {

// One durable write, or one read, waited for. Nothing else may be in flight.
[[nodiscard]] Result<> write_now(DeviceRef device, std::uint64_t offset, Bytes data);
[[nodiscard]] bool read_now(DeviceRef device, std::uint64_t offset, MutableBytes to);

class BlockReader {
 public:
  // Reads within [0, end) of the device, `ahead_bytes` at a time or as much as is asked for.
  static constexpr std::uint64_t sequential = 8U << 20;
  BlockReader(DeviceRef device, std::uint64_t end, std::uint64_t ahead_bytes = sequential);

  // The bytes at `offset`, valid until the next call. Offset and length are whole device blocks; at most view_bytes_max, and not
  // over the end of a segment. What the device cannot read is zero, as is what was never written.
  [[nodiscard]] Bytes view(std::uint64_t offset, std::uint64_t bytes);

  // What was read is forgotten, and the device asked again; from now on so much ahead.
  void forget(std::uint64_t ahead_bytes) {
    filled_ = 0;
    ahead_bytes_ = std::min<std::uint64_t>(ahead_bytes, buffer_.size());
  }

  static constexpr std::uint64_t view_bytes_max = 4U << 20;

 private:
  void fill(std::uint64_t offset, std::uint64_t bytes);
  [[nodiscard]] std::uint64_t file_end(std::uint64_t offset) const;

  DeviceRef device_;
  std::uint64_t end_;
  std::uint64_t ahead_bytes_;
  AlignedBuffer buffer_;
  std::uint64_t start_ = 0;   // of what the buffer holds
  std::uint64_t filled_ = 0;  // bytes
};

}  // namespace synod::storage
