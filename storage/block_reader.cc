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

BlockReader::BlockReader(DeviceRef device, std::uint64_t end) : device_(device), end_(end), buffer_(window_bytes) {
  buffer_.prefer_huge_pages();
}

Result<Bytes> BlockReader::view(std::uint64_t offset, std::uint64_t bytes) {
  CHECK_LE(bytes, view_bytes_max);
  CHECK_LE(offset + bytes, end_);
  if (offset < start_ || offset + bytes > start_ + filled_) {
    if (auto filled = fill(offset); !filled) return std::unexpected(filled.error());
    CHECK_LE(bytes, filled_);
  }
  return Bytes(buffer_.bytes()).subspan(offset - start_, bytes);
}

Result<> BlockReader::fill(std::uint64_t offset) {
  start_ = offset;
  filled_ = 0;
  const std::uint64_t length = std::min({window_bytes, end_ - offset, file_end(offset) - offset});
  const std::uint64_t ready = std::max(device_.ready_bytes(), offset);
  const std::uint64_t written = std::min(length, ready - offset);
  std::size_t pieces = 0;
  for (std::uint64_t at = 0; at < written; at += piece_bytes, ++pieces) {
    device_.read(offset + at, buffer_.bytes().subspan(at, std::min(piece_bytes, written - at)), pieces);
  }
  if (const std::int32_t error = wait_for(device_, pieces); error != 0) {
    return fail(
        fmt::format("the disk cannot be read at offset {} ({}): what this replica promised is in doubt; replace the disk and "
                    "join as a new member",
                    offset, std::strerror(error)));
  }
  std::ranges::fill(buffer_.bytes().subspan(written, length - written), std::byte{0});
  filled_ = length;
  return {};
}

// Where the file ends in which `offset` lies, on a device of several.
std::uint64_t BlockReader::file_end(std::uint64_t offset) const {
  const std::uint64_t segment_bytes = device_.info().segment_bytes;
  if (segment_bytes == 0) return end_;
  if (offset < segments_offset) return segments_offset;
  return offset + segment_bytes - (offset - segments_offset) % segment_bytes;
}

}  // namespace synod::storage
