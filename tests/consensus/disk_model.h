// A journal as far as consensus can tell: records in blocks of their own, what the header of each block says, and what recovery
// makes of those that can be read. Shared by the random runs and the scenarios.
#pragma once

#include <span>
#include <vector>

#include "consensus/engine.h"

namespace synod::consensus::testing {

// One record on a disk, in a block of its own: the n-th one has sequence number n.
struct DiskRecord {
  Persist record;
  std::vector<std::byte> body;
  FixedVector<wire::MemberUuid, members_max> members;
  // The block's header
  Slot commit;
  Ballot promised;
  Slot highest;
  wire::HeardTable heard;
  Position vouched;
  std::uint64_t open_count = 0;

  bool is_lost = false;  // a fault: it cannot be read any more, nor its header
};

// Whether the record holds the value of its slot.
[[nodiscard]] bool is_of_a_slot(const Persist& record);

// What the engine asks to be written, as the block after `blocks` others. The body is the caller's to fill in.
[[nodiscard]] DiskRecord make_block(const Engine& engine, const Persist& persist, std::uint64_t open_count, std::size_t blocks);

// What recovery gives back. `is_tail_missing`: the superblock knows of a block that is not there.
[[nodiscard]] Restored recover(std::span<const DiskRecord> disk, bool is_tail_missing);

}  // namespace synod::consensus::testing
