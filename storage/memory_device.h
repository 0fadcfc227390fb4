// A block device in memory, for diskless groups and tests. Every operation is finished by the poll after its submit.
//
// Nothing survives a restart, and info() says so: `stable` is false. Memory is mapped lazily, so a large device costs only
// what is written to it. Thread: one.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "base/error.h"
#include "base/ids.h"
#include "base/ring.h"
#include "storage/aligned_buffer.h"
#include "storage/device.h"

namespace synod::storage {

// Blocks of a diskless journal are rounded up to this instead of 4 KiB: an append that fills 600 bytes shall not move 4,096.
inline constexpr std::uint32_t memory_unit_bytes = 64;

class MemoryDevice {
 public:
  static constexpr std::size_t operations_max = 256;  // asked for and not yet polled

  explicit MemoryDevice(std::uint64_t size_bytes);
  // A device that holds `image`, e.g. a disk after a power cut.
  explicit MemoryDevice(Bytes image);

  // Takes all its memory from the system now rather than at the first writes, which then cost no page fault: for measuring.
  void touch();

  void write_durable(std::uint64_t offset, Bytes data, std::uint64_t token);
  void read(std::uint64_t offset, MutableBytes to, std::uint64_t token);
  void submit();
  [[nodiscard]] std::size_t poll(std::span<Completion> out);
  [[nodiscard]] const DeviceInfo& info() const { return info_; }
  [[nodiscard]] std::uint64_t ready_bytes() const { return info_.size_bytes; }

  // The contents, for formatting and for tests that damage them.
  [[nodiscard]] MutableBytes contents() { return memory_.bytes(); }

 private:
  [[nodiscard]] std::int32_t check(std::uint64_t offset, std::size_t bytes) const;

  AlignedBuffer memory_;
  DeviceInfo info_;
  Ring<Completion> finished_;  // in the order of asking
  std::size_t submitted_ = 0;  // of `finished_`, those that poll may report
};

// Makes an empty journal of the same layout as on disk, with a freshly drawn uuid. `segment_bytes` 0: chosen by the size.
struct MemoryFormat {
  ClusterId cluster;
  GroupId group;
  ReplicaId replica;
  std::uint16_t members = 0;
  std::uint64_t segment_bytes = 0;
  std::uint32_t unit_bytes = memory_unit_bytes;
};
[[nodiscard]] Result<> format_memory(MemoryDevice& device, const MemoryFormat& format);

}  // namespace synod::storage
