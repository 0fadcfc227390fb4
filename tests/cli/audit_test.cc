// `synod verify`: what it says of each kind of damage. And the images that it reads: files, segment files, copies.
#include "replica/audit.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "storage/format.h"
#include "storage/journal_image.h"
#include "storage/uring_device.h"
#include "tests/cli/replica_journal.h"

namespace synod::replica::test {
namespace {

using storage::MemoryDevice;
using storage::test::make_memory;
using storage::test::TemporaryDirectory;

struct Whole {
  std::unique_ptr<MemoryDevice> memory = make_memory(8, 256U << 10);
  ReplicaJournal journal;

  explicit Whole(std::uint64_t skipped_slot = 0, std::uint32_t wrong_entry_slot = 0) {
    journal.skipped_slot = skipped_slot;
    journal.wrong_entry_slot = wrong_entry_slot;
    journal.write(DeviceRef(*memory));
  }
  [[nodiscard]] AuditReport check() const {
    MemoryDevice same(memory->contents());
    const auto report = audit(DeviceRef(*memory), DeviceRef(same), {});
    EXPECT_TRUE(report) << report.error().text;
    return report ? *report : AuditReport{};
  }
  void spoil(std::uint64_t offset) const { memory->contents()[offset] ^= std::byte{1}; }
};

bool says(const AuditReport& report, bool is_error, const std::string& text) {
  for (const Finding& finding : report.findings) {
    if (finding.is_error == is_error && finding.text.find(text) != std::string::npos) return true;
  }
  for (const Finding& finding : report.findings) ADD_FAILURE() << finding.is_error << ": " << finding.text;
  return false;
}

TEST(Audit, a_whole_journal_is_whole) {
  const Whole disk;
  const AuditReport report = disk.check();
  EXPECT_TRUE(report.is_whole());
  EXPECT_TRUE(report.findings.empty()) << report.findings[0].text;
  EXPECT_TRUE(report.has_checkpoint);
  EXPECT_EQ(report.pages, 1U);
  EXPECT_EQ(report.slots, applied);
  EXPECT_EQ(report.commit, Slot(committed));
  EXPECT_GT(report.records, voted);
}

TEST(Audit, reading_changes_nothing) {
  const Whole disk;
  const std::vector<std::byte> before(disk.memory->contents().begin(), disk.memory->contents().end());
  (void)disk.check();
  EXPECT_TRUE(std::ranges::equal(before, disk.memory->contents()));
}

TEST(Audit, a_damaged_record_that_the_index_points_to_is_an_error_that_names_the_slot) {
  const Whole disk;
  disk.spoil(disk.journal.locations[500].offset + 33);
  const AuditReport report = disk.check();
  EXPECT_FALSE(report.is_whole());
  EXPECT_TRUE(says(report, true, fmt::format("slot 500: its record at offset {}", disk.journal.locations[500].offset)));
  EXPECT_TRUE(says(report, false, "are damaged")) << "the block as such";
}

TEST(Audit, a_damaged_record_of_the_open_index_page_is_an_error) {
  const Whole disk;
  disk.spoil(disk.journal.locations[1051].offset + 33);
  EXPECT_TRUE(says(disk.check(), true, "slot 1051"));
}

TEST(Audit, a_damaged_block_in_which_nothing_live_lies_is_a_warning) {
  const Whole disk;
  disk.spoil(disk.journal.promise_alone.offset);
  const AuditReport report = disk.check();
  EXPECT_TRUE(report.is_whole());
  EXPECT_EQ(report.warnings, 1U);
}

TEST(Audit, a_damaged_block_behind_the_checkpoint_is_an_error) {
  const Whole disk;
  disk.spoil(disk.journal.locations[1150].offset + 5);
  const AuditReport report = disk.check();
  EXPECT_TRUE(says(report, true, "only they say what they held"));
  EXPECT_TRUE(says(report, true, "slot 1150: it is committed, and the journal has no record of it"));
}

TEST(Audit, a_damaged_index_page_is_an_error) {
  const Whole disk;
  disk.spoil(disk.journal.page.offset + 100);
  EXPECT_TRUE(says(disk.check(), true, "the index page of slots 1 to 1024 cannot be read"));
}

TEST(Audit, a_damaged_checkpoint_is_an_error) {
  const Whole disk;
  {
    const auto opened = storage::test::open(DeviceRef(*disk.memory));  // so that something names it and comes behind it
  }
  disk.spoil(disk.journal.checkpoint.offset + 60);
  EXPECT_TRUE(says(disk.check(), true, "checkpoints newer than the one that can be used are damaged"));
}

TEST(Audit, an_index_entry_that_is_not_its_record_is_an_error) {
  const Whole disk(0, 77);
  EXPECT_TRUE(says(disk.check(), true, "slot 77: the index says"));
}

TEST(Audit, a_committed_slot_without_a_record_is_an_error) {
  const Whole disk(1180);
  EXPECT_TRUE(says(disk.check(), true, "slot 1180: it is committed"));
}

TEST(Audit, an_entry_for_a_record_that_was_lost_is_an_error) {
  const Whole disk(800);
  EXPECT_TRUE(says(disk.check(), true, "slot 800: its record is lost and was not repaired yet"));
}

TEST(Audit, a_lost_tail_is_an_error) {
  const Whole disk;
  {
    const auto opened = storage::test::open(DeviceRef(*disk.memory));
  }
  const std::uint64_t last = disk.journal.locations[voted].offset / 4096 * 4096;
  std::ranges::fill(disk.memory->contents().subspan(last), std::byte{0});
  EXPECT_TRUE(says(disk.check(), true, "the end of the journal was durable and is lost"));
}

TEST(Audit, a_blank_device_is_no_journal) {
  MemoryDevice blank(1U << 20);
  MemoryDevice same(1U << 20);
  const auto report = audit(DeviceRef(blank), DeviceRef(same), {});
  ASSERT_FALSE(report);
  EXPECT_NE(report.error().text.find("blank"), std::string::npos) << report.error().text;
}

// ---- real directories ----

void write_file(const std::string& path, Bytes bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

Result<AuditReport> verify(const std::string& path, bool is_live = false) {
  const auto image = storage::JournalImage::open(path, is_live);
  if (!image) return std::unexpected(image.error());
  storage::ImageDevice stream(*image);
  storage::ImageDevice random(*image);
  return audit(DeviceRef(stream), DeviceRef(random), {});
}

// The contents as `journal` and one file a segment; the last one is not ready.
void write_segments(const std::string& directory, MemoryDevice& memory, std::uint64_t segments, std::uint64_t segment_bytes) {
  write_file(directory + "/journal", memory.contents().first(storage::segments_offset));
  for (std::uint64_t i = 0; i < segments; ++i) {
    const bool is_ready = i + 1 < segments;
    write_file(directory + fmt::format("/segment-{:06}{}", i, is_ready ? "" : ".new"),
               memory.contents().subspan(storage::segments_offset + i * segment_bytes, segment_bytes));
  }
}

TEST(Image, one_file_and_segment_files_are_the_same_journal) {
  const Whole disk;
  const TemporaryDirectory one;
  const TemporaryDirectory many;
  write_file(one.path() + "/journal", disk.memory->contents());
  write_segments(many.path(), *disk.memory, 8, 256U << 10);
  const AuditReport expected = disk.check();
  for (const std::string& path : {one.path(), many.path(), one.path() + "/journal"}) {
    const auto report = verify(path);
    ASSERT_TRUE(report) << report.error().text;
    EXPECT_TRUE(report->findings.empty()) << path << ": " << report->findings[0].text;
    EXPECT_EQ(report->records, expected.records) << path;
    EXPECT_EQ(report->bytes, expected.bytes) << path;
  }
}

TEST(Image, a_segment_file_that_was_cut_off_is_damage) {
  const Whole disk;
  const TemporaryDirectory directory;
  write_segments(directory.path(), *disk.memory, 8, 256U << 10);
  std::filesystem::resize_file(directory.path() + "/segment-000000", 100U << 10);
  const auto report = verify(directory.path());
  ASSERT_TRUE(report) << report.error().text;
  EXPECT_FALSE(report->is_whole());
}

TEST(Image, a_running_replicas_directory_is_refused_unless_live) {
  const TemporaryDirectory directory;
  ASSERT_TRUE(storage::format({.directory = directory.path(),
                               .cluster = "test",
                               .replica = storage::test::replica,
                               .capacity_bytes = 2U << 20,
                               .segment_bytes = 256U << 10},
                              {}));
  const auto device = storage::open_directory(directory.path());
  ASSERT_TRUE(device) << device.error().text;
  const auto refused = verify(directory.path());
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().text.find("in use by a running replica"), std::string::npos) << refused.error().text;
  EXPECT_TRUE(verify(directory.path(), true)) << "and with it, it is read";
}

TEST(Image, a_directory_without_a_journal_says_so) {
  const TemporaryDirectory directory;
  EXPECT_NE(verify(directory.path()).error().text.find("holds no journal"), std::string::npos);
}

// docs/FORMATS.md is enough to read a journal: a script that was written from it says the same.
TEST(Document, a_reader_that_was_written_from_it_finds_every_entry) {
  const Whole disk;
  const TemporaryDirectory directory;
  for (const std::string state : {"whole", "with a gap", "healed"}) {
    if (state == "with a gap") {
      std::ranges::fill(disk.memory->contents().subspan(disk.journal.promise_behind.offset / 4096 * 4096, 4096), std::byte{0});
    }
    if (state == "healed") {
      auto opened = storage::test::open(DeviceRef(*disk.memory));
      ASSERT_EQ(opened.gaps.size(), 1U) << opened.error;
      ASSERT_TRUE(opened.journal->heal(opened.gaps[0]));
    }
    write_file(directory.path() + "/journal", disk.memory->contents());
    const std::string command = fmt::format("python3 {} {}", SYNOD_READ_JOURNAL, directory.path());
    FILE* const output = ::popen(command.c_str(), "r");
    ASSERT_NE(output, nullptr);
    std::string text(200, '\0');
    text.resize(std::fread(text.data(), 1, text.size(), output));
    EXPECT_EQ(::pclose(output), 0) << state;
    EXPECT_EQ(text, fmt::format("{} entries, crc32c {:08x}\n", disk.journal.entries, disk.journal.entries_crc)) << state;
  }
}

}  // namespace
}  // namespace synod::replica::test
