// A journal as a replica leaves it behind: votes with real batches, an index page, a checkpoint, and votes behind it.
#pragma once

#include "base/crc32c.h"
#include "replica/checkpoint.h"
#include "replica/index_page.h"
#include "tests/storage/chain.h"
#include "wire/body.h"

namespace synod::replica::test {

using storage::DeviceRef;
using storage::Location;
using storage::Watermarks;
using storage::test::drain;
using storage::test::stage;
using storage::test::TestRecord;

inline constexpr std::uint64_t applied = 1100;  // by the checkpoint
inline constexpr std::uint64_t committed = 1200;
inline constexpr std::uint64_t voted = 1210;  // the last ones are not committed

struct ReplicaJournal {
  std::vector<Location> locations = std::vector<Location>(voted + 1);  // by slot
  std::vector<Checksum> checksums = std::vector<Checksum>(voted + 1);
  std::vector<Lsn> bases = std::vector<Lsn>(voted + 2);
  std::vector<wire::Chain> chains = std::vector<wire::Chain>(voted + 2);  // before the slot
  Location page;
  Location checkpoint;
  Location promise_alone;              // the only record of its block, before the checkpoint
  Location promise_behind;             // the same, behind it
  std::uint64_t entries = 0;           // of committed slots
  std::uint32_t entries_crc = 0;       // of their payloads, in order
  std::uint64_t skipped_slot = 0;      // is not written
  std::uint32_t wrong_entry_slot = 0;  // whose entry in the index has another checksum

  void write(DeviceRef device) {
    auto opened = storage::test::open(device);
    ASSERT_TRUE(opened.journal) << opened.error;
    storage::Journal& journal = *opened.journal;
    for (std::uint64_t slot = 1; slot <= 1024; ++slot) put(journal, slot);
    drain(journal, told(1024));
    promise_alone = stage(journal, storage::test::promise(2)).location;
    drain(journal, told(1024));
    page = put_record(journal, index_page());
    for (std::uint64_t slot = 1025; slot <= applied; ++slot) put(journal, slot);
    drain(journal, told(applied));
    const std::vector<std::byte> bytes = checkpoint_bytes();
    for (const TestRecord& part : storage::test::checkpoint_parts(Slot(applied), bytes, 1000, 1)) {
      const Location at = put_record(journal, part);
      if (checkpoint.bytes == 0) checkpoint = at;
    }
    drain(journal, told(applied));
    promise_behind = stage(journal, storage::test::promise(2)).location;
    drain(journal, told(applied));
    for (const auto& [first, last] : {std::pair{applied + 1, committed - 40}, std::pair{committed - 39, voted}}) {
      for (std::uint64_t slot = first; slot <= last; ++slot) put(journal, slot);
      drain(journal, told(last));
    }
  }

 private:
  static Watermarks told(std::uint64_t slot) {
    return {.promised = Ballot(2, ReplicaId(3)), .commit = Slot(std::min(slot, committed)), .highest = Slot(slot)};
  }

  static Location put_record(storage::Journal& journal, const TestRecord& record) {
    while (!journal.can_stage(record.header.kind, record.body.size())) drain(journal);
    return stage(journal, record).location;
  }

  void put(storage::Journal& journal, std::uint64_t slot) {
    // slot % 3 entries, each of some bytes; some slots are no-ops.
    std::vector<std::byte> buffer(4096);
    wire::BodyWriter writer(buffer, chains[slot]);
    const auto count = static_cast<std::uint32_t>(slot % 3);
    std::vector<std::byte> list;
    for (std::uint32_t i = 0; i < count; ++i) {
      const auto payload = storage::test::random_bytes(slot % 200 + i, slot * 3 + i);
      const auto length = static_cast<std::uint32_t>(payload.size());
      list.insert(list.end(), bytes_of(length).begin(), bytes_of(length).end());
      list.insert(list.end(), payload.begin(), payload.end());
      if (slot <= committed) entries_crc = crc32c(payload, entries_crc);
    }
    if (slot <= committed) entries += count;
    TestRecord record;
    if (count > 0) {
      writer.add(wire::RunKind::entries, SessionId(65536), Sequence(slot), count, list);
      const Bytes body = writer.finish();
      record.body.assign(body.begin(), body.end());
    }
    record.header = wire::seal({.slot = Slot(slot),
                                .ballot = Ballot(1, ReplicaId(1)),
                                .body_bytes = static_cast<std::uint32_t>(record.body.size()),
                                .body_checksum = Checksum(crc32c(record.body)),
                                .kind = slot % 5 == 0 ? wire::RecordKind::chosen : wire::RecordKind::accepted});
    checksums[slot] = record.header.body_checksum;
    bases[slot + 1] = bases[slot] + count;
    chains[slot + 1] = wire::extend(chains[slot], checksums[slot]);
    if (slot == skipped_slot) return;
    locations[slot] = put_record(journal, record);
  }

  [[nodiscard]] IndexEntry entry(std::uint64_t slot) const {
    return {.base = bases[slot],
            .offset = locations[slot].offset,
            .bytes = locations[slot].bytes,
            .checksum = slot == wrong_entry_slot ? Checksum(1) : checksums[slot]};
  }

  [[nodiscard]] TestRecord index_page() const {
    TestRecord record;
    record.body.resize(index_page_bytes);
    store(MutableBytes(record.body), IndexPageHeader{.first = Slot(1), .base = bases[1], .chain = chains[1]});
    for (std::uint64_t place = 0; place < index_page_slots; ++place) {
      store(MutableBytes(record.body).subspan(sizeof(IndexPageHeader) + place * sizeof(IndexEntry)), entry(place + 1));
    }
    record.header = wire::seal({.slot = Slot(1),
                                .body_bytes = static_cast<std::uint32_t>(index_page_bytes),
                                .body_checksum = Checksum(crc32c(record.body)),
                                .kind = wire::RecordKind::index});
    return record;
  }

  [[nodiscard]] std::vector<std::byte> checkpoint_bytes() const {
    std::vector<std::byte> bytes;
    const auto add = [&](const auto& value) { bytes.insert(bytes.end(), bytes_of(value).begin(), bytes_of(value).end()); };
    add(CheckpointHeader{.applied = Slot(applied),
                         .tail = bases[applied + 1],
                         .chain = chains[applied + 1],
                         .trim = Slot(1),
                         .promised = Ballot(2, ReplicaId(3)),
                         .pages = 1,
                         .entries = applied - 1024,
                         .page_base = bases[1025],
                         .page_chain = chains[1025],
                         .log_bytes = 16});
    add(PageAt{.base = bases[1], .chain = chains[1], .offset = page.offset, .bytes = page.bytes});
    for (std::uint64_t slot = 1025; slot <= applied; ++slot) add(entry(slot));
    bytes.resize(bytes.size() + 16, std::byte{7});
    return bytes;
  }
};

}  // namespace synod::replica::test
