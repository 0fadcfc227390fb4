// A checkpoint, read back while its journal runs.
#include "storage/checkpoint_reader.h"

#include <gtest/gtest.h>

#include "tests/storage/chain.h"
#include "tests/storage/fixture.h"

namespace synod::storage::test {
namespace {

constexpr std::uint64_t segment_bytes = 64U << 10;
constexpr std::uint64_t first_slots = 5;

// Reads until the reader has all of it, or gives up.
std::vector<std::byte> read_whole(Journal& journal, CheckpointReader& reader, CheckpointAt at) {
  reader.begin(at);
  while (reader.is_reading()) {
    if (const auto bytes = reader.step()) return {bytes->begin(), bytes->end()};
    journal.submit();
    poll(journal);
  }
  return {};
}

struct Written {
  std::unique_ptr<MemoryDevice> memory = make_memory(8, segment_bytes);
  std::vector<std::byte> bytes = random_bytes(150'000, 1);
  Opened opened = open(DeviceRef(*memory));
  std::vector<Location> parts;

  // Part after part, with votes between them: over several segments, each of whose ends is left unused.
  Written() {
    append_votes(*opened.journal, 1, first_slots);
    std::uint64_t slot = first_slots;
    for (const auto& part : checkpoint_parts(Slot(first_slots), bytes, 9'000, 1)) {
      parts.push_back(stage(*opened.journal, part).location);
      append_votes(*opened.journal, slot + 1, slot + 1);
      ++slot;
    }
    drain(*opened.journal, told(slot));
  }
  [[nodiscard]] CheckpointAt at() const { return *opened.journal->newest_checkpoint_below(Slot(1000)); }
};

TEST(CheckpointReader, brings_what_was_written_over_several_segments) {
  Written written;
  Journal& journal = *written.opened.journal;
  ASSERT_GE(journal.current_segment(), 2U);
  EXPECT_EQ(written.at().applied, Slot(first_slots));
  CheckpointReader reader(journal);
  EXPECT_EQ(read_whole(journal, reader, written.at()), written.bytes);
  EXPECT_EQ(reader.read(), written.at());
  EXPECT_EQ(read_whole(journal, reader, written.at()), written.bytes) << "again";
}

TEST(CheckpointReader, gives_up_where_a_part_cannot_be_read) {
  Written written;
  Journal& journal = *written.opened.journal;
  for (const Location& part : written.parts) {
    std::byte& hit = written.memory->contents()[part.offset + part.bytes / 2];
    hit ^= std::byte{1};
    CheckpointReader reader(journal);
    EXPECT_TRUE(read_whole(journal, reader, written.at()).empty()) << "damage at " << part.offset;
    hit ^= std::byte{1};
  }
  CheckpointReader reader(journal);
  EXPECT_EQ(read_whole(journal, reader, written.at()), written.bytes) << "nothing is damaged any more";
}

TEST(CheckpointReader, finds_none_where_none_begins) {
  Written written;
  Journal& journal = *written.opened.journal;
  CheckpointReader reader(journal);
  CheckpointAt at = written.at();
  at.sequence += 1;
  EXPECT_TRUE(read_whole(journal, reader, at).empty());
  at = {.sequence = 1, .offset = segments_offset, .applied = {}};
  EXPECT_TRUE(read_whole(journal, reader, at).empty()) << "a block of the open, without records";
}

TEST(CheckpointReader, and_others_take_only_what_they_asked_for) {
  Written written;
  Journal& journal = *written.opened.journal;
  ASSERT_TRUE(journal.read_blocks(Journal::Asker::scrub, segments_offset, device_block_bytes));
  CheckpointReader reader(journal);
  reader.begin(written.at());
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(reader.step());
    journal.submit();
    poll(journal);
  }
  EXPECT_TRUE(reader.is_reading()) << "it waits for its turn";
  ASSERT_TRUE(journal.take_blocks(Journal::Asker::scrub));
  EXPECT_EQ(read_whole(journal, reader, written.at()), written.bytes);
}

}  // namespace
}  // namespace synod::storage::test
