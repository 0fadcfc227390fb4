// How the place of lost blocks is healed, and what the scrub and the next start find there.
#include <gtest/gtest.h>

#include <optional>

#include "storage/scrub.h"
#include "tests/storage/chain.h"

namespace synod::storage::test {
namespace {

void expect_same_records(const Opened& a, const Opened& b) {
  EXPECT_EQ(a.records, b.records);
  EXPECT_EQ(a.locations, b.locations);
}

// What two passes of the scrub find, or the first thing.
std::optional<Gap> scrubbed_gap(Journal& journal) {
  Scrub scrub(journal, {.bytes_per_s = 1U << 30, .pause_us = 0});
  std::optional<Gap> gap;
  for (std::uint64_t now_us = 1'000; !gap && scrub.progress().passes < 2 && now_us < 1'000'000; now_us += 1'000) {
    gap = scrub.step(now_us);
    journal.submit();
    poll(journal);
  }
  EXPECT_TRUE(gap || scrub.progress().passes == 2) << "it gets round";
  return gap;
}

// Heals all gaps of an open, then expects the scrub and the next open to find none, and the same records.
void expect_healed(MemoryDevice& memory) {
  Opened first = open(DeviceRef(memory));
  ASSERT_TRUE(first.journal) << first.error;
  ASSERT_FALSE(first.gaps.empty());
  for (const Gap& gap : first.gaps) ASSERT_TRUE(heal(*first.journal, gap));
  EXPECT_FALSE(scrubbed_gap(*first.journal));
  const std::uint64_t sequence = first.journal->recovered().sequence;
  first.journal.reset();
  const auto again = open(DeviceRef(memory));
  ASSERT_TRUE(again.journal) << again.error;
  EXPECT_TRUE(again.gaps.empty());
  EXPECT_FALSE(again.journal->recovered().tail_is_lost);
  EXPECT_EQ(again.journal->recovered().sequence, sequence + 1) << "and the first block of the open before";
  expect_same_records(first, again);
  EXPECT_FALSE(scrubbed_gap(*again.journal));
}

TEST(Heal, one_block) {
  const auto memory = make_chain(8);
  flip(*memory, 4);
  expect_healed(*memory);
}

TEST(Heal, the_first_block) {
  const auto memory = make_chain(8);
  flip(*memory, 1, 40);
  expect_healed(*memory);
}

// Closes a gap as a replica does: behind a checkpoint that needs nothing of what lay there. The next start must find that one.
void expect_checkpoint_behind_healed(MemoryDevice& memory, std::uint64_t slot, const std::optional<Gap>& recovered) {
  const std::vector<std::byte> bytes = random_bytes(2'000, slot);
  {
    const auto opened = open(DeviceRef(memory));
    ASSERT_TRUE(opened.journal) << opened.error;
    Journal& journal = *opened.journal;
    if (!recovered) flip(memory, 1, 40);
    const auto gap = recovered ? recovered : scrubbed_gap(journal);
    ASSERT_TRUE(gap);
    for (const auto& part : checkpoint_parts(Slot(slot), bytes, 1'000, 1)) stage(journal, part);
    drain(journal, told(slot + 1));
    append_votes(journal, slot + 1, slot + 2);
    ASSERT_TRUE(heal(journal, *gap));
  }
  const auto again = open(DeviceRef(memory));
  ASSERT_TRUE(again.journal) << again.error;
  EXPECT_TRUE(again.journal->recovered().has_checkpoint);
  EXPECT_EQ(again.checkpoint, bytes);
  EXPECT_EQ(slots_of(again), (std::vector<std::uint64_t>{slot + 1, slot + 2}));
}

// Found by the simulator, seed 6163: the first block, over which the scrub came, was healed with no word of what it follows.
TEST(Heal, the_first_block_that_the_scrub_has_found) {
  const auto memory = make_chain(8);
  expect_checkpoint_behind_healed(*memory, 8, std::nullopt);
}

// And the same start did not look behind the healed first block of the newest segment for the checkpoint that is named there.
TEST(Heal, the_head_of_the_newest_segment) {
  const auto memory = make_chain(36, 4, 64U << 10);
  flip(*memory, 33);
  const auto found = open(DeviceRef(*memory));
  ASSERT_EQ(found.gaps.size(), 1U) << found.error;
  expect_checkpoint_behind_healed(*memory, 36, found.gaps[0]);
}

TEST(Heal, the_first_block_says_what_it_follows) {
  const auto memory = make_chain(8);
  {
    const auto opened = open(DeviceRef(*memory));
    ASSERT_TRUE(opened.journal) << opened.error;
    flip(*memory, 1, 40);
    const auto gap = scrubbed_gap(*opened.journal);
    ASSERT_TRUE(gap);
    ASSERT_TRUE(heal(*opened.journal, *gap));
  }
  const auto again = open(DeviceRef(*memory));
  ASSERT_TRUE(again.journal) << again.error;
  EXPECT_TRUE(again.gaps.empty());
  EXPECT_EQ(slots_of(again), slots_but(8, 0, 0));
}

TEST(Heal, several_gaps_of_several_blocks) {
  const auto memory = make_chain(30);
  for (const std::uint64_t sequence : {3U, 4U, 5U, 9U, 20U, 21U}) flip(*memory, sequence);
  expect_healed(*memory);
}

TEST(Heal, blocks_of_an_earlier_open_that_an_open_stands_behind) {
  const auto memory = make_chain(4);
  {
    const auto opened = open(DeviceRef(*memory));
    append_votes(*opened.journal, 5, 8);
  }
  flip(*memory, 5);
  flip(*memory, 6);
  expect_healed(*memory);
}

TEST(Heal, the_head_of_a_segment_with_blocks_before_and_behind_it) {
  const auto memory = make_chain(40, 4, 64U << 10);
  for (std::uint64_t sequence = 15; sequence <= 18; ++sequence) flip(*memory, sequence);
  expect_healed(*memory);
}

// Found by the simulator, seed 9990: the scrub looked for it at the end of the segment before, where there is no room, for ever.
TEST(Heal, the_head_of_a_segment_behind_a_full_one) {
  for (const std::uint64_t last : {17U, 19U}) {
    const auto memory = make_chain(40, 4, 64U << 10);
    for (std::uint64_t sequence = 17; sequence <= last; ++sequence) flip(*memory, sequence);
    expect_healed(*memory);
  }
}

TEST(Heal, the_end_of_a_segment) {
  const auto memory = make_chain(40, 4, 64U << 10);
  flip(*memory, 15);
  flip(*memory, 16);
  expect_healed(*memory);
}

// As the memory of a diskless replica has them: blocks begin anywhere.
TEST(Heal, one_of_small_blocks) {
  const auto memory = make_memory(4, 64U << 10, memory_unit_bytes);
  const auto opened = open(DeviceRef(*memory));
  ASSERT_TRUE(opened.journal) << opened.error;
  append_votes(*opened.journal, 1, 120);
  EXPECT_FALSE(scrubbed_gap(*opened.journal));
  for (const std::size_t slot : {20U, 70U}) {
    const auto before = open(DeviceRef(*memory));
    memory->contents()[before.locations[slot].offset + 600] ^= std::byte{1};
    const auto gap = scrubbed_gap(*opened.journal);
    ASSERT_TRUE(gap);
    EXPECT_EQ(gap->next_sequence, gap->first_sequence + 1);
    ASSERT_TRUE(heal(*opened.journal, *gap));
    EXPECT_FALSE(scrubbed_gap(*opened.journal));
  }
}

TEST(Heal, a_gap_over_a_whole_segment_stays_open) {
  const auto memory = make_chain(60, 8, 64U << 10);
  for (std::uint64_t sequence = 16; sequence <= 33; ++sequence) flip(*memory, sequence);
  const std::vector<std::byte> before(memory->contents().begin() + segments_offset, memory->contents().end());
  const auto opened = open(DeviceRef(*memory));
  ASSERT_EQ(opened.gaps.size(), 1U) << opened.error;
  EXPECT_FALSE(heal(*opened.journal, opened.gaps[0]));
  EXPECT_EQ(open(DeviceRef(*memory)).gaps.size(), 1U);
}

TEST(Heal, a_torn_one_changes_nothing) {
  const auto memory = make_chain(8);
  flip(*memory, 4);
  Opened first = open(DeviceRef(*memory));
  const std::vector<std::byte> damaged(block_at(*memory, 4).begin(), block_at(*memory, 4).end());
  ASSERT_TRUE(heal(*first.journal, first.gaps[0]));
  first.journal.reset();
  const std::vector<std::byte> healed(block_at(*memory, 4).begin(), block_at(*memory, 4).end());
  for (std::size_t torn = 0; torn < 8; ++torn) {
    MemoryDevice after{Bytes(memory->contents())};
    copy(block_at(after, 4), damaged);  // all sectors but one are the new ones, then only one is
    for (std::size_t sector = 0; sector < 8; ++sector) {
      if (sector != torn) copy(block_at(after, 4).subspan(sector * 512), Bytes(healed).subspan(sector * 512, 512));
    }
    const auto opened = open(DeviceRef(after));
    expect_same_records(first, opened);
    EXPECT_EQ(opened.gaps.size(), torn == 0 ? 1U : 0U) << "the header is one sector";
  }
}

TEST(Heal, a_healed_place_can_be_damaged_and_healed_again) {
  const auto memory = make_chain(8);
  flip(*memory, 4);
  expect_healed(*memory);
  flip(*memory, 4, 100);
  expect_healed(*memory);
}

TEST(Heal, what_has_been_written_over_since_is_left_alone) {
  const auto memory = make_chain(20, 4, 64U << 10);
  flip(*memory, 4);
  const auto opened = open(DeviceRef(*memory));
  ASSERT_EQ(opened.gaps.size(), 1U) << opened.error;
  Gap gap = opened.gaps[0];
  ++gap.next_generation;  // as if the segment had been in use again when it was found
  EXPECT_FALSE(heal(*opened.journal, gap));
}

}  // namespace
}  // namespace synod::storage::test
