// What the storage tests share: a directory that is removed at the end, small journals, and records that can be told apart.
#pragma once

#include <gtest/gtest.h>
#include <sched.h>
#include <stdlib.h>

#include <array>
#include <filesystem>
#include <memory>
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

struct Opened {
  std::unique_ptr<Journal> journal;
  std::vector<TestRecord> records;
  std::vector<Location> locations;
  std::string error;
};

inline Opened open(DeviceRef device, const JournalLimits& limits = small_limits) {
  Opened opened;
  auto journal = Journal::open(device, cluster, replica, limits,
                               [&](const wire::RecordHeader& header, Location location, Bytes body, const Watermarks&) {
                                 opened.records.push_back({header, {body.begin(), body.end()}});
                                 opened.locations.push_back(location);
                               });
  if (journal) {
    opened.journal = std::move(*journal);
  } else {
    opened.error = journal.error().text;
  }
  return opened;
}

// A formatted journal in memory.
inline std::unique_ptr<MemoryDevice> make_memory(std::uint64_t segments = 4, std::uint64_t segment_bytes = 256U << 10) {
  auto device = std::make_unique<MemoryDevice>((64U << 10) + segments * segment_bytes);
  const auto formatted = format_memory(*device, cluster, replica, 3, segment_bytes);
  EXPECT_TRUE(formatted) << formatted.error().text;
  return device;
}

}  // namespace synod::storage::test
