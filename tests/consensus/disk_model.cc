#include "tests/consensus/disk_model.h"

#include <algorithm>

namespace synod::consensus::testing {

bool is_of_a_slot(const Persist& record) {
  return record.kind == wire::RecordKind::accepted || record.kind == wire::RecordKind::chosen;
}

DiskRecord make_block(const Engine& engine, const Persist& persist, std::uint64_t open_count, std::size_t blocks) {
  const Position own{open_count, blocks + 1};
  DiskRecord block{.record = persist,
                   .commit = engine.commit(),
                   .promised = engine.promised(),
                   .highest = engine.highest_slot(),
                   .heard = engine.heard(),
                   .vouched = engine.confirmed() ? own : engine.claim(),
                   .open_count = open_count};
  if (persist.kind == wire::RecordKind::members) block.members = engine.member_uuids();
  return block;
}

Restored recover(std::span<const DiskRecord> disk, bool is_tail_missing) {
  Restored restored;
  bool is_hole = false;
  for (const DiskRecord& block : disk) {
    if (block.is_lost) {
      is_hole = true;
      continue;
    }
    restored.commit = std::max(restored.commit, block.commit);
    restored.promised = std::max(restored.promised, block.promised);
    if (block.record.kind != wire::RecordKind::chosen) restored.promised = std::max(restored.promised, block.record.ballot);
    restored.highest_slot = std::max(restored.highest_slot, block.highest);
    restored.heard = block.heard;
    restored.claim = block.vouched;
    if (block.record.kind == wire::RecordKind::members) restored.members = {block.members.begin(), block.members.end()};
    Doubt& doubt = restored.doubt;
    if (is_hole && !doubt.is_unbounded()) {
      doubt = Doubt::below(std::max(doubt.bound, block.promised), std::max(doubt.last, block.highest));
    }
    is_hole = false;
    if (block.record.kind != wire::RecordKind::repair) continue;
    const bool has_bound = !block.record.ballot.is_none();
    doubt = has_bound ? Doubt::below(block.record.ballot, block.record.slot) : Doubt::without_bound();
  }
  if (is_tail_missing) restored.doubt = Doubt::without_bound();
  return restored;
}

}  // namespace synod::consensus::testing
