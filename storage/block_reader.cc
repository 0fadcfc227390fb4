#include "storage/block_reader.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"
#include "storage/layout.h"

namespace synod::storage {

namespace {

constexpr std::uint64_t window_bytes = 8U << 20;
constexpr std::uint64_t piece_bytes = 1U << 20;  // of one read; a window is several at once
static_assert(block_bytes_limit <= BlockReader::view_bytes_max && BlockReader::view_bytes_max <= window_bytes);

// Waits for `count` operations; the first error, or 0.
std::int32_t wait_for(DeviceRef device, std::size_t count) {
  std::array<Completion, 16> finished;
  std::int32_t error = 0;
  while (count > 0) {
    device.submit();  // again, should the kernel have refused it
    const std::size_t done = device.poll(finished);
    for (std::size_t i = 0; i < done; ++i) {
      if (error == 0) error = finished[i].error;
    }
    CHECK_LE(done, count);
    count -= done;
    if (done == 0) ::sched_yield();
  }
  return error;
}

}  // namespace

Result<> write_now(DeviceRef device, std::uint64_t offset, Bytes data) {
  device.write_durable(offset, data, 0);
  const std::int32_t error = wait_for(device, 1);
  if (error == 0) return {};
  return fail(fmt::format("the disk refuses a write at offset {} ({}): replace it and join as a new member", offset,
                          std::strerror(error)));
}

bool read_now(DeviceRef device, std::uint64_t offset, MutableBytes to) {
  device.read(offset, to, 0);
  return wait_for(device, 1) == 0;
}

BlockReader::BlockReader(DeviceRef device, std::uint64_t end) : device_(device), end_(end), buffer_(window_bytes) {
  buffer_.prefer_huge_pages();
}

Bytes BlockReader::view(std::uint64_t offset, std::uint64_t bytes) {
  CHECK_LE(bytes, view_bytes_max);
  CHECK_LE(offset + bytes, end_);
  if (offset < start_ || offset + bytes > start_ + filled_) fill(offset);
  return Bytes(buffer_.bytes()).subspan(offset - start_, bytes);
}

void BlockReader::fill(std::uint64_t offset) {
  start_ = offset;
  filled_ = std::min(window_bytes, end_ - offset);
  std::size_t pieces = 0;
  for (std::uint64_t at = 0; at < filled_; at += piece_bytes, ++pieces) {
    device_.read(offset + at, buffer_.bytes().subspan(at, std::min(piece_bytes, filled_ - at)), pieces);
  }
  if (wait_for(device_, pieces) == 0) return;
  // Something in it cannot be read: find out how little.
  for (std::uint64_t at = 0; at < filled_; at += device_block_bytes) {
    const MutableBytes block = buffer_.bytes().subspan(at, device_block_bytes);
    device_.read(offset + at, block, 0);
    if (wait_for(device_, 1) != 0) std::ranges::fill(block, std::byte{});
  }
}

}  // namespace synod::storage
