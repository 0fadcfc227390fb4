#include <algorithm>

#include "base/check.h"
#include "tests/explore/replica.h"

namespace synod::consensus::explore {

namespace {

void add_record(Fingerprint& print, const DiskRecord& record, bool may_crash) {
  print.add(static_cast<std::uint64_t>(record.kind));
  print.add(record.slot);
  print.add(record.ballot);
  print.add(record.checksum);
  print.add(record.body_bytes);
  print.add(may_crash ? record.commit : Slot{});
  print.add(record.promised);
  print.add(record.highest);
}

}  // namespace

void Disk::make_durable() {
  CHECK(!staged.empty());
  DiskRecord record = staged.front();
  staged.erase(staged.begin());
  if (may_lose) chain.push_back(record);
  commit = std::max(commit, record.commit);
  // Where the record lies tells no more about the future than this.
  record.commit = Slot{};
  record.promised = {};
  record.highest = {};
  if (record.kind == wire::RecordKind::repair) {
    doubt = record.ballot.is_none() ? Doubt::without_bound() : Doubt::below(record.ballot, record.slot);
  }
  if (record.kind != wire::RecordKind::chosen) promised = std::max(promised, record.ballot);
  if (record.kind != wire::RecordKind::accepted && record.kind != wire::RecordKind::chosen) return;
  if (newest.size() < record.slot.value()) newest.resize(record.slot.value());
  newest[record.slot.value() - 1] = record;
  const auto place = std::ranges::lower_bound(history, record);
  if (place == history.end() || *place != record) history.insert(place, record);
}

bool Disk::can_lose_middle(std::size_t index) const {
  if (index + 1 >= chain.size()) return false;
  const DiskRecord& record = chain[index];
  if (record.kind == wire::RecordKind::promise) return true;
  if (record.kind != wire::RecordKind::accepted && record.kind != wire::RecordKind::chosen) return false;
  // A committed value that is gone is fetched from the others, by those who keep an index of them; these disks do not.
  return record.slot > commit;
}

void Disk::lose_middle(std::size_t index) {
  const DiskRecord& behind = chain[index + 1];
  if (!doubt.is_unbounded()) doubt = Doubt::below(std::max(doubt.bound, behind.promised), std::max(doubt.last, behind.highest));
  chain.erase(chain.begin() + static_cast<std::ptrdiff_t>(index));
  recover();
}

void Disk::lose_tail(std::size_t records) {
  doubt = Doubt::without_bound();
  for (; records > 0; --records) {
    DiskRecord record = chain.back();
    chain.pop_back();
    record.commit = {};
    record.promised = {};
    record.highest = {};
    const auto place = std::ranges::find(history, record);
    if (place != history.end()) history.erase(place);
    if (record.kind == wire::RecordKind::accepted) lost.push_back(record);
  }
  std::ranges::sort(lost);
  recover();
}

void Disk::recover() {
  promised = {};
  commit = {};
  newest.clear();
  for (DiskRecord record : chain) {
    promised = std::max(promised, record.promised);
    commit = std::max(commit, record.commit);
    if (record.kind != wire::RecordKind::chosen) promised = std::max(promised, record.ballot);
    if (record.kind != wire::RecordKind::accepted && record.kind != wire::RecordKind::chosen) continue;
    record.commit = {};
    record.promised = {};
    record.highest = {};
    if (newest.size() < record.slot.value()) newest.resize(record.slot.value());
    newest[record.slot.value() - 1] = record;
  }
}

void Disk::fingerprint(Fingerprint& print, bool may_crash) const {
  print.add(promised);
  print.add(may_crash ? commit : Slot{});
  doubt.fingerprint(print);
  for (const auto* records : {&newest, &history, &staged, &chain, &lost}) {
    print.add(records->size());
    for (const DiskRecord& record : *records) add_record(print, record, may_crash);
  }
}

}  // namespace synod::consensus::explore
