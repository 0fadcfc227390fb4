#include "storage/memory_device.h"

#include <emmintrin.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

#include "base/uuid.h"
#include "storage/format.h"
#include "storage/layout.h"

namespace synod::storage {

namespace {

// A copy past the caches: nobody reads it soon, it would first be read to be overwritten, and it would displace what is needed.
// Device memory is aligned. Only this thread reads it, so no fence.
void stream(MutableBytes to, Bytes from) {
  for (std::size_t at = 0; at < from.size(); at += sizeof(__m128i)) {
    const __m128i part = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from.data() + at));
    _mm_stream_si128(reinterpret_cast<__m128i*>(to.data() + at), part);
  }
}

}  // namespace

MemoryDevice::MemoryDevice(std::uint64_t size_bytes)
    : memory_(size_bytes),
      info_{.block_bytes = memory_unit_bytes,
            .size_bytes = size_bytes,
            .stable = false,
            .immediate = true,
            .description = "memory (nothing survives a restart)"},
      finished_(operations_max) {
  // Recovery reads the memory before anything is written, which maps the zero page everywhere; each first write to one of those
  // pages would then interrupt every core of the process. Huge pages make that rare.
  memory_.prefer_huge_pages();
}

void MemoryDevice::touch() {
  (void)::madvise(memory_.bytes().data(), memory_.size(), MADV_POPULATE_WRITE);
}

MemoryDevice::MemoryDevice(Bytes image) : MemoryDevice(image.size()) {
  copy(memory_.bytes(), image);
}

std::int32_t MemoryDevice::check(std::uint64_t offset, std::size_t bytes) const {
  if (offset % info_.block_bytes != 0 || bytes % info_.block_bytes != 0) return EINVAL;
  if (offset > memory_.size() || bytes > memory_.size() - offset) return ENOSPC;
  return 0;
}

void MemoryDevice::write_durable(std::uint64_t offset, Bytes data, std::uint64_t token) {
  const std::int32_t error = check(offset, data.size());
  if (error == 0) stream(memory_.bytes().subspan(offset), data);
  finished_.push({.token = token, .error = error});
}

void MemoryDevice::read(std::uint64_t offset, MutableBytes to, std::uint64_t token) {
  const std::int32_t error = check(offset, to.size());
  if (error == 0) copy(to, memory_.bytes().subspan(offset, to.size()));
  finished_.push({.token = token, .error = error});
}

void MemoryDevice::submit() {
  submitted_ = finished_.size();
}

std::size_t MemoryDevice::poll(std::span<Completion> out) {
  const std::size_t count = std::min(submitted_, out.size());
  for (std::size_t i = 0; i < count; ++i) {
    out[i] = finished_.front();
    finished_.pop();
  }
  submitted_ -= count;
  return count;
}

Result<> format_memory(MemoryDevice& device, const MemoryFormat& format) {
  if (device.info().size_bytes <= segments_offset) return fail("a memory journal needs more memory: raise its capacity");
  auto superblock = plan_superblock({.cluster = format.cluster,
                                     .group = format.group,
                                     .replica = format.replica,
                                     .members = format.members,
                                     .disk = draw_uuid(),
                                     .capacity_bytes = device.info().size_bytes - segments_offset,
                                     .segment_bytes = format.segment_bytes,
                                     .unit_bytes = format.unit_bytes});
  if (!superblock) return fail(superblock.error().text);
  const Superblock sealed = seal(*superblock);
  for (std::size_t i = 0; i < superblock_copies; ++i) {
    store(device.contents().subspan(i * device_block_bytes), sealed);
  }
  return {};
}

}  // namespace synod::storage
