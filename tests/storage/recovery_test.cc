// The table of recovery: evidence on the disk, and the verdict.
#include "storage/recovery.h"

#include <gtest/gtest.h>

#include "tests/storage/chain.h"

namespace synod::storage::test {
namespace {

TEST(Recovery, a_torn_last_block_is_discarded) {
  const auto memory = make_chain(5);
  erase(block_at(*memory, 6).subspan(512, 512));
  const auto opened = open(DeviceRef(*memory));
  ASSERT_TRUE(opened.journal) << opened.error;
  EXPECT_EQ(opened.records.size(), 4U);
  EXPECT_EQ(opened.journal->recovered().discarded_bytes, page);
}

TEST(Recovery, a_block_of_garbage_behind_the_chain_is_discarded) {
  const auto memory = make_chain(5);
  std::ranges::fill(block_at(*memory, 7), std::byte{0xA5});
  const auto opened = open(DeviceRef(*memory));
  ASSERT_TRUE(opened.journal) << opened.error;
  EXPECT_EQ(opened.records.size(), 5U);
  EXPECT_EQ(opened.journal->recovered().discarded_bytes, page);
}

TEST(Recovery, a_discarded_tail_cannot_come_back_to_life) {
  const auto memory = make_chain(6);
  // The power cut lost block 5, and nobody knew it as durable: blocks 6 and 7 were in flight with it.
  for (std::uint64_t sequence = 5; sequence <= 7; ++sequence) {
    change_header(*memory, sequence, [](BlockHeader& header) { header.durable_sequence = 4; });
  }
  for (std::uint64_t sequence = 6; sequence <= 7; ++sequence) {
    const auto before = load<BlockHeader>(block_at(*memory, sequence - 1));
    change_header(*memory, sequence, [&](BlockHeader& header) { header.previous = chain_value(before); });
  }
  {
    MemoryDevice whole(Bytes(memory->contents()));
    EXPECT_EQ(open(DeviceRef(whole)).records.size(), 6U) << "the tail is a good one but for its first block";
  }
  erase(block_at(*memory, 5));
  const auto opened = open(DeviceRef(*memory));
  ASSERT_TRUE(opened.journal) << opened.error;
  EXPECT_EQ(opened.records.size(), 3U);
  EXPECT_EQ(opened.journal->recovered().discarded_bytes, 2 * page);
  // The new open's own block took the place of block 5; old blocks 6 and 7 still lie behind it, whole.
  EXPECT_EQ(load<BlockHeader>(block_at(*memory, 6)).sequence, 6U);
  const auto again = open(DeviceRef(*memory));
  ASSERT_TRUE(again.journal) << again.error;
  EXPECT_EQ(again.records.size(), 3U);
}

// Writes a block without records behind a chain of four, right in everything but what `change` spoils.
template <class Change>
std::uint64_t blocks_with_forged_fifth(Change&& change) {
  const auto memory = make_chain(2);
  {
    const auto opened = open(DeviceRef(*memory));
  }
  const auto last = load<BlockHeader>(block_at(*memory, 4));
  EXPECT_EQ(last.open_count, 2U);
  BlockHeader forged{.cluster = last.cluster,
                     .disk = last.disk,
                     .open_count = 2,
                     .offset = offset_of(5),
                     .segment = 0,
                     .sequence = 5,
                     .durable_sequence = 4,
                     .previous = chain_value(last)};
  change(forged);
  store(block_at(*memory, 5), seal(forged));
  const auto opened = open(DeviceRef(*memory));
  EXPECT_TRUE(opened.journal) << opened.error;
  return opened.journal ? opened.journal->recovered().blocks : 0;
}

TEST(Recovery, a_block_that_is_right_in_everything_follows) {
  EXPECT_EQ(blocks_with_forged_fifth([](BlockHeader&) {}), 5U);
}

TEST(Recovery, a_block_of_an_earlier_open_does_not_follow_a_later_one) {
  EXPECT_EQ(blocks_with_forged_fifth([](BlockHeader& header) { header.open_count = 1; }), 4U);
}

TEST(Recovery, a_block_that_was_written_behind_another_does_not_follow) {
  EXPECT_EQ(blocks_with_forged_fifth([](BlockHeader& header) { ++header.previous; }), 4U);
}

TEST(Recovery, a_block_with_a_gap_before_its_number_does_not_follow) {
  EXPECT_EQ(blocks_with_forged_fifth([](BlockHeader& header) { header.sequence = 6; }), 4U);
}

TEST(Recovery, a_block_of_another_version_is_refused_and_not_discarded) {
  const auto memory = make_chain(3);
  change_header(*memory, 4, [](BlockHeader& header) { header.version = layout_version + 1; });
  expect_refused(*memory, "another version of synod");
}

TEST(Recovery, a_record_that_was_written_wrong_is_refused_and_not_discarded) {
  const auto memory = make_chain(3);
  auto payload = block_at(*memory, 4).subspan(sizeof(BlockHeader));
  payload[33] ^= std::byte{1};
  change_header(*memory, 4, [&](BlockHeader& header) { header.payload_checksum = crc32c(payload.first(header.payload_bytes)); });
  expect_refused(*memory, "holds an unreadable record (body checksum)");
}

TEST(Recovery, a_block_with_fewer_records_than_its_payload_is_refused) {
  const auto memory = make_chain(3);
  change_header(*memory, 4, [](BlockHeader& header) { header.record_count = 0; });
  expect_refused(*memory, "does not end with its last record");
}

TEST(Recovery, another_clusters_directory_is_named) {
  const auto memory = make_memory();
  const auto journal = Journal::open(DeviceRef(*memory), wire::cluster_id("other"), replica, small_limits, {});
  ASSERT_FALSE(journal);
  EXPECT_NE(journal.error().text.find("belongs to another cluster"), std::string::npos) << journal.error().text;
}

TEST(Recovery, another_replicas_directory_is_named_with_both_ids) {
  const auto memory = make_memory();
  const auto journal = Journal::open(DeviceRef(*memory), cluster, ReplicaId(7), small_limits, {});
  ASSERT_FALSE(journal);
  EXPECT_NE(journal.error().text.find("belongs to replica 2, and replica 7 is expected"), std::string::npos)
      << journal.error().text;
}

TEST(Recovery, blocks_of_another_disk_are_not_taken) {
  const auto memory = make_chain(4);
  const auto other = make_memory();
  copy(other->contents().subspan(segments_offset), memory->contents().subspan(segments_offset));
  const auto opened = open(DeviceRef(*other));
  ASSERT_TRUE(opened.journal) << opened.error;
  EXPECT_TRUE(opened.records.empty());
}

TEST(Superblock, any_three_copies_may_be_lost) {
  for (std::uint32_t kept = 0; kept < superblock_copies; ++kept) {
    const auto memory = make_chain(2);
    for (std::uint32_t i = 0; i < superblock_copies; ++i) {
      if (i != kept) memory->contents()[i * page + 70] ^= std::byte{1};
    }
    const auto opened = open(DeviceRef(*memory));
    ASSERT_TRUE(opened.journal) << opened.error;
    EXPECT_EQ(opened.journal->recovered().identity.open_count, 2U);
  }
}

TEST(Superblock, the_newest_valid_copy_rules) {
  const auto memory = make_memory();
  const auto old = load<Superblock>(memory->contents());
  {
    const auto opened = open(DeviceRef(*memory));
  }
  store(memory->contents(), old);
  store(memory->contents().subspan(page), old);
  EXPECT_EQ(open(DeviceRef(*memory)).journal->recovered().identity.open_count, 2U);
}

TEST(Superblock, losing_all_copies_is_damage_and_not_a_blank_disk) {
  const auto memory = make_memory();
  for (std::uint32_t i = 0; i < superblock_copies; ++i) memory->contents()[i * page + 70] ^= std::byte{1};
  expect_refused(*memory, "all copies of the superblock are damaged");
}

TEST(Superblock, a_blank_device_says_so) {
  MemoryDevice memory(1U << 20);
  expect_refused(memory, "the journal is blank");
}

TEST(Superblock, a_foreign_file_says_so) {
  MemoryDevice memory(1U << 20);
  std::ranges::fill(memory.contents(), std::byte{'x'});
  expect_refused(memory, "this is not a Synod journal");
}

TEST(Superblock, another_version_says_so) {
  const auto memory = make_memory();
  for (std::uint32_t i = 0; i < superblock_copies; ++i) {
    auto superblock = load<Superblock>(memory->contents().subspan(i * page));
    superblock.version = layout_version + 1;
    store(memory->contents().subspan(i * page), seal(superblock));
  }
  expect_refused(*memory, "another version of synod");
}

// The next open could not count on from there: it would wrap, and its blocks would not follow those of the open before.
TEST(Superblock, counters_at_their_end_are_damage) {
  for (const auto field : {&Superblock::open_count, &Superblock::number}) {
    const auto memory = make_memory();
    for (std::uint32_t i = 0; i < superblock_copies; ++i) {
      auto superblock = load<Superblock>(memory->contents().subspan(i * page));
      superblock.*field = UINT64_MAX;
      store(memory->contents().subspan(i * page), seal(superblock));
    }
    expect_refused(*memory, "all copies of the superblock are damaged");
  }
}

TEST(Superblock, the_first_version_says_so) {
  const auto memory = make_memory();
  for (std::uint32_t i = 0; i < superblock_copies; ++i) {
    auto superblock = load<Superblock>(memory->contents().subspan(i * page));
    superblock.version = 1;
    store(memory->contents().subspan(i * page), seal(superblock));
  }
  expect_refused(*memory, "another version of synod");
}

TEST(Superblock, a_journal_that_was_cut_off_says_so) {
  const auto memory = make_memory();
  MemoryDevice shorter(Bytes(memory->contents()).first(memory->contents().size() - page));
  expect_refused(shorter, "it was cut off");
}

}  // namespace
}  // namespace synod::storage::test
