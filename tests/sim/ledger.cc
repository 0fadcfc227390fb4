#include "tests/sim/ledger.h"

#include <fmt/format.h>

#include <algorithm>

namespace synod::sim {

using storage::BlockHeader;
using storage::Superblock;

namespace {

// Blocks come from the journal itself here, so their headers need no gateway.
BlockHeader header_of(Bytes data) {
  return load<BlockHeader>(data);
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
  asked_[header_of(data).sequence] = {offset, data.size()};
  for_each_record(data, [&](const wire::RecordView& record, std::uint64_t) {
    if (record.header.slot != Slot{}) on_value(record.header.slot, record.header.body_checksum, record.body);
  });
}

void Ledger::landed(std::uint64_t offset, Bytes data) {
  if (offset < storage::segments_offset) {
    claimed_ = std::max(claimed_, load<Superblock>(data).durable_sequence);
    return;
  }
  const BlockHeader header = header_of(data);
  if (expects_first_block_) {
    // It tells where recovery ended; what else is in effect is judged in started().
    expects_first_block_ = false;
    first_block_ = header.sequence;
    open_count_ = header.open_count;
    unlinked_.clear();
    unlinked_[header.sequence] = {data.begin(), data.end()};
    return;
  }
  unlinked_[header.sequence] = {data.begin(), data.end()};
  while (!unlinked_.empty() && unlinked_.begin()->first == chain_.size() + 1) {
    take_effect(unlinked_.begin()->first, unlinked_.begin()->second);
    unlinked_.erase(unlinked_.begin());
  }
}

std::string Ledger::started(Bytes sectors) {
  if (expects_first_block_) return "no first block of the new open count is on the disk";
  if (first_block_ <= chain_.size()) {
    return fmt::format("recovery has dropped block {}, which was durable", chain_.size());
  }
  while (chain_.size() + 1 < first_block_) {
    const Place place = asked_[chain_.size() + 1];
    take_effect(chain_.size() + 1, sectors.subspan(place.offset, place.bytes));
  }
  const std::vector<std::byte> first = unlinked_[first_block_];
  unlinked_.clear();
  take_effect(first_block_, first);
  return {};
}

void Ledger::take_effect(std::uint64_t sequence, Bytes data) {
  const BlockHeader header = header_of(data);
  const Place place{header.offset, data.size()};
  chain_.push_back(place);
  asked_.erase(asked_.begin(), asked_.upper_bound(sequence));
  claimed_ = std::max(claimed_, header.durable_sequence);
  promised_ = std::max(promised_, header.promised);
  for_each_record(data, [&](const wire::RecordView& record, std::uint64_t at) {
    const wire::RecordHeader& found = record.header;
    if (found.slot != Slot{}) places_.emplace(found.slot, RecordPlace{place.offset + at, found.body_checksum});
    if (found.kind == wire::RecordKind::promise) promised_ = std::max(promised_, found.ballot);
    if (found.kind == wire::RecordKind::chosen) chosen_.emplace(found.slot, found.body_checksum);
    if (found.kind != wire::RecordKind::accepted) return;
    promised_ = std::max(promised_, found.ballot);
    const Vote vote{found.slot, found.ballot, found.body_checksum};
    votes_[found.slot] = vote;
    every_vote_.insert(vote);
    on_vote(vote);
  });
}

bool Ledger::holds_vote(const Vote& vote) const {
  return every_vote_.contains(vote);
}

bool Ledger::holds(Slot slot, Checksum checksum, Bytes sectors) const {
  for (auto [at, end] = places_.equal_range(slot); at != end; ++at) {
    if (at->second.checksum != checksum) continue;
    const auto record = wire::decode_record(sectors.subspan(at->second.offset));
    if (record && record->header.slot == slot && record->header.body_checksum == checksum) return true;
  }
  return false;
}

std::uint64_t Ledger::covered_offset() const {
  const std::size_t blocks = covered_blocks();
  return blocks == 0 ? storage::segments_offset : chain_[blocks - 1].offset + chain_[blocks - 1].bytes;
}

std::size_t Ledger::covered_blocks() const {
  // A few blocks fewer than the last one vouches for: the witnesses must not be hit themselves.
  constexpr std::size_t witnesses = 4;
  const std::size_t count = std::min<std::size_t>(claimed_, chain_.size());
  return count > witnesses ? count - witnesses : 0;
}

}  // namespace synod::sim
