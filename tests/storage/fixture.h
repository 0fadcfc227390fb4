// What the storage tests share: a directory that is removed at the end, small journals, and records that can be told apart.
#pragma once

#include <gtest/gtest.h>
#include <sched.h>
#include <stdlib.h>

#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/crc32c.h"
#include "base/prng.h"
#include "storage/format.h"
#include "storage/journal.h"
#include "storage/memory_device.h"
#include "wire/cluster.h"

namespace synod::storage::test {

inline constexpr ClusterId cluster = wire::cluster_id("test");
inline constexpr ReplicaId replica{2};

// Small buffers and blocks, so that tests meet every limit quickly.
inline constexpr JournalLimits small_limits = {
    .block_bytes_max = 64U << 10, .block_bytes_target = 16U << 10, .writes_in_flight = 4, .reads_in_flight = 4};

class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(const std::string& parent = "") {
    const char* chosen = ::getenv("TMPDIR");
    std::string path = parent;
    if (path.empty()) path = chosen != nullptr ? chosen : "/var/tmp";
    path += "/synod-storage-XXXXXX";
    EXPECT_NE(::mkdtemp(path.data()), nullptr) << path;
    path_ = path;
  }
  ~TemporaryDirectory() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct TestRecord {
  wire::RecordHeader header;
  std::vector<std::byte> body;
  bool operator==(const TestRecord& other) const {
    return bytes_of(header).size() == bytes_of(other.header).size() && std::memcmp(&header, &other.header, sizeof(header)) == 0 &&
           body == other.body;
  }
};

inline TestRecord vote(std::uint64_t slot, std::uint64_t round, std::size_t body_bytes) {
  Prng prng(slot * 7919 + body_bytes);
  TestRecord record;
  record.body.resize(body_bytes);
  for (auto& byte : record.body) byte = static_cast<std::byte>(prng.next());
  record.header = wire::seal({.slot = Slot(slot),
                              .ballot = Ballot(round, ReplicaId(1)),
                              .body_bytes = static_cast<std::uint32_t>(body_bytes),
                              .body_checksum = Checksum(crc32c(record.body)),
                              .kind = wire::RecordKind::accepted});
  return record;
}

inline TestRecord promise(std::uint64_t round) {
  return {.header = wire::seal({.ballot = Ballot(round, ReplicaId(3)), .kind = wire::RecordKind::promise}), .body = {}};
}

inline TestRecord trim(std::uint64_t first_kept) {
  return {.header = wire::seal({.slot = Slot(first_kept), .kind = wire::RecordKind::trim}), .body = {}};
}

inline TestRecord repair(std::uint64_t last, Ballot bound) {
  return {.header = wire::seal({.slot = Slot(last), .ballot = bound, .kind = wire::RecordKind::repair}), .body = {}};
}

// The parts of a checkpoint with these bytes.
inline std::vector<TestRecord> checkpoint_parts(Slot slot, Bytes bytes, std::size_t part_bytes, std::uint64_t id) {
  std::vector<TestRecord> parts;
  const auto count = static_cast<std::uint32_t>(std::max<std::size_t>(1, (bytes.size() + part_bytes - 1) / part_bytes));
  for (std::uint32_t i = 0; i < count; ++i) {
    const Bytes rest = bytes.subspan(i * part_bytes, std::min(part_bytes, bytes.size() - i * part_bytes));
    TestRecord part;
    part.body.resize(sizeof(CheckpointPart) + rest.size());
    store(MutableBytes(part.body), CheckpointPart{.id = id, .part = i, .parts = count, .bytes = bytes.size()});
    copy(MutableBytes(part.body).subspan(sizeof(CheckpointPart)), rest);
    part.header = wire::seal({.slot = slot,
                              .body_bytes = static_cast<std::uint32_t>(part.body.size()),
                              .body_checksum = Checksum(crc32c(part.body)),
                              .kind = wire::RecordKind::checkpoint});
    parts.push_back(std::move(part));
  }
  return parts;
}

inline std::vector<std::byte> random_bytes(std::size_t count, std::uint64_t seed) {
  Prng prng(seed);
  std::vector<std::byte> bytes(count);
  for (auto& byte : bytes) byte = static_cast<std::byte>(prng.next());
  return bytes;
}

inline Journal::Staged stage(Journal& journal, const TestRecord& record) {
  return journal.stage(record.header, record.body);
}

inline PersistNumber poll(Journal& journal) {
  return journal.poll([](const ReadResult&) { FAIL() << "no read was asked for"; });
}

// Writes what is staged and waits until it is durable.
inline void drain(Journal& journal, const Watermarks& watermarks = {}) {
  while (!journal.idle() && !journal.failed()) {
    journal.flush(watermarks);
    journal.submit();
    poll(journal);
    ::sched_yield();
  }
}

// Reads one record and waits for it. Nothing: it cannot be read.
inline std::optional<TestRecord> read_back(Journal& journal, Location location) {
  std::optional<TestRecord> record;
  bool is_finished = false;
  EXPECT_TRUE(journal.read(location, 0));
  while (!is_finished) {
    journal.submit();
    journal.poll([&](const ReadResult& result) {
      is_finished = true;
      if (result.record) record = TestRecord{result.record->header, {result.record->body.begin(), result.record->body.end()}};
    });
    if (!is_finished) ::sched_yield();
  }
  return record;
}

// Waits for what the journal writes beside its chain.
inline void finish_aside(Journal& journal) {
  while (journal.is_writing_aside()) {
    journal.submit();
    poll(journal);
    ::sched_yield();
  }
}

inline bool heal(Journal& journal, const Gap& gap) {
  const bool begun = journal.heal(gap);
  finish_aside(journal);
  return begun;
}

inline bool raise_open_count(Journal& journal, std::uint64_t floor) {
  const bool begun = journal.raise_open_count(floor);
  finish_aside(journal);
  return begun;
}

struct Opened {
  std::unique_ptr<Journal> journal;
  std::vector<std::byte> checkpoint;
  std::vector<TestRecord> records;
  std::vector<Location> locations;
  std::vector<Gap> gaps;
  std::vector<std::size_t> gap_places;  // how many records came before each gap
  std::string error;
};

// `refused_checkpoint`: one with these bytes is refused, as if another version had written it.
inline Opened open(DeviceRef device, const JournalLimits& limits = small_limits, Bytes refused_checkpoint = {}) {
  Opened opened;
  Visitor visitor;
  visitor.checkpoint = [&](Bytes bytes) -> Result<> {
    if (!refused_checkpoint.empty() && std::ranges::equal(bytes, refused_checkpoint)) return fail("refused by the test");
    EXPECT_TRUE(opened.checkpoint.empty() && opened.records.empty()) << "a checkpoint comes first, and once";
    opened.checkpoint.assign(bytes.begin(), bytes.end());
    return {};
  };
  visitor.record = [&](const wire::RecordHeader& header, Location location, Bytes body, const Watermarks&) {
    opened.records.push_back({header, {body.begin(), body.end()}});
    opened.locations.push_back(location);
  };
  visitor.gap = [&](const Gap& gap) {
    opened.gaps.push_back(gap);
    opened.gap_places.push_back(opened.records.size());
  };
  auto journal = Journal::open(device, cluster, replica, limits, visitor);
  if (journal) {
    opened.journal = std::move(*journal);
  } else {
    opened.error = journal.error().text;
  }
  return opened;
}

// A formatted journal in memory.
inline std::unique_ptr<MemoryDevice> make_memory(std::uint64_t segments = 4, std::uint64_t segment_bytes = 256U << 10,
                                                 std::uint32_t unit_bytes = device_block_bytes) {
  auto device = std::make_unique<MemoryDevice>((64U << 10) + segments * segment_bytes);
  const auto formatted = format_memory(
      *device, {.cluster = cluster, .replica = replica, .members = 3, .segment_bytes = segment_bytes, .unit_bytes = unit_bytes});
  EXPECT_TRUE(formatted) << formatted.error().text;
  return device;
}

}  // namespace synod::storage::test
