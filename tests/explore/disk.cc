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
}

}  // namespace

void Disk::make_durable() {
  CHECK(!staged.empty());
  DiskRecord record = staged.front();
  staged.erase(staged.begin());
  commit = std::max(commit, record.commit);
  // Where the record lies tells no more about the future than this.
  record.commit = Slot{};
  if (record.kind != wire::RecordKind::chosen) promised = std::max(promised, record.ballot);
  if (record.slot == Slot{}) return;
  if (newest.size() < record.slot.value()) newest.resize(record.slot.value());
  newest[record.slot.value() - 1] = record;
  const auto place = std::ranges::lower_bound(history, record);
  if (place == history.end() || *place != record) history.insert(place, record);
}

void Disk::fingerprint(Fingerprint& print, bool may_crash) const {
  print.add(promised);
  print.add(may_crash ? commit : Slot{});
  for (const auto* records : {&newest, &history, &staged}) {
    print.add(records->size());
    for (const DiskRecord& record : *records) add_record(print, record, may_crash);
  }
}

}  // namespace synod::consensus::explore
