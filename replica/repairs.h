// Fetching again what this replica committed and can no longer read (rule 6: unreadable is not absent).
//
// A slot's record: asked of the peers in turn until one sends the chosen value whose checksum the index knows. It is journalled
// again at the end of the chain and the index is told; the old place means nothing from then on.
// A page of the index: all of its slots are asked for in order, and the page is built anew. That it is right is shown by the
// chain value of the log at its end, which the next page (or the log) knows. A page that a trim has cut in two cannot be built
// so.
//
// What is told twice is asked once; what does not fit is forgotten, and found again by whoever reads it next.
// Thread: the node's. No heap after construction.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/fixed_vector.h"
#include "base/ids.h"
#include "replica/index_page.h"
#include "replica/slot_index.h"
#include "wire/body.h"
#include "wire/record.h"

namespace synod::replica {

struct RepairCounters {
  std::uint64_t records = 0;  // journalled again
  std::uint64_t pages = 0;    // of the index, built anew
};

class Repairs {
 public:
  static constexpr std::size_t slots_max = 64;

  void ask(Slot slot);
  // False: another page is being built.
  bool ask_page(std::uint64_t page, Lsn base, wire::Chain chain);
  [[nodiscard]] bool is_idle() const { return slots_.empty() && !page_; }

  // The range to be asked for now, of the member whose turn it is; nothing if it is too early.
  struct Question {
    Slot from;
    Slot to;
    std::size_t turn = 0;
  };
  [[nodiscard]] std::optional<Question> next_question(std::uint64_t now_us);

  // Whether a chosen value of this slot is wanted.
  [[nodiscard]] bool wants(Slot slot) const;
  [[nodiscard]] bool wants_for_page(Slot slot) const { return page_ && page_->next == slot; }
  void repaired(Slot slot);
  // The next slot of the page, journalled again here.
  void add_to_page(const wire::RecordView& record, const wire::BodyView& body, const storage::Journal::Staged& staged);
  // The page is whole. Its slots, if what they come to is what the log knew behind them.
  struct Page {
    std::uint64_t page = 0;
    Lsn base;  // behind it
    wire::Chain chain;
  };
  [[nodiscard]] std::optional<Page> finished_page() const;
  [[nodiscard]] std::span<const IndexedSlot> page_slots() const { return page_slots_; }
  void drop_page(bool is_repaired);
  // Slots below are not needed any more.
  void trim(Slot first);
  void forget();  // everything

  [[nodiscard]] const RepairCounters& counters() const { return counters_; }

 private:
  struct Building {
    std::uint64_t page = 0;
    Slot next;
    Lsn base;
    wire::Chain chain;
  };

  FixedVector<Slot, slots_max> slots_;
  std::optional<Building> page_;
  std::vector<IndexedSlot> page_slots_ = std::vector<IndexedSlot>(index_page_slots);
  std::uint64_t asked_us_ = 0;
  std::size_t turn_ = 0;
  RepairCounters counters_;
};

}  // namespace synod::replica
