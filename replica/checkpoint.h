// A checkpoint: everything that a replica knows at one place of its journal, so that a start reads from there on. Its bytes are
// cut into parts of at most storage::checkpoint_part_bytes, each the body of one record (storage::CheckpointPart before it).
//
//   CheckpointHeader | members x MemberUuid | open x OpenSlot | pages x PageAt | entries x IndexEntry (the open index page)
//   | log state (consensus/log_checkpoint.h)
//
// The snapshot is taken when its first part is staged; what the journal holds behind that is replayed over it.
// Decoding is a gateway: a checkpoint that passed its checksums was written so, and may still be another version's.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/error.h"
#include "consensus/log_state.h"
#include "replica/index_page.h"
#include "storage/journal.h"
#include "wire/record.h"

namespace synod::replica {

inline constexpr std::uint64_t checkpoint_magic = 0x5450434B444E5953;  // "SYNDKCPT"
inline constexpr std::uint32_t checkpoint_version = 1;

struct CheckpointHeader {
  std::uint64_t magic = checkpoint_magic;
  std::uint32_t version = checkpoint_version;
  std::uint32_t members = 0;  // 0: not recorded yet
  Slot applied;
  Lsn tail;
  wire::Chain chain;  // of the log after `applied`
  Slot trim;          // first slot kept
  Ballot promised;
  Ballot doubt_bound;  // rule 6; see doubt_kind
  Slot doubt_last;
  std::uint16_t doubt_kind = 0;    // 0 none, 1 bounded, 2 unbounded
  std::uint16_t is_installed = 0;  // 1: it came from a peer, and the journal before it does not lead to it
  std::uint32_t open = 0;          // slots above `applied` that have a record
  std::uint64_t first_page = 0;    // index of the first page in the directory
  std::uint32_t pages = 0;
  std::uint32_t entries = 0;  // of the open page
  Lsn page_base;              // the open page's header
  wire::Chain page_chain;
  Lsn first_lsn;  // that may be read here; above the log's trim where a peer's state was installed
  std::uint64_t log_bytes = 0;
};
static_assert(Format<CheckpointHeader> && sizeof(CheckpointHeader) == 128);

struct OpenSlot {
  Slot slot;
  Ballot ballot;
  std::uint64_t offset = 0;  // of its record
  std::uint32_t bytes = 0;
  Checksum checksum;
  std::uint32_t kind = 0;  // of wire::RecordKind: accepted or chosen
  std::uint32_t zero = 0;
};
static_assert(Format<OpenSlot> && sizeof(OpenSlot) == 40);

// Where a page of the index lies.
struct PageAt {
  Lsn base;
  wire::Chain chain;
  std::uint64_t offset = 0;  // of its record; 0: not here any more
  std::uint32_t bytes = 0;
  std::uint32_t zero = 0;
};
static_assert(Format<PageAt> && sizeof(PageAt) == 32);

// A checkpoint, taken apart. The spans and views are into its bytes, the structs are copies.
struct CheckpointView {
  CheckpointHeader header;
  std::vector<wire::MemberUuid> members;
  std::vector<OpenSlot> open;
  std::vector<PageAt> pages;
  std::vector<IndexEntry> entries;
  Bytes log;
};

[[nodiscard]] Result<CheckpointView> decode_checkpoint(Bytes from);

}  // namespace synod::replica
