#include "tests/storage/recording_device.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "storage/aligned_buffer.h"

namespace synod::storage::test {

namespace {

constexpr std::size_t sector_bytes = 512;
constexpr std::size_t piece_bytes = 1U << 20;

std::vector<std::byte> contents_of(DeviceRef device) {
  std::vector<std::byte> contents(device.info().size_bytes);
  AlignedBuffer piece(piece_bytes);
  for (std::size_t at = 0; at < contents.size();) {
    const std::size_t length = std::min(piece_bytes, contents.size() - at);
    device.read(at, piece.bytes().first(length), 0);
    device.submit();
    Completion finished;
    while (device.poll(std::span(&finished, 1)) == 0) {
    }
    CHECK_EQ(finished.error, 0);
    copy(std::span(contents).subspan(at), piece.bytes().first(length));
    at += length;
  }
  return contents;
}

}  // namespace

RecordingDevice::RecordingDevice(DeviceRef inner, std::uint64_t seed) : inner_(inner), prng_(seed), start_(contents_of(inner)) {}

void RecordingDevice::write_durable(std::uint64_t offset, Bytes data, std::uint64_t token) {
  operations_.push_back({.token = token, .write = writes_.size()});
  writes_.push_back({.offset = offset, .data = {data.begin(), data.end()}});
  inner_.write_durable(offset, data, operations_.size() - 1);
}

void RecordingDevice::read(std::uint64_t offset, MutableBytes to, std::uint64_t token) {
  operations_.push_back({.token = token});
  inner_.read(offset, to, operations_.size() - 1);
}

void RecordingDevice::submit() {
  for (; submitted_writes_ < writes_.size(); ++submitted_writes_) writes_[submitted_writes_].submitted = events_++;
  inner_.submit();
}

std::size_t RecordingDevice::poll(std::span<Completion> out) {
  std::array<Completion, 16> finished;
  for (std::size_t count = inner_.poll(finished); count > 0; count = inner_.poll(finished)) {
    ready_.insert(ready_.end(), finished.begin(), finished.begin() + static_cast<std::ptrdiff_t>(count));
  }
  if (ready_.empty() || out.empty()) return 0;
  const std::size_t wanted = std::min<std::size_t>(prng_.between(1, ready_.size()), out.size());
  for (std::size_t i = 0; i < wanted; ++i) {
    const std::size_t chosen = prng_.below(ready_.size());
    const Completion completion = ready_[chosen];
    ready_.erase(ready_.begin() + static_cast<std::ptrdiff_t>(chosen));
    const Operation& operation = operations_[completion.token];
    if (operation.write != never && completion.error == 0) writes_[operation.write].completed = events_++;
    out[i] = {.token = operation.token, .error = completion.error};
  }
  return wanted;
}

void RecordingDevice::apply_torn(const Write& write, std::vector<std::byte>& image, Prng& prng) {
  const MutableBytes place = std::span(image).subspan(write.offset, write.data.size());
  const std::uint64_t fate = prng.below(4);
  if (fate == 0) return;  // absent
  if (fate == 1) {
    copy(place, write.data);
    return;
  }
  const std::uint64_t sectors = write.data.size() / sector_bytes;
  const std::uint64_t garbage = prng.chance(1, 8) ? prng.below(sectors) : sectors;
  const std::uint64_t present_percent = prng.between(1, 99);
  for (std::uint64_t sector = 0; sector < sectors; ++sector) {
    const MutableBytes to = place.subspan(sector * sector_bytes, sector_bytes);
    if (sector == garbage) {
      for (auto& byte : to) byte = static_cast<std::byte>(prng.next());
    } else if (prng.chance(present_percent, 100)) {
      copy(to, Bytes(write.data).subspan(sector * sector_bytes, sector_bytes));
    }
  }
}

std::vector<std::byte> RecordingDevice::crash_image(std::size_t cut, Prng& prng) const {
  std::vector<std::byte> image = start_;
  // Writes at one place never overlap in time, so the order of asking is the order on the disk.
  for (const Write& write : writes_) {
    if (write.submitted == never || write.submitted >= cut) continue;
    if (write.completed != never && write.completed < cut) {
      copy(std::span(image).subspan(write.offset), write.data);
    } else {
      apply_torn(write, image, prng);
    }
  }
  return image;
}

}  // namespace synod::storage::test
