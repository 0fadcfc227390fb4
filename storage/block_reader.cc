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

// So a view lies in at most two windows.
static_assert(block_bytes_limit <= BlockReader::view_bytes_max && BlockReader::view_bytes_max <= BlockReader::sequential);

// Waits for `count` operations; the first error, or 0.
std::int32_t wait_for_operations(DeviceRef device, std::size_t count) {
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
  const std::int32_t error = wait_for_operations(device, 1);
  if (error == 0) return {};
  return fail(fmt::format("the disk refuses a write at offset {} ({}): replace it and join as a new member", offset,
                          std::strerror(error)));
}

bool read_now(DeviceRef device, std::uint64_t offset, MutableBytes to) {
  device.read(offset, to, 0);
  return wait_for_operations(device, 1) == 0;
}

BlockReader::BlockReader(DeviceRef device, std::uint64_t end, std::uint64_t ahead_bytes)
    : device_(device), end_(end), ahead_bytes_(ahead_bytes) {
  CHECK_LE(ahead_bytes, sequential);
  if (ahead_bytes < sequential) return;
  for (Window& window : windows_) window.buffer.prefer_huge_pages();
}

void BlockReader::forget(std::uint64_t ahead_bytes) {
  CHECK_LE(ahead_bytes, sequential);
  wait_for_all();
  current() = Window{.buffer = std::move(current().buffer)};
  asked_end_ = ahead_ = 0;
  ahead_bytes_ = ahead_bytes;
}

Bytes BlockReader::view(std::uint64_t offset, std::uint64_t bytes) {
  CHECK_LE(bytes, view_bytes_max);
  CHECK_LE(offset + bytes, end_);
  const bool is_next =
      ahead_bytes_ == sequential && current().bytes > 0 && current().begins_before(offset) && offset <= asked_end_;
  bool is_there = current().holds(offset, bytes);
  while (!is_there && is_next && go_on(offset)) is_there = current().holds(offset, bytes);
  if (!is_there) start_over(offset, bytes);
  return current().at(offset, bytes);
}

void BlockReader::start_over(std::uint64_t offset, std::uint64_t bytes) {
  wait_for_all();
  ahead_ = 0;
  ask(current_, offset, std::max(bytes, ahead_bytes_));
  device_.submit();
  finish(current());
  CHECK_LE(bytes, current().bytes);
}

// To the next window, with what is wanted of this one in front of it. False: there is none.
bool BlockReader::go_on(std::uint64_t offset) {
  ask_ahead();
  if (ahead_ == 0) return false;
  Window& before = current();
  current_ = (current_ + 1) % windows_.size();
  --ahead_;
  finish(current());
  if (offset < before.end()) {
    const std::uint64_t carried = before.end() - offset;
    CHECK_LE(carried, view_bytes_max);
    current().carried = carried;
    copy(current().at(offset, carried), before.at(offset, carried));
  }
  ask_ahead();
  return true;
}

void BlockReader::ask_ahead() {
  const std::uint64_t end = std::min(end_, device_.ready_bytes());
  while (ahead_ < windows_ahead && asked_end_ < end) {
    ++ahead_;
    ask((current_ + ahead_) % windows_.size(), asked_end_, sequential);
  }
  device_.submit();
}

void BlockReader::ask(std::size_t index, std::uint64_t offset, std::uint64_t bytes) {
  Window& window = windows_[index];
  window.start = offset;
  window.bytes = std::min({bytes, end_ - offset, file_end(offset) - offset});
  window.carried = 0;
  window.read_bytes = std::min(window.bytes, std::max(device_.ready_bytes(), offset) - offset);
  window.is_bad = false;
  window.is_in_flight = window.read_bytes > 0;
  asked_end_ = window.end();
  const MutableBytes to = window.at(offset, window.bytes);
  std::ranges::fill(to.subspan(window.read_bytes), std::byte{0});
  if (window.is_in_flight) device_.read(offset, to.first(window.read_bytes), index);
}

void BlockReader::finish(Window& window) {
  wait_for(window);
  if (!window.is_bad) return;
  wait_for_all();  // nothing else may be in flight
  // Something in it cannot be read: find out how little.
  for (std::uint64_t at = window.start; at < window.start + window.read_bytes; at += device_block_bytes) {
    const MutableBytes block = window.at(at, device_block_bytes);
    if (!read_now(device_, at, block)) std::ranges::fill(block, std::byte{0});
  }
}

void BlockReader::wait_for(const Window& window) {
  std::array<Completion, 1 + windows_ahead> finished;
  while (window.is_in_flight) {
    device_.submit();  // again, should the kernel have refused it
    const std::size_t done = device_.poll(finished);
    for (const Completion& completion : std::span(finished).first(done)) {
      CHECK_LT(completion.token, windows_.size());
      windows_[completion.token].is_in_flight = false;
      windows_[completion.token].is_bad = completion.error != 0;
    }
    if (done == 0) ::sched_yield();
  }
}

void BlockReader::wait_for_all() {
  for (const Window& window : windows_) wait_for(window);
}

// Where the file ends in which `offset` lies, on a device of several.
std::uint64_t BlockReader::file_end(std::uint64_t offset) const {
  const std::uint64_t segment_bytes = device_.info().segment_bytes;
  if (segment_bytes == 0) return end_;
  if (offset < segments_offset) return segments_offset;
  return offset + segment_bytes - (offset - segments_offset) % segment_bytes;
}

}  // namespace synod::storage
