#include "tests/sim/ledger.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/crc32c.h"

namespace synod::sim {

using storage::BlockHeader;
using storage::Superblock;

namespace {

// Blocks come from the journal itself here, so their headers need no gateway.
BlockHeader header_of(Bytes data) {
  return load<BlockHeader>(data);
}

// Not so when they are read back from the sectors.
bool is_whole(Bytes data, std::uint64_t sequence) {
  const BlockHeader header = header_of(data);
  const std::uint64_t bytes = sizeof(BlockHeader) + std::uint64_t{header.payload_bytes};
  return header.sequence == sequence && bytes <= data.size() && storage::seal(header).header_checksum == header.header_checksum &&
         crc32c(data.subspan(sizeof(BlockHeader), header.payload_bytes)) == header.payload_checksum;
}

bool is_value(const wire::RecordHeader& record) {
  return record.kind == wire::RecordKind::accepted || record.kind == wire::RecordKind::chosen;
}

}  // namespace

template <class Use>
void Ledger::for_each_record(Bytes data, Use&& use) {
  const BlockHeader header = header_of(data);
  std::uint64_t at = sizeof(BlockHeader);
  for (std::uint32_t i = 0; i < header.record_count; ++i) {
    const auto record = wire::decode_record(data.subspan(at));
    if (!record) return;
    use(*record, at);
    at += align_up(record->bytes(), 8);
  }
}

void Ledger::asked(std::uint64_t offset, Bytes data) {
  if (offset < storage::segments_offset) return;
  if (header_of(data).kind == storage::BlockKind::healed) {
    healed_[offset] = sizeof(BlockHeader) + header_of(data).payload_bytes;
    return;
  }
  asked_[header_of(data).sequence] = {offset, data.size()};
  for_each_record(data, [&](const wire::RecordView& record, std::uint64_t) {
    if (is_value(record.header)) on_value(record.header.slot, record.header.body_checksum, record.body);
  });
}

void Ledger::landed(std::uint64_t offset, Bytes data) {
  if (offset < storage::segments_offset) {
    claimed_by_superblock_ = std::max(claimed_by_superblock_, load<Superblock>(data).durable_sequence);
    return;
  }
  const BlockHeader header = header_of(data);
  if (header.kind == storage::BlockKind::healed) {
    return healed_over(header);
  }
  if (expects_first_block_) {
    // What is in effect before it is judged in started().
    expects_first_block_ = false;
    open_count_ = header.open_count;
    unlinked_.clear();
    unlinked_[header.sequence] = {data.begin(), data.end()};
    return;
  }
  unlinked_[header.sequence] = {data.begin(), data.end()};
  while (!unlinked_.empty() && unlinked_.begin()->first == sequence_ + 1) {
    take_effect(unlinked_.begin()->second);
    unlinked_.erase(unlinked_.begin());
  }
}

std::string Ledger::started(const storage::Recovered& recovered, Bytes sectors) {
  if (expects_first_block_) return "no first block of the new open count is on the disk";
  std::string missing;
  if (recovered.sequence < known_ && !recovered.tail_is_lost) {
    missing = fmt::format("recovery ends with block {}, and block {} was durable", recovered.sequence, known_);
  }
  // What nobody had heard the end of, and is there.
  for (const auto& [offset, bytes] : healed_) {
    const BlockHeader header = header_of(sectors.subspan(offset));
    const bool is_there =
        header.kind == storage::BlockKind::healed && storage::seal(header).header_checksum == header.header_checksum;
    if (is_there && sizeof(BlockHeader) + header.payload_bytes == bytes) healed_over(header);
  }
  healed_.clear();
  for (std::uint64_t sequence = sequence_ + 1; sequence <= recovered.sequence; ++sequence) {
    const auto at = asked_.find(sequence);
    if (at == asked_.end()) continue;
    const Bytes block = sectors.subspan(at->second.offset, at->second.bytes);
    if (is_whole(block, sequence)) take_effect(block);
  }
  forget_behind(recovered.sequence);
  const auto first = unlinked_;
  unlinked_.clear();
  for (const auto& [sequence, data] : first) take_effect(data);
  return missing;
}
void Ledger::forget_behind(std::uint64_t sequence) {
  for (auto at = blocks_.upper_bound(sequence); at != blocks_.end(); at = blocks_.erase(at)) at_.erase(at->second.place.offset);
  sequence_ = std::min(sequence_, sequence);
}

// Blocks lie back to back, and are at most as long as what is written here may reach back.
void Ledger::written_over(std::uint64_t offset, std::uint64_t bytes) {
  auto at = at_.lower_bound(offset);
  if (at != at_.begin()) {
    const auto before = std::prev(at);
    if (before->first + blocks_.at(before->second).place.bytes > offset) at = before;
  }
  while (at != at_.end() && at->first < offset + bytes) {
    blocks_.erase(at->second);
    at = at_.erase(at);
  }
}

// The chain goes on with it behind the last block in front of the lost ones, which may have lain at the end of another segment.
void Ledger::healed_over(const BlockHeader& header) {
  written_over(header.offset, sizeof(BlockHeader) + header.payload_bytes);
  auto end = blocks_.upper_bound(header.sequence);
  auto at = end;
  while (at != blocks_.begin()) {
    if (storage::chain_value(std::prev(at)->second.header) == header.previous) break;
    --at;
  }
  if (at == blocks_.begin()) return;
  for (; at != end; at = blocks_.erase(at)) at_.erase(at->second.place.offset);
}

void Ledger::take_effect(Bytes data) {
  const BlockHeader header = header_of(data);
  written_over(header.offset, data.size());
  blocks_[header.sequence] = {{header.offset, data.size()}, header};
  at_[header.offset] = header.sequence;
  sequence_ = header.sequence;
  const bool begins_segment = (header.offset - storage::segments_offset) % segment_bytes_ == 0;
  recycled_ += begins_segment && header.generation > 1 ? 1 : 0;
  asked_.erase(asked_.begin(), asked_.upper_bound(header.sequence));
  claimed_ = std::max(claimed_, header.durable_sequence);
  promised_ = std::max(promised_, header.promised);
  for_each_record(data, [&](const wire::RecordView& record, std::uint64_t at) {
    const wire::RecordHeader& found = record.header;
    if (is_value(found)) places_.emplace(found.slot, RecordPlace{header.offset + at, found.body_checksum});
    // The bound of a repair is a promise, too.
    if (found.kind == wire::RecordKind::promise || found.kind == wire::RecordKind::repair)
      promised_ = std::max(promised_, found.ballot);
    if (found.kind == wire::RecordKind::chosen) chosen_.emplace(found.slot, found.body_checksum);
    if (found.kind != wire::RecordKind::accepted) return;
    promised_ = std::max(promised_, found.ballot);
    const Vote vote{found.slot, found.ballot, found.body_checksum};
    votes_[found.slot] = vote;
    every_vote_.insert(vote);
    on_vote(vote);
  });
}

const BlockHeader* Ledger::last() const {
  const auto at = blocks_.find(sequence_);
  return at == blocks_.end() ? nullptr : &at->second.header;
}

bool Ledger::holds_vote(const Vote& vote) const {
  return every_vote_.contains(vote);
}

bool Ledger::holds(Slot slot, Checksum checksum, const Disk& disk) const {
  for (auto [at, end] = places_.equal_range(slot); at != end; ++at) {
    if (at->second.checksum != checksum) continue;
    const auto record = wire::decode_record(disk.sectors().subspan(at->second.offset));
    const bool is_it = record && record->header.slot == slot && record->header.body_checksum == checksum;
    if (is_it && disk.is_readable(at->second.offset, record->bytes())) return true;
  }
  return false;
}

std::optional<std::uint64_t> Ledger::first_damaged(const Disk& disk) const {
  if (last() == nullptr) return std::nullopt;
  // Segments are used in the order of the sequence. (At their ends lie blocks of the lap before.)
  std::uint64_t needed_from = sequence_;
  std::uint32_t generation = 0;
  for (const auto& [sequence, block] : blocks_) {
    if (block.header.segment != last()->first_segment || block.header.generation <= generation) continue;
    generation = block.header.generation;
    needed_from = sequence;
  }
  for (auto at = blocks_.lower_bound(needed_from); at != blocks_.end(); ++at) {
    const Place& place = at->second.place;
    if (!disk.is_readable(place.offset, place.bytes)) return at->first;
    if (!is_whole(disk.sectors().subspan(place.offset, place.bytes), at->first)) return at->first;
  }
  return std::nullopt;
}

std::uint64_t Ledger::covered() const {
  // A few blocks fewer than the last one vouches for: the witnesses must not be hit themselves.
  constexpr std::uint64_t witnesses = 4;
  const std::uint64_t last = std::min(claimed_, sequence_);
  return last > witnesses ? last - witnesses : 0;
}

}  // namespace synod::sim
