// The lower seam: a block device. Reads, writes and barriers of aligned blocks, asynchronous, each with a token.
//
// The journal speaks only to a DeviceRef. Behind it stands UringDevice (io_uring, O_DIRECT), MemoryDevice (diskless groups),
// RecordingDevice (keeps what was written and what was made durable, for crash tests) or the simulator's disk.
//
// Thread: one. Buffers belong to the caller, are aligned to `block_bytes`, and must stay untouched until their completion.
#pragma once

#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>

#include "base/bytes.h"

namespace synod::storage {

struct DeviceInfo {
  std::uint32_t block_bytes = 4096;  // offsets, lengths and buffers are multiples of it
  std::uint64_t size_bytes = 0;
  // Not 0: a file per segment, and no operation spans two of them (nor reaches over `segments_offset`, see layout.h).
  std::uint64_t segment_bytes = 0;
  bool stable = false;      // what was made durable survives loss of power
  bool immediate = false;   // what was asked for is complete when submit returns
  std::string description;  // device, cache and durability method, for reports
};

struct Completion {
  std::uint64_t token = 0;
  std::int32_t error = 0;  // 0, or a positive errno. A short transfer is EIO
};

struct DeviceTable {
  // Durable when its completion says so: data that a completed durable write carried survives any crash (if the device is
  // stable).
  void (*write_durable)(void* self, std::uint64_t offset, Bytes data, std::uint64_t token);
  void (*read)(void* self, std::uint64_t offset, MutableBytes to, std::uint64_t token);
  // Hands what was asked for to the kernel. Nothing is sure to have started before it.
  void (*submit)(void* self);
  // Collects finished operations, at most out.size(). Never blocks. Where the device needs the CPU to complete a durable
  // write (pitfalls: a volatile cache without FUA), this gives it away while one is in flight.
  std::size_t (*poll)(void* self, std::span<Completion> out);
  const DeviceInfo& (*info)(const void* self);
  // Nothing at or beyond it may be asked for: those segments are still being zeroed in the background. The end of a segment, and
  // size_bytes once all are ready. Only grows. A flat device (memory, a raw block device) is ready from the start.
  std::uint64_t (*ready_bytes)(const void* self);
  // The zeroing has failed, and is tried again: until then, what is ready is all there is.
  bool (*preparing_failed)(const void* self);
};

// A non-owning reference to any type with those members (of the last one: or none, if it is ready from the start).
class DeviceRef {
 public:
  template <class Device>
    requires(!std::same_as<std::remove_const_t<Device>, DeviceRef>)  // copying a reference does not refer to the reference
  explicit DeviceRef(Device& device) : self_(&device), table_(&table_for<Device>) {}

  void write_durable(std::uint64_t offset, Bytes data, std::uint64_t token) { table_->write_durable(self_, offset, data, token); }
  void read(std::uint64_t offset, MutableBytes to, std::uint64_t token) { table_->read(self_, offset, to, token); }
  void submit() { table_->submit(self_); }
  [[nodiscard]] std::size_t poll(std::span<Completion> out) { return table_->poll(self_, out); }
  [[nodiscard]] const DeviceInfo& info() const { return table_->info(self_); }
  [[nodiscard]] std::uint64_t ready_bytes() const { return table_->ready_bytes(self_); }
  [[nodiscard]] bool preparing_failed() const { return table_->preparing_failed(self_); }

 private:
  template <class Device>
  static constexpr DeviceTable table_for = {
      [](void* self, std::uint64_t offset, Bytes data, std::uint64_t token) {
        static_cast<Device*>(self)->write_durable(offset, data, token);
      },
      [](void* self, std::uint64_t offset, MutableBytes to, std::uint64_t token) {
        static_cast<Device*>(self)->read(offset, to, token);
      },
      [](void* self) { static_cast<Device*>(self)->submit(); },
      [](void* self, std::span<Completion> out) { return static_cast<Device*>(self)->poll(out); },
      [](const void* self) -> const DeviceInfo& { return static_cast<const Device*>(self)->info(); },
      [](const void* self) { return static_cast<const Device*>(self)->ready_bytes(); },
      [](const void* self) {
        if constexpr (requires(const Device& device) { device.preparing_failed(); }) {
          return static_cast<const Device*>(self)->preparing_failed();
        }
        return false;
      },
  };

  void* self_;
  const DeviceTable* table_;
};

}  // namespace synod::storage
