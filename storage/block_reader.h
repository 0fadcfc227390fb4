// Blocking access to a device at open, before anything else is in flight: reads ahead in large pieces, and single writes.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "base/error.h"
#include "storage/aligned_buffer.h"
#include "storage/device.h"

namespace synod::storage {

// One durable write, waited for.
[[nodiscard]] Result<> write_now(DeviceRef device, std::uint64_t offset, Bytes data);

class BlockReader {
 public:
  // Reads within [0, end) of the device. What is not ready yet was never written: it reads as zeros.
  BlockReader(DeviceRef device, std::uint64_t end);

  // The bytes at `offset`, valid until the next call. Offset and length are whole device blocks; at most view_bytes_max,
  // and not over the end of a segment.
  [[nodiscard]] Result<Bytes> view(std::uint64_t offset, std::uint64_t bytes);

  static constexpr std::uint64_t view_bytes_max = 4U << 20;

 private:
  [[nodiscard]] Result<> fill(std::uint64_t offset);
  [[nodiscard]] std::uint64_t file_end(std::uint64_t offset) const;

  DeviceRef device_;
  std::uint64_t end_;
  AlignedBuffer buffer_;
  std::uint64_t start_ = 0;   // of what the buffer holds
  std::uint64_t filled_ = 0;  // bytes
};

}  // namespace synod::storage
