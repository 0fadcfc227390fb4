// Where each slot's record lies, and which LSNs it holds. Made at commit, because a base LSN computed earlier may be wrong once a
// later leader fills a hole.
//
// The index is cut into pages of index_page_slots slots. A full page goes into the journal as a record; in memory stay a
// directory (40 bytes a page), the page that is being filled, those whose record is not durable yet, and a cache of the others.
// So memory is O(window + pages), and a page that is not here is read back by replica/reads.
//
// Thread: the node's. No heap after construction: address space for the directory is reserved, and touched as it is used.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/check.h"
#include "base/ids.h"
#include "replica/index_page.h"
#include "storage/aligned_buffer.h"
#include "storage/journal.h"
#include "wire/body.h"

namespace synod::replica {

struct IndexedSlot {
  Lsn base;
  storage::Location location;  // offset 0: its record is not here
  Checksum checksum;           // of its value
  PersistNumber number;        // of its record; readable once durable
};

class SlotIndex {
 public:
  static constexpr std::size_t frames_max = 32;
  static constexpr std::size_t unstaged_max = 8;  // full pages that wait for the journal: votes stop then

  // `slots_max`: how many slots may be indexed at a time.
  explicit SlotIndex(std::uint64_t slots_max);

  [[nodiscard]] bool full() const { return pages() + 1 >= pages_max_; }
  [[nodiscard]] Slot commit() const { return commit_; }
  // The first slot that may be asked for.
  [[nodiscard]] Slot first() const { return first_; }

  // The next slot. `chain` is the log's before it.
  void append(Slot slot, Lsn base, wire::Chain chain, Checksum checksum, const storage::Journal::Staged& record);

  [[nodiscard]] bool is_resident(std::uint64_t page) const { return frame_of(page) != nullptr; }
  // Of a slot from first() to commit() whose page is resident.
  [[nodiscard]] IndexedSlot operator[](Slot slot) const;
  // The page that holds `lsn`, which is below the tail and not below the base of first(). A binary search of the directory.
  [[nodiscard]] std::uint64_t page_with(Lsn lsn) const;
  // The slot that holds `lsn`, if the page is resident.
  [[nodiscard]] std::optional<Slot> find(Lsn lsn) const;

  // Pages and the journal. A page to be staged: a full one, or one whose record has moved.
  [[nodiscard]] std::optional<std::uint64_t> page_to_stage() const;
  [[nodiscard]] std::size_t unstaged() const { return dirty_; }
  void write_page(std::uint64_t page, MutableBytes to) const;  // index_page_bytes
  void staged(std::uint64_t page, const storage::Journal::Staged& record);
  void set_durable(PersistNumber durable) { durable_ = durable; }
  [[nodiscard]] storage::Location location_of(std::uint64_t page) const { return directory(page).location; }
  // A page was read back. False: it is not this page.
  [[nodiscard]] bool loaded(std::uint64_t page, Bytes body);
  // A page's record lies here (recovery). Says nothing of its entries.
  void lies_at(std::uint64_t page, storage::Location location);

  // A slot's record was journalled again. Its page is resident.
  void moved(Slot slot, const storage::Journal::Staged& record);

  // A full page that is resident must be staged once more: its record cannot be read.
  void restage(std::uint64_t page);
  // A page that could not be read was put together again.
  void rebuilt(std::uint64_t page, std::span<const IndexedSlot> slots);

  // Slots below `first` are not asked for any more.
  void trim(Slot first);

  // For checkpoints.
  [[nodiscard]] std::uint64_t first_page() const { return first_page_; }
  [[nodiscard]] std::uint64_t pages() const { return open_page_ - first_page_; }  // full ones
  [[nodiscard]] std::uint64_t open_page() const { return open_page_; }
  struct Entry {
    Lsn base;           // of the page's first entry
    wire::Chain chain;  // of the log before its first slot
    storage::Location location;
  };
  [[nodiscard]] Entry directory(std::uint64_t page) const;
  template <class Use>
  void for_each_open(Use&& use) const {  // entries of the page that is being filled
    for (Slot slot = first_of_page(open_page_); slot <= commit_; ++slot) {
      const IndexedSlot& indexed = frame_of(open_page_)->slots[slot.value() - first_of_page(open_page_).value()];
      use(IndexEntry{.base = indexed.base,
                     .offset = indexed.location.offset,
                     .bytes = indexed.location.bytes,
                     .checksum = indexed.checksum});
    }
  }
  // Starts over with a checkpoint's: first_page full pages follow with add_page, then slots with append.
  void reset(std::uint64_t first_page, Slot first);
  void add_page(const Entry& added);
  // Starts over behind `commit`, of which nothing is here.
  void reset_behind(Slot commit, Lsn tail, wire::Chain chain);

 private:
  struct Frame {
    std::uint64_t page = no_page;
    bool is_dirty = false;  // must be staged
    PersistNumber number;   // of its record: may be forgotten once durable
    mutable std::uint64_t used = 0;
    std::array<IndexedSlot, index_page_slots> slots;
  };
  static constexpr std::uint64_t no_page = UINT64_MAX;

  [[nodiscard]] std::size_t place_of_frame(std::uint64_t page) const;  // frames_max: not here
  [[nodiscard]] const Frame* frame_of(std::uint64_t page) const;
  [[nodiscard]] Frame* frame_of(std::uint64_t page);
  [[nodiscard]] Frame& take_frame(std::uint64_t page);
  void forget(Frame& frame);
  void mark(Frame& frame, bool is_dirty);
  [[nodiscard]] std::size_t place_in_directory(std::uint64_t page) const;
  [[nodiscard]] Entry& entry(std::uint64_t page);

  std::uint64_t pages_max_;
  storage::AlignedBuffer directory_;  // a ring of Entry: page p at p % pages_max_
  std::vector<Frame> frames_;
  mutable std::size_t recent_ = 0;   // the frame that was found last: most likely it is wanted again
  mutable std::uint64_t clock_ = 0;  // of uses
  std::size_t dirty_ = 0;            // frames that must be staged: every poll asks
  std::uint64_t first_page_ = 0;
  std::uint64_t open_page_ = 0;
  Slot first_{1};
  Slot commit_;
  PersistNumber durable_;
};

}  // namespace synod::replica
