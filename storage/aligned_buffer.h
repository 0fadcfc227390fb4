// Page-aligned memory for direct I/O, mapped lazily: pages cost nothing until they are touched, and come zeroed.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"

namespace synod::storage {

class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(std::size_t bytes) : size_(bytes) {
    if (bytes == 0) return;
    void* at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(at != MAP_FAILED);
    data_ = static_cast<std::byte*>(at);
  }
  AlignedBuffer(AlignedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;
  ~AlignedBuffer() {
    if (data_ != nullptr) ::munmap(data_, size_);
  }

  [[nodiscard]] MutableBytes bytes() { return {data_, size_}; }
  [[nodiscard]] Bytes bytes() const { return {data_, size_}; }
  [[nodiscard]] std::size_t size() const { return size_; }

  // For a buffer of which all is touched: a page fault each 2 MiB instead of each 4 KiB, where the kernel has such pages.
  void prefer_huge_pages() { (void)::madvise(data_, size_, MADV_HUGEPAGE); }

  // Gives the memory up without unmapping it: a device that never answered may still write from it or into it.
  void leak() {
    data_ = nullptr;
    size_ = 0;
  }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace synod::storage
