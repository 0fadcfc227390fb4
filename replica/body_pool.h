// The bodies of open slots. One size class, the largest body: address space is reserved at start and touched as it is used; the
// last released buffer is used first, so small batches stay in few pages.
//
// Handles are owned: whoever acquires one passes it on or releases it. Thread: one. No heap after construction.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "consensus/effects.h"
#include "wire/limits.h"

namespace synod::replica {

using consensus::BodyHandle;
using consensus::no_body;

class BodyPool {
 public:
  explicit BodyPool(std::size_t bodies) : bytes_(bodies * body_bytes_max), free_(bodies), used_(bodies, false) {
    void* memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(memory != MAP_FAILED);
    memory_ = static_cast<std::byte*>(memory);
    for (std::size_t i = 0; i < bodies; ++i) free_[i] = static_cast<std::uint32_t>(bodies - 1 - i);
  }
  ~BodyPool() { munmap(memory_, bytes_); }
  BodyPool(const BodyPool&) = delete;
  BodyPool& operator=(const BodyPool&) = delete;

  [[nodiscard]] std::size_t free() const { return free_.size(); }

  // A buffer of body_bytes_max, or no_body when all are in use.
  [[nodiscard]] BodyHandle acquire() {
    if (free_.empty()) return no_body;
    const std::uint32_t index = free_.back();
    free_.pop_back();
    used_[index] = true;
    return BodyHandle(index);
  }
  // The same, with a copy of `body`; an empty body needs no buffer.
  [[nodiscard]] BodyHandle acquire_copy(Bytes body) {
    if (body.empty()) return no_body;
    const BodyHandle handle = acquire();
    if (handle != no_body) copy(buffer(handle), body);
    return handle;
  }
  void release(BodyHandle handle) {
    CHECK(handle != no_body);
    CHECK(used_[handle.value()]);
    used_[handle.value()] = false;
    free_.push_back(handle.value());
  }

  [[nodiscard]] MutableBytes buffer(BodyHandle handle) {
    CHECK(used_[handle.value()]);
    return {memory_ + std::size_t{handle.value()} * body_bytes_max, body_bytes_max};
  }
  [[nodiscard]] Bytes body(const consensus::Value& value) {
    return value.body == no_body ? Bytes{} : Bytes(buffer(value.body)).first(value.body_bytes);
  }

 private:
  std::size_t bytes_;
  std::byte* memory_ = nullptr;
  std::vector<std::uint32_t> free_;
  std::vector<bool> used_;
};

}  // namespace synod::replica
