#include "replica/index_page.h"

#include "wire/limits.h"
#include "wire/record.h"

namespace synod::replica {

const char* name(IndexPageFault fault) {
  switch (fault) {
    case IndexPageFault::bad_length: return "length";
    case IndexPageFault::bad_first: return "first slot";
    case IndexPageFault::bad_order: return "order";
    case IndexPageFault::bad_entry: return "entry";
    case IndexPageFault::bad_reserved: return "reserved bytes";
  }
  return "unknown";
}

std::expected<IndexPageHeader, IndexPageFault> decode_index_page(Bytes from) {
  if (from.size() != index_page_bytes) return std::unexpected(IndexPageFault::bad_length);
  const auto header = load<IndexPageHeader>(from);
  if (header.slots != index_page_slots || header.first == Slot{} || header.first != first_of_page(page_of(header.first))) {
    return std::unexpected(IndexPageFault::bad_first);
  }
  if (header.zero != 0) return std::unexpected(IndexPageFault::bad_reserved);
  Lsn base = header.base;
  for (std::uint64_t place = 0; place < index_page_slots; ++place) {
    const IndexEntry entry = entry_of_page(from, place);
    if (entry.zero != 0) return std::unexpected(IndexPageFault::bad_reserved);
    if (entry.base < base || entry.base - base > entries_per_body_max) return std::unexpected(IndexPageFault::bad_order);
    if (place == 0 && entry.base != base) return std::unexpected(IndexPageFault::bad_order);
    if (entry.offset != 0 &&
        (entry.bytes < sizeof(wire::RecordHeader) || entry.bytes > sizeof(wire::RecordHeader) + body_bytes_max)) {
      return std::unexpected(IndexPageFault::bad_entry);
    }
    base = entry.base;
  }
  return header;
}

}  // namespace synod::replica
