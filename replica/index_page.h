// A page of the slot index as it lies in the journal: the body of a record of kind `index`, whose slot is the page's first.
//
//   IndexPageHeader (32 bytes) | index_page_slots x IndexEntry (32 bytes)
//
// Written when the last of its slots is committed, and again when one of its records has moved (repair): the newest one counts.
#pragma once

#include <cstdint>
#include <expected>

#include "base/bytes.h"
#include "base/ids.h"
#include "wire/body.h"

namespace synod::replica {

inline constexpr std::uint64_t index_page_slots = 1024;

struct IndexPageHeader {
  Slot first;         // page * index_page_slots + 1
  Lsn base;           // of its first entry
  wire::Chain chain;  // of the log before its first slot
  std::uint32_t slots = index_page_slots;
  std::uint32_t zero = 0;
};
static_assert(Format<IndexPageHeader> && sizeof(IndexPageHeader) == 32);

struct IndexEntry {
  Lsn base;                  // of the slot's first entry; equal to the next slot's for one without entries
  std::uint64_t offset = 0;  // of its record on the device; 0: not here any more (trimmed, or lost)
  std::uint32_t bytes = 0;   // header and body
  Checksum checksum;         // of its value
  std::uint64_t zero = 0;
};
static_assert(Format<IndexEntry> && sizeof(IndexEntry) == 32);

inline constexpr std::size_t index_page_bytes = sizeof(IndexPageHeader) + index_page_slots * sizeof(IndexEntry);

[[nodiscard]] constexpr std::uint64_t page_of(Slot slot) {
  return (slot.value() - 1) / index_page_slots;
}
[[nodiscard]] constexpr Slot first_of_page(std::uint64_t page) {
  return Slot(page * index_page_slots + 1);
}

enum class IndexPageFault : std::uint8_t { bad_length, bad_first, bad_order, bad_entry, bad_reserved };
[[nodiscard]] const char* name(IndexPageFault fault);

// The gateway: bases ascend, locations are possible. `use(place, entry)` is not called for a page that is refused.
[[nodiscard]] std::expected<IndexPageHeader, IndexPageFault> decode_index_page(Bytes from);
[[nodiscard]] inline IndexEntry entry_of_page(Bytes page, std::uint64_t place) {
  return load<IndexEntry>(page.subspan(sizeof(IndexPageHeader) + place * sizeof(IndexEntry)));
}

}  // namespace synod::replica
