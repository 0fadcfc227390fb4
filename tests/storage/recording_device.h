// Keeps the ordered trace of what a device was asked to write and of what it reported as durable, and builds the disk that a
// power cut would have left at any point of it. SIGKILL loses nothing that the kernel has, so only this tests durability.
//
// It stands in front of any device. Completions are handed on in an order drawn from the seed, some later than others, as a
// disk with several writes in flight does. Every poll hands on something if anything is ready, so that waiting ends.
#pragma once

#include <cstdint>
#include <vector>

#include "base/prng.h"
#include "storage/device.h"

namespace synod::storage::test {

class RecordingDevice {
 public:
  // The trace starts from what is on `inner` now.
  RecordingDevice(DeviceRef inner, std::uint64_t seed);

  void write_durable(std::uint64_t offset, Bytes data, std::uint64_t token);
  void read(std::uint64_t offset, MutableBytes to, std::uint64_t token);
  void submit();
  [[nodiscard]] std::size_t poll(std::span<Completion> out);
  [[nodiscard]] const DeviceInfo& info() const { return inner_.info(); }
  [[nodiscard]] std::uint64_t ready_bytes() const { return inner_.ready_bytes(); }

  // The events of the trace so far: writes handed to the device, and writes reported durable.
  [[nodiscard]] std::size_t trace_length() const { return events_; }

  // The bytes of the disk after a power cut behind the first `cut` events. Writes that were reported are there in full. Of the
  // others each is, by chance, absent, whole, or torn: any subset of its 512-byte sectors, seldom with one sector of garbage.
  [[nodiscard]] std::vector<std::byte> crash_image(std::size_t cut, Prng& prng) const;

 private:
  static constexpr std::size_t never = ~std::size_t{0};
  struct Write {
    std::uint64_t offset = 0;
    std::vector<std::byte> data;
    std::size_t submitted = never;  // number of the event
    std::size_t completed = never;
  };
  struct Operation {
    std::uint64_t token = 0;
    std::size_t write = never;  // index into writes_, for a write
  };

  static void apply_torn(const Write& write, std::vector<std::byte>& image, Prng& prng);

  DeviceRef inner_;
  Prng prng_;
  std::vector<std::byte> start_;
  std::vector<Write> writes_;
  std::size_t submitted_writes_ = 0;
  std::vector<Operation> operations_;  // by the token that the inner device sees
  std::vector<Completion> ready_;      // with inner tokens
  std::size_t events_ = 0;
};

}  // namespace synod::storage::test
