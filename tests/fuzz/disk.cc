#include "tests/fuzz/disk.h"

#include "base/check.h"
#include "base/crc32c.h"
#include "storage/memory_device.h"
#include "wire/body.h"

namespace synod::fuzz {

using namespace storage;
using wire::RecordKind;

namespace {

constexpr std::uint64_t segment_bytes = 64U << 10;
constexpr std::uint64_t disk_bytes = segments_offset + 3 * segment_bytes;

Written control(RecordKind kind, Ballot ballot, Example body) {
  const wire::RecordHeader header{.ballot = ballot,
                                  .body_bytes = static_cast<std::uint32_t>(body.size()),
                                  .body_checksum = Checksum(crc32c(body)),
                                  .kind = kind};
  return {wire::seal(header), std::move(body)};
}

Uuid uuid_of(std::uint16_t replica) {
  Uuid uuid;
  uuid.bytes.fill(static_cast<std::byte>(0x10 + replica));
  return uuid;
}

Written members() {
  Example body;
  for (std::uint16_t id = 1; id <= 3; ++id) put(body, wire::MemberUuid{.replica = ReplicaId(id), .uuid = uuid_of(id)});
  return control(RecordKind::members, {}, body);
}

// Votes for `count` slots from `first`, each on the log that the one before it left.
void vote_for(std::vector<Written>& records, std::uint64_t first, std::uint64_t count, std::uint64_t round, wire::Chain& chain) {
  for (std::uint64_t slot = first; slot < first + count; ++slot) {
    const std::size_t entry_bytes = slot % 5 == 0 ? 9000 : 40 * slot;
    records.push_back(vote(Slot(slot), round, entry_bytes, chain.value()));
    chain = wire::extend(chain, records.back().header.body_checksum);
  }
}

void format_disk(MemoryDevice& device) {
  auto planned = plan_superblock({.cluster = disk_cluster,
                                  .replica = disk_replica,
                                  .members = 3,
                                  .disk = uuid_of(disk_replica.value()),
                                  .capacity_bytes = disk_bytes - segments_offset,
                                  .segment_bytes = segment_bytes});
  CHECK(planned.has_value());
  for (std::uint32_t i = 0; i < superblock_copies; ++i) {
    store(device.contents().subspan(std::size_t{i} * device_block_bytes), seal(*planned));
  }
}

Example image_of(MemoryDevice& device) {
  return {device.contents().begin(), device.contents().end()};
}

Disk make_disk() {
  constexpr std::uint64_t kept = 13;
  constexpr std::uint64_t committed = 11;
  Disk made;
  MemoryDevice device(disk_bytes);
  format_disk(device);
  auto& first = made.records_before;
  first = {members(), control(RecordKind::promise, Ballot(1, ReplicaId(1)), {})};
  wire::Chain chain;
  vote_for(first, 1, committed, 1, chain);
  const wire::Chain chain_of_committed = chain;
  vote_for(first, committed + 1, kept - committed, 1, chain);
  std::uint64_t lost_offset = 0;
  {
    const Opened opened = open_journal(DeviceRef(device));
    CHECK_EQ(append(*opened.journal, first, Slot(committed)), first.size());
    made.records_after = first;
    lost_offset = segments_offset + opened.journal->bytes_used();
    vote_for(first, kept + 1, 2, 1, chain);
    // Both in flight at once: neither knows the other, or itself, as durable.
    for (const Written& record : std::span(first).last(2)) {
      opened.journal->stage(record.header, record.body);
      opened.journal->flush({.commit = Slot(committed)});
    }
  }
  made.before = image_of(device);
  std::ranges::fill(device.contents().subspan(lost_offset, device_block_bytes), std::byte{0});
  auto& second = made.records_after;
  const std::size_t known = second.size();
  second.push_back(control(RecordKind::promise, Ballot(2, ReplicaId(3)), {}));
  chain = chain_of_committed;
  vote_for(second, committed + 1, 11, 2, chain);
  {
    const Opened opened = open_journal(DeviceRef(device));
    CHECK(opened.records.size() == known && opened.journal->recovered().discarded_bytes > 0);
    const std::span news = std::span(second).subspan(known);
    CHECK_EQ(append(*opened.journal, news.first(news.size() - 1), Slot(kept + 4)), news.size() - 1);
    made.last_block = segments_offset + opened.journal->bytes_used();
    CHECK_EQ(append(*opened.journal, news.last(1), Slot(kept + 4)), 1U);
  }
  made.after = image_of(device);
  return made;
}

}  // namespace

const Disk& disk() {
  static const Disk made = make_disk();
  return made;
}

Opened open_journal(DeviceRef device) {
  Opened opened;
  Visitor visitor;
  visitor.record = [&](const wire::RecordHeader& header, Location location, Bytes body, const Watermarks&) {
    opened.records.push_back({header, {body.begin(), body.end()}});
    opened.locations.push_back(location);
  };
  auto journal = Journal::open(device, disk_cluster, disk_replica, disk_limits, visitor);
  if (journal) opened.journal = std::move(*journal);
  if (!journal) opened.error = journal.error().text;
  return opened;
}

Written vote(Slot slot, std::uint64_t round, std::size_t entry_bytes, std::uint64_t chain) {
  Example buffer(entry_bytes + 256);
  Example entries;
  put(entries, static_cast<std::uint32_t>(entry_bytes));
  entries.resize(entries.size() + entry_bytes, static_cast<std::byte>(slot.value() * 16 + round));
  wire::BodyWriter writer(buffer, wire::Chain(chain));
  // The first slot opens the one session, to which all later slots append.
  const bool opens = slot == Slot(1);
  if (opens) writer.add(wire::RunKind::open_session, {}, {}, 0, bytes_of(uuid_of(9)));
  if (!opens) writer.add(wire::RunKind::entries, wire::session_id(Slot(1), 0), Sequence(slot.value() - 1), 1, entries);
  const Bytes body = writer.finish();
  const wire::RecordHeader header{.slot = slot,
                                  .ballot = Ballot(round, ReplicaId(1)),
                                  .body_bytes = static_cast<std::uint32_t>(body.size()),
                                  .body_checksum = Checksum(crc32c(body))};
  return {wire::seal(header), {body.begin(), body.end()}};
}

std::size_t append(Journal& journal, std::span<const Written> records, Slot commit) {
  std::size_t count = 0;
  std::uint64_t seen = 0;
  for (const Written& record : records) {
    if (!journal.can_stage(record.header.kind, record.body.size())) break;
    journal.stage(record.header, record.body);
    seen = std::max(seen, record.header.slot.value());
    ++count;
    const bool shares_block = seen % 4 == 1;
    if (shares_block && count < records.size()) continue;
    journal.flush({.promised = record.header.ballot, .commit = Slot(std::min(commit.value(), seen))});
    while (!journal.idle() && !journal.failed()) {
      journal.submit();
      journal.poll([](const ReadResult&) {});
    }
  }
  return count;
}

}  // namespace synod::fuzz
