// Where each slot's record lies, and which LSNs it holds. Made at commit, because a base LSN computed earlier may be wrong once a
// later leader fills a hole. 32 bytes a slot in reserved address space; thread: one; no heap.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <optional>

#include "base/check.h"
#include "base/ids.h"
#include "storage/journal.h"

namespace synod::replica {

struct IndexedSlot {
  Lsn base;                  // of the slot's first entry; equal to the next slot's for one without entries
  std::uint64_t offset = 0;  // of its record on the device
  std::uint32_t bytes = 0;
  Checksum checksum;     // of its value
  PersistNumber number;  // of its record; readable once durable
};

class SlotIndex {
 public:
  explicit SlotIndex(std::size_t slots_max) : slots_max_(slots_max) {
    void* memory = mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(memory != MAP_FAILED);
    slots_ = static_cast<IndexedSlot*>(memory);
  }
  ~SlotIndex() { munmap(slots_, bytes()); }
  SlotIndex(const SlotIndex&) = delete;
  SlotIndex& operator=(const SlotIndex&) = delete;

  [[nodiscard]] bool full() const { return commit_.value() >= slots_max_; }
  [[nodiscard]] Slot commit() const { return commit_; }

  void append(Slot slot, Lsn base, Checksum checksum, const storage::Journal::Staged& record) {
    CHECK_EQ(slot, commit_ + 1);
    CHECK(!full());
    slots_[commit_.value()] = {base, record.location.offset, record.location.bytes, checksum, record.number};
    commit_ = slot;
  }
  [[nodiscard]] const IndexedSlot& operator[](Slot slot) const {
    CHECK(slot != Slot{} && slot <= commit_);
    return slots_[slot.value() - 1];
  }

  // The committed slot that holds `lsn`, which is below the tail. A binary search.
  [[nodiscard]] Slot find(Lsn lsn) const {
    std::uint64_t low = 0;  // slots_[low].base <= lsn
    std::uint64_t high = commit_.value();
    CHECK_GT(high, 0U);
    while (high - low > 1) {
      const std::uint64_t middle = low + (high - low) / 2;
      (slots_[middle].base <= lsn ? low : high) = middle;
    }
    return Slot(low + 1);
  }

 private:
  [[nodiscard]] std::size_t bytes() const { return slots_max_ * sizeof(IndexedSlot); }

  std::size_t slots_max_;
  IndexedSlot* slots_ = nullptr;
  Slot commit_;
};

}  // namespace synod::replica
