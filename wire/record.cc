#include "wire/record.h"

#include "base/crc32c.h"

namespace synod::wire {

namespace {

constexpr std::size_t checksummed_bytes = sizeof(RecordHeader) - sizeof(std::uint32_t);

std::uint32_t header_checksum(const RecordHeader& header) {
  return crc32c(bytes_of(header).first(checksummed_bytes));
}

// What the kinds of the journal itself may say. (The others are older than this rule.)
bool is_well_placed(const RecordHeader& header) {
  switch (header.kind) {
    case RecordKind::checkpoint: return header.ballot.is_none();
    case RecordKind::index:
    case RecordKind::trim: return header.ballot.is_none() && header.slot != Slot{};
    default: return true;
  }
}

}  // namespace

const char* name(RecordFault fault) {
  switch (fault) {
    case RecordFault::too_short: return "too short";
    case RecordFault::bad_header_checksum: return "header checksum";
    case RecordFault::bad_kind: return "unknown kind";
    case RecordFault::bad_length: return "length";
    case RecordFault::bad_body_checksum: return "body checksum";
    case RecordFault::bad_reserved: return "reserved bytes";
    case RecordFault::bad_place: return "slot or ballot";
  }
  return "unknown";
}

RecordHeader seal(RecordHeader header) {
  header.header_checksum = header_checksum(header);
  return header;
}

std::expected<RecordHeader, RecordFault> decode_record_header(Bytes from) {
  if (from.size() < sizeof(RecordHeader)) return std::unexpected(RecordFault::too_short);
  const auto header = load<RecordHeader>(from);
  if (header.header_checksum != header_checksum(header)) return std::unexpected(RecordFault::bad_header_checksum);
  if (header.kind < RecordKind::accepted || header.kind > RecordKind::repair) return std::unexpected(RecordFault::bad_kind);
  if (!is_zero(bytes_of(header.zero))) return std::unexpected(RecordFault::bad_reserved);
  if (header.body_bytes > body_bytes_max) return std::unexpected(RecordFault::bad_length);
  if (header.kind == RecordKind::repair && header.body_bytes != 0) return std::unexpected(RecordFault::bad_length);
  if (!is_well_placed(header)) return std::unexpected(RecordFault::bad_place);
  return header;
}

std::expected<RecordView, RecordFault> decode_record(Bytes from, std::optional<Checksum> whole) {
  const auto header = decode_record_header(from);
  if (!header) return std::unexpected(header.error());
  const Bytes rest = from.subspan(sizeof(RecordHeader));
  if (rest.size() < header->body_bytes) return std::unexpected(RecordFault::too_short);
  const Bytes body = rest.first(header->body_bytes);
  const std::uint32_t claimed = header->body_checksum.value();
  const bool is_whole = whole && body.size() == rest.size();
  const bool is_right =
      is_whole ? crc32c_joined(crc32c(bytes_of(*header)), claimed, body.size()) == whole->value() : crc32c(body) == claimed;
  if (!is_right) return std::unexpected(RecordFault::bad_body_checksum);
  return RecordView{*header, body};
}

}  // namespace synod::wire
