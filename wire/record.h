// The record: the unit of wire and disk. Immutable once made: an accepted value travels in an Accept, is journalled, and is
// served for catch-up with the same bytes. `kind` alone says what the journal's owner knew when it wrote it.
//
//   RecordHeader (32 bytes) | body (body_bytes) | zero to a multiple of 8 (on disk only)
//
// The body is checksummed once, by whoever made it: body_checksum is the value's identity in every vote.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>

#include "base/bytes.h"
#include "base/ids.h"
#include "wire/limits.h"

namespace synod::wire {

enum class RecordKind : std::uint8_t {
  accepted = 1,  // this acceptor voted for (ballot, body) in slot
  chosen = 2,    // learned from a peer that knew it committed; the ballot is the one of the peer's record
  promise = 3,   // this acceptor promised `ballot`; slot is 0, no body
  members = 4,   // the uuids of all initial members; slot and ballot are 0, the body is a MembersBody
  // Of the journal itself; the ballot is 0 in the first three.
  checkpoint = 5,  // one part of the state after `slot`
  index = 6,       // one page of the slot index, whose first slot is `slot`
  trim = 7,        // `slot` is the first one kept
  repair = 8,  // records were lost here (consensus/doubt.h): of ballots up to `ballot` (0: nobody knows) and slots up to `slot`;
               // no body
};

struct RecordHeader {
  Slot slot;
  Ballot ballot;
  std::uint32_t body_bytes = 0;
  Checksum body_checksum;  // CRC32C of the body; 0 for an empty one
  RecordKind kind = RecordKind::accepted;
  std::uint8_t zero[3] = {};
  std::uint32_t header_checksum = 0;  // CRC32C of the 28 bytes before it
};

static_assert(Format<RecordHeader> && sizeof(RecordHeader) == 32);

// Names the disk of each initial member; what a replica must have recorded before its first vote (rule 5).
struct MemberUuid {
  ReplicaId replica;
  std::uint16_t zero[3] = {};
  Uuid uuid;
};

static_assert(Format<MemberUuid> && sizeof(MemberUuid) == 24);

enum class RecordFault : std::uint8_t {
  too_short,
  bad_header_checksum,
  bad_kind,
  bad_length,
  bad_body_checksum,
  bad_reserved,
  bad_place,
};

[[nodiscard]] const char* name(RecordFault fault);

// A header with its header_checksum set.
[[nodiscard]] RecordHeader seal(RecordHeader header);

struct RecordView {
  RecordHeader header;
  Bytes body;
  [[nodiscard]] std::size_t bytes() const { return sizeof(RecordHeader) + body.size(); }
};

// The gateway: the record at the start of `from` (more bytes may follow), or why there is none. Checks both checksums. Where the
// checksum of all of `from` is known (it was made of these bytes), the body's follows from it and is not made again.
[[nodiscard]] std::expected<RecordView, RecordFault> decode_record(Bytes from, std::optional<Checksum> whole = std::nullopt);

// Checks a header alone.
[[nodiscard]] std::expected<RecordHeader, RecordFault> decode_record_header(Bytes from);

}  // namespace synod::wire
