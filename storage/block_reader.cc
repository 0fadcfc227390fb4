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

constexpr std::uint64_t piece_bytes = 1U << 20;  // of one read; a window is several at once
static_assert(block_bytes_limit <= BlockReader::view_bytes_max && BlockReader::view_bytes_max <= BlockReader::sequential);

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

BlockReader::BlockReader(DeviceRef device, std::uint64_t end, std::uint64_t ahead_bytes)
    : device_(device), end_(end), ahead_bytes_(ahead_bytes), buffer_(std::max(ahead_bytes, view_bytes_max)) {
  if (ahead_bytes == sequential) buffer_.prefer_huge_pages();
}

Bytes BlockReader::view(std::uint64_t offset, std::uint64_t bytes) {
  CHECK_LE(bytes, view_bytes_max);
  CHECK_LE(offset + bytes, end_);
  if (offset < start_ || offset + bytes > start_ + filled_) fill(offset, bytes);
  return Bytes(buffer_.bytes()).subspan(offset - start_, bytes);
}

void BlockReader::fill(std::uint64_t offset, std::uint64_t bytes) {
  start_ = offset;
  filled_ = std::min({std::max(bytes, ahead_bytes_), end_ - offset, file_end(offset) - offset});
  CHECK_LE(bytes, filled_);
  const std::uint64_t ready = std::max(device_.ready_bytes(), offset);
  const std::uint64_t written = std::min(filled_, ready - offset);
  std::ranges::fill(buffer_.bytes().subspan(written, filled_ - written), std::byte{0});
  std::size_t pieces = 0;
  for (std::uint64_t at = 0; at < written; at += piece_bytes, ++pieces) {
    device_.read(offset + at, buffer_.bytes().subspan(at, std::min(piece_bytes, written - at)), pieces);
  }
  if (wait_for(device_, pieces) == 0) return;
  // Something in it cannot be read: find out how little.
  for (std::uint64_t at = 0; at < written; at += device_block_bytes) {
    const MutableBytes block = buffer_.bytes().subspan(at, device_block_bytes);
    device_.read(offset + at, block, 0);
    if (wait_for(device_, 1) != 0) std::ranges::fill(block, std::byte{});
  }
}

// Where the file ends in which `offset` lies, on a device of several.
std::uint64_t BlockReader::file_end(std::uint64_t offset) const {
  const std::uint64_t segment_bytes = device_.info().segment_bytes;
  if (segment_bytes == 0) return end_;
  if (offset < segments_offset) return segments_offset;
  return offset + segment_bytes - (offset - segments_offset) % segment_bytes;
}

}  // namespace synod::storage
