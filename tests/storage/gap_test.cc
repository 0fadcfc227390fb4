// Blocks that were durable and cannot be read: the chain goes on behind them and says so, or ends in doubt.
#include <gtest/gtest.h>

#include <set>

#include "tests/storage/chain.h"

namespace synod::storage::test {
namespace {

// The one gap of a journal whose blocks `first` to `last` (slots first - 1 to last - 1) are lost, of `votes`.
void expect_gap(const Opened& opened, std::uint64_t votes, std::uint64_t first, std::uint64_t last) {
  ASSERT_TRUE(opened.journal) << opened.error;
  ASSERT_EQ(opened.gaps.size(), 1U);
  const Gap& gap = opened.gaps[0];
  EXPECT_EQ(gap.first_sequence, first);
  EXPECT_EQ(gap.next_sequence, last + 1);
  EXPECT_EQ(gap.offset, offset_of(first));
  EXPECT_EQ(gap.next_offset, offset_of(last + 1));
  EXPECT_EQ(gap.bound.promised, Ballot(last, ReplicaId(1))) << "what the block behind it says";
  EXPECT_EQ(gap.bound.highest, Slot(last));
  EXPECT_FALSE(gap.is_unbounded);
  EXPECT_EQ(slots_of(opened), slots_but(votes, first - 1, last - 1));
  EXPECT_EQ(opened.gap_places[0], first - 2) << "records and gaps come in the order of the chain";
  const Recovered& recovered = opened.journal->recovered();
  EXPECT_FALSE(recovered.tail_is_lost);
  EXPECT_EQ(recovered.gaps.size(), 1U);
  EXPECT_EQ(recovered.watermarks.promised, Ballot(votes, ReplicaId(1)));
}

// The tail is lost: the new open says so before anything else, and the next one sees it.
void expect_lost_tail(MemoryDevice& memory, std::uint64_t slots, std::uint64_t sequence_min) {
  {
    const auto opened = open(DeviceRef(memory));
    ASSERT_TRUE(opened.journal) << opened.error;
    EXPECT_TRUE(opened.journal->recovered().tail_is_lost);
    EXPECT_EQ(slots_of(opened), slots_but(slots, 0, 0));
  }
  const auto again = open(DeviceRef(memory));
  ASSERT_TRUE(again.journal) << again.error;
  EXPECT_FALSE(again.journal->recovered().tail_is_lost) << "that was said in the journal";
  EXPECT_TRUE(again.gaps.empty());
  ASSERT_FALSE(again.records.empty());
  EXPECT_EQ(again.records.back().header.kind, wire::RecordKind::repair);
  EXPECT_TRUE(again.records.back().header.ballot.is_none()) << "unbounded";
  EXPECT_EQ(slots_of(again), slots_but(slots, 0, 0));
  EXPECT_GE(again.journal->recovered().sequence, sequence_min) << "a number that was durable is never given again";
  const std::uint64_t at = again.locations.back().offset / page * page;
  EXPECT_EQ(load<BlockHeader>(memory.contents().subspan(at)).kind, BlockKind::leap);
}

// ---- the table of verdicts, row by row ----

enum class Spoil : std::uint8_t { erase, flip, misdirect };

void spoil(MemoryDevice& memory, std::uint64_t sequence, Spoil how) {
  switch (how) {
    case Spoil::erase: erase(block_at(memory, sequence)); return;
    case Spoil::flip: flip(memory, sequence); return;
    case Spoil::misdirect: copy(block_at(memory, sequence), block_at(memory, 2)); return;
  }
}

constexpr std::array spoils = {Spoil::erase, Spoil::flip, Spoil::misdirect};

TEST(Verdict, intact) {
  const auto memory = make_chain(8);
  const auto opened = open(DeviceRef(*memory));
  ASSERT_TRUE(opened.journal) << opened.error;
  EXPECT_EQ(slots_of(opened), slots_but(8, 0, 0));
  EXPECT_TRUE(opened.gaps.empty());
}

TEST(Verdict, end_of_the_log) {
  const auto memory = make_chain(8);
  spoil(*memory, 9, Spoil::erase);
  const auto opened = open(DeviceRef(*memory));
  ASSERT_TRUE(opened.journal) << opened.error;
  EXPECT_EQ(slots_of(opened), slots_but(7, 0, 0));
  EXPECT_FALSE(opened.journal->recovered().tail_is_lost);
  EXPECT_EQ(opened.journal->recovered().discarded_bytes, 0U);
}

TEST(Verdict, torn_tail_and_misdirected_tail) {
  for (const Spoil how : {Spoil::flip, Spoil::misdirect}) {
    const auto memory = make_chain(8);
    spoil(*memory, 9, how);
    const auto opened = open(DeviceRef(*memory));
    ASSERT_TRUE(opened.journal) << opened.error;
    EXPECT_EQ(slots_of(opened), slots_but(7, 0, 0));
    EXPECT_TRUE(opened.gaps.empty());
    EXPECT_FALSE(opened.journal->recovered().tail_is_lost);
    EXPECT_EQ(opened.journal->recovered().discarded_bytes, page);
  }
}

TEST(Verdict, corrupt) {
  for (const std::size_t at : {0U, 40U, 280U, 288U, 600U, 1300U}) {
    const auto memory = make_chain(8);
    flip(*memory, 4, at);
    expect_gap(open(DeviceRef(*memory)), 8, 4, 4);
  }
}

TEST(Verdict, misdirected) {
  const auto memory = make_chain(8);
  spoil(*memory, 3, Spoil::misdirect);
  expect_gap(open(DeviceRef(*memory)), 8, 3, 3);
}

TEST(Verdict, wiped) {
  const auto memory = make_chain(8);
  spoil(*memory, 3, Spoil::erase);
  expect_gap(open(DeviceRef(*memory)), 8, 3, 3);
}

TEST(Verdict, lost_tail_by_the_word_of_the_superblock) {
  for (const Spoil how : spoils) {
    const auto memory = make_chain(3);
    {
      const auto opened = open(DeviceRef(*memory));
    }
    // Block 5 is the second open's own; without it nothing but the superblock knows that block 4 was found.
    spoil(*memory, 4, how);
    erase(block_at(*memory, 5));
    expect_lost_tail(*memory, 2, 5);
  }
}

TEST(Verdict, lost_tail_by_the_word_of_a_block_that_is_damaged_too) {
  for (const Spoil how : spoils) {
    const auto memory = make_chain(4);
    spoil(*memory, 4, how);
    flip(*memory, 5, 1000);  // its header is whole and says that block 4 was durable; its records are not
    expect_lost_tail(*memory, 2, 6);
  }
}

// A copy of the disk knows nothing of what was written since. The peers do: what this disk told of itself is above its own word.
TEST(Verdict, stale_image) {
  const auto memory = make_chain(3);
  {
    const auto opened = open(DeviceRef(*memory));
    Watermarks watermarks = told(4);
    watermarks.own_place = 1;
    stage(*opened.journal, vote(4, 1, 1000));
    drain(*opened.journal, watermarks);
  }
  MemoryDevice image{Bytes(memory->contents())};
  Position heard_by_a_peer;
  {
    const auto opened = open(DeviceRef(*memory));
    Watermarks watermarks = told(5);
    watermarks.own_place = 1;
    stage(*opened.journal, vote(5, 1, 1000));
    drain(*opened.journal, watermarks);
    heard_by_a_peer = {opened.journal->recovered().identity.open_count, opened.journal->told_sequence()};
  }
  const auto opened = open(DeviceRef(image));
  ASSERT_TRUE(opened.journal) << opened.error;
  EXPECT_FALSE(opened.journal->recovered().tail_is_lost) << "the disk alone cannot know";
  const Position claim = opened.journal->recovered().watermarks.heard[1];
  EXPECT_EQ(claim, (Position{2, 6}));
  EXPECT_LT(claim, heard_by_a_peer);
  EXPECT_EQ(judge(DiskEvidence::ours, BlockEvidence::nothing, Witness::peer), Verdict::unbounded);
}

TEST(Verdict, foreign_disk) {
  const auto memory = make_chain(2);
  const auto journal = Journal::open(DeviceRef(*memory), wire::cluster_id("other"), replica, small_limits, {});
  ASSERT_FALSE(journal);
  EXPECT_NE(journal.error().text.find("belongs to another cluster"), std::string::npos) << journal.error().text;
}

TEST(Verdict, blank_disk) {
  MemoryDevice memory(1U << 20);
  expect_refused(memory, "the journal is blank");
}

TEST(Verdict, the_table_is_what_judge_gives_and_what_is_not_in_it_is_refused) {
  // Every name has a test above.
  const std::set<std::string> tested = {"intact", "end of the log", "torn tail",   "misdirected tail", "corrupt",   "misdirected",
                                        "wiped",  "lost tail",      "stale image", "foreign disk",     "blank disk"};
  std::set<std::string> names;
  for (const VerdictRow& row : verdicts) {
    names.insert(row.name);
    EXPECT_EQ(judge(row.disk, row.block, row.witness), row.verdict) << row.name;
  }
  EXPECT_EQ(names, tested);
  for (const auto block : {BlockEvidence::follows, BlockEvidence::nothing, BlockEvidence::unreadable, BlockEvidence::elsewhere}) {
    for (const auto witness :
         {Witness::nobody, Witness::later_block, Witness::damaged_block, Witness::superblock, Witness::peer}) {
      EXPECT_EQ(judge(DiskEvidence::foreign, block, witness), Verdict::refuse);
      EXPECT_EQ(judge(DiskEvidence::blank, block, witness), Verdict::refuse);
      const auto is_it = [&](const VerdictRow& row) {
        return row.disk == DiskEvidence::ours && row.block == block && row.witness == witness;
      };
      const auto rows = std::ranges::count_if(verdicts, is_it);
      EXPECT_LE(rows, 1);
      if (rows == 0) {
        EXPECT_EQ(judge(DiskEvidence::ours, block, witness), Verdict::refuse);
      }
    }
  }
  EXPECT_EQ(judge(DiskEvidence::ours, BlockEvidence::follows, Witness::superblock), Verdict::refuse) << "not in the table";
}

// ---- gaps ----

TEST(Gap, a_read_error_is_like_damage) {
  const auto memory = make_chain(8);
  BadSectors device(*memory);
  device.offsets = {offset_of(5)};
  expect_gap(open(DeviceRef(device)), 8, 5, 5);
}

TEST(Gap, many_blocks_are_one_gap) {
  const auto memory = make_chain(40);
  for (std::uint64_t sequence = 5; sequence <= 30; ++sequence) flip(*memory, sequence, sequence * 37 % 1200);
  expect_gap(open(DeviceRef(*memory)), 40, 5, 30);
}

TEST(Gap, several_gaps_are_told_in_the_order_of_the_chain) {
  const auto memory = make_chain(30);
  for (const std::uint64_t sequence : {4U, 11U, 12U, 25U}) flip(*memory, sequence);
  const auto opened = open(DeviceRef(*memory));
  ASSERT_TRUE(opened.journal) << opened.error;
  ASSERT_EQ(opened.gaps.size(), 3U);
  EXPECT_EQ(opened.gaps[0].first_sequence, 4U);
  EXPECT_EQ(opened.gaps[1].first_sequence, 11U);
  EXPECT_EQ(opened.gaps[1].next_sequence, 13U);
  EXPECT_EQ(opened.gaps[2].next_sequence, 26U);
  EXPECT_EQ(opened.records.size(), 26U);
}

// Blocks 4 to 6 were in flight together: none of them says that the others are durable, and block 8 links them.
TEST(Gap, blocks_behind_the_lost_one_that_know_nothing_of_it_are_kept_by_their_chain_values) {
  const auto memory = make_chain(8);
  for (std::uint64_t sequence = 4; sequence <= 9; ++sequence) {
    const std::uint64_t before = chain_value(header_at(*memory, sequence - 1));
    change_header(*memory, sequence, [&](BlockHeader& header) {
      header.previous = before;
      if (sequence <= 7) header.durable_sequence = 3;
    });
  }
  flip(*memory, 4);
  expect_gap(open(DeviceRef(*memory)), 8, 4, 4);
}

TEST(Gap, a_second_damaged_block_behind_the_first_is_not_taken_for_a_good_one) {
  const auto memory = make_chain(8);
  flip(*memory, 4);
  flip(*memory, 5, 900);
  expect_gap(open(DeviceRef(*memory)), 8, 4, 5);
}

TEST(Gap, across_the_end_of_a_segment) {
  const auto memory = make_chain(40, 4, 64U << 10);
  for (std::uint64_t sequence = 15; sequence <= 18; ++sequence) flip(*memory, sequence);
  expect_gap(open(DeviceRef(*memory)), 40, 15, 18);
}

TEST(Gap, the_damaged_head_of_a_segment) {
  const auto memory = make_chain(40, 4, 64U << 10);
  flip(*memory, 17);
  expect_gap(open(DeviceRef(*memory)), 40, 17, 17);
}

TEST(Gap, a_whole_segment) {
  const auto memory = make_chain(40, 4, 64U << 10);
  for (std::uint64_t sequence = 17; sequence <= 32; ++sequence) erase(block_at(*memory, sequence));
  expect_gap(open(DeviceRef(*memory)), 40, 17, 32);
}

TEST(Gap, the_first_block_of_the_disk) {
  const auto memory = make_chain(8);
  flip(*memory, 1, 40);
  const auto opened = open(DeviceRef(*memory));
  ASSERT_TRUE(opened.journal) << opened.error;
  ASSERT_EQ(opened.gaps.size(), 1U);
  EXPECT_EQ(opened.gaps[0].first_sequence, 1U);
  EXPECT_EQ(slots_of(opened), slots_but(8, 0, 0));
}

constexpr std::uint64_t large_segment = 16U << 20;

JournalLimits large_limits() {
  JournalLimits limits = small_limits;
  limits.block_bytes_max = 1U << 20;
  limits.block_bytes_target = 1U << 20;
  return limits;
}

// 95 blocks of a mebibyte, over seven of eight segments.
std::unique_ptr<MemoryDevice> make_large_chain() {
  auto memory = make_memory(8, large_segment);
  const auto opened = open(DeviceRef(*memory), large_limits());
  for (std::uint64_t slot = 1; slot <= 95; ++slot) {
    stage(*opened.journal, vote(slot, 1, 1'000'000));
    drain(*opened.journal, told(slot));
  }
  return memory;
}

TEST(Gap, farther_than_evidence_is_searched_for_it_is_found_by_a_segments_head) {
  const auto memory = make_large_chain();
  erase(memory->contents().subspan(segments_offset + (2U << 20), evidence_bytes + (2U << 20)));
  const auto opened = open(DeviceRef(*memory), large_limits());
  ASSERT_TRUE(opened.journal) << opened.error;
  ASSERT_EQ(opened.gaps.size(), 1U);
  EXPECT_GT(opened.gaps[0].next_offset, opened.gaps[0].offset + evidence_bytes);
  EXPECT_EQ((opened.gaps[0].next_offset - segments_offset) % large_segment, 0U);
  EXPECT_EQ(slots_of(opened).back(), 95U);
}

TEST(Gap, a_damaged_head_is_passed_over_for_the_next_one) {
  const auto memory = make_large_chain();
  // All is gone up to the fifth segment, whose head has a good header and damaged records; the sixth is whole.
  erase(memory->contents().subspan(segments_offset + (2U << 20), 4 * large_segment - (2U << 20)));
  erase(memory->contents().subspan(segments_offset + 4 * large_segment + 4096, large_segment - 4096));
  const auto opened = open(DeviceRef(*memory), large_limits());
  ASSERT_TRUE(opened.journal) << opened.error;
  ASSERT_EQ(opened.gaps.size(), 1U);
  EXPECT_EQ(opened.gaps[0].next_offset, segments_offset + 5 * large_segment);
  EXPECT_EQ(slots_of(opened).back(), 95U);
}

TEST(Gap, too_many_are_refused) {
  const auto memory = make_chain(2 * gaps_max + 10, 4, 1U << 20);
  for (std::uint64_t i = 0; i <= gaps_max; ++i) flip(*memory, 3 + 2 * i);
  expect_refused(*memory, "places of the journal are damaged");
}

// Found by thinking: an open discards a tail and writes few blocks; those are lost with the ones before them, and a block of the
// discarded tail is all that is left. What it says of promises is older than what the later open promised.
TEST(Gap, a_discarded_block_is_no_evidence) {
  const auto memory = make_chain(6);
  const std::vector<std::byte> dead(block_at(*memory, 7).begin(), block_at(*memory, 7).end());
  for (std::uint64_t sequence = 5; sequence <= 7; ++sequence) erase(block_at(*memory, sequence));
  {
    const auto opened = open(DeviceRef(*memory));  // its own block takes the place of block 5
    EXPECT_EQ(slots_of(opened), slots_but(3, 0, 0));
  }
  copy(block_at(*memory, 7), dead);  // it lay there all the time, torn off from its predecessors
  change_header(*memory, 7, [](BlockHeader& header) { header.durable_sequence = 4; });
  flip(*memory, 4);
  flip(*memory, 5, 40);
  const auto opened = open(DeviceRef(*memory));
  ASSERT_TRUE(opened.journal) << opened.error;
  EXPECT_EQ(slots_of(opened), slots_but(2, 0, 0));
  EXPECT_TRUE(opened.journal->recovered().tail_is_lost)
      << "the superblock knows of block 4, and nobody alive says what came behind";
}

// Found by the fuzzer: the first block of an open was lost by the disk, and the discarded block that it should have replaced is
// still there. It follows its predecessor in everything, but the block behind it was written behind another one by a later open.
TEST(Gap, a_discarded_block_at_the_place_of_a_lost_one_is_not_taken_for_it) {
  const auto memory = make_chain(4);
  const std::vector<std::byte> dead(block_at(*memory, 5).begin(), block_at(*memory, 5).end());
  erase(block_at(*memory, 5));
  for (std::uint64_t slot = 5; slot <= 6; ++slot) {
    const auto opened = open(DeviceRef(*memory));
    append_votes(*opened.journal, slot, slot);
  }
  copy(block_at(*memory, 5), dead);
  for (int i = 0; i < 2; ++i) {
    const auto opened = open(DeviceRef(*memory));
    ASSERT_EQ(opened.gaps.size(), 1U) << opened.error;
    EXPECT_EQ(opened.gaps[0].first_sequence, 5U);
    EXPECT_EQ(opened.gaps[0].next_sequence, 6U);
    EXPECT_EQ(slots_of(opened), (std::vector<std::uint64_t>{1, 2, 3, 5, 6})) << "slot 4 was discarded";
  }
}

TEST(Gap, a_superblock_older_than_the_journal_is_an_old_copy) {
  const auto memory = make_memory();
  std::vector<std::byte> old;
  for (int i = 0; i < 3; ++i) {
    if (i == 1) old.assign(memory->contents().begin(), memory->contents().begin() + probe_offset);
    const auto opened = open(DeviceRef(*memory));
  }
  copy(memory->contents(), old);
  const auto opened = open(DeviceRef(*memory));
  ASSERT_TRUE(opened.journal) << opened.error;
  EXPECT_TRUE(opened.journal->recovered().tail_is_lost);
  EXPECT_EQ(opened.journal->recovered().identity.open_count, 4U) << "above all that the journal knows";
}

TEST(Gap, segments_put_back_from_an_old_copy_are_a_lost_tail) {
  const auto memory = make_chain(4);
  const std::vector<std::byte> old(memory->contents().begin() + segments_offset, memory->contents().end());
  {
    const auto opened = open(DeviceRef(*memory));
    append_votes(*opened.journal, 9, 9);
  }
  {
    const auto opened = open(DeviceRef(*memory));
  }
  copy(memory->contents().subspan(segments_offset), old);
  expect_lost_tail(*memory, 4, 8);
}

TEST(Gap, a_journal_without_any_block_is_refused_when_the_superblock_knows_of_some) {
  const auto memory = make_chain(4);
  {
    const auto opened = open(DeviceRef(*memory));
  }
  erase(memory->contents().subspan(segments_offset));
  expect_refused(*memory, "neither the beginning of the journal nor any checkpoint of it can be read");
}

// The first block behind a lost tail holds the word of it. If that is lost in its turn, the block behind it must still say so.
TEST(Gap, an_unbounded_doubt_survives_the_loss_of_its_record) {
  const auto memory = make_chain(3);
  {
    const auto opened = open(DeviceRef(*memory));
  }
  erase(block_at(*memory, 4));
  erase(block_at(*memory, 5));
  {
    const auto opened = open(DeviceRef(*memory));
    ASSERT_TRUE(opened.journal->recovered().tail_is_lost);
    append_votes(*opened.journal, 3, 3);
    append_votes(*opened.journal, 4, 4);
  }
  flip(*memory, 4, 300);  // the block with the record lies where block 4 was
  {
    const auto opened = open(DeviceRef(*memory));
    ASSERT_EQ(opened.gaps.size(), 1U) << opened.error;
    EXPECT_TRUE(opened.gaps[0].is_unbounded);
    // Once the peers have bounded it, a record says so, and what is lost before that is bounded by it.
    stage(*opened.journal, repair(77, Ballot(9, ReplicaId(3))));
    drain(*opened.journal);
    stage(*opened.journal, vote(5, 1, 100));
    drain(*opened.journal);
  }
  // Blocks now: 1 2 3 | leap (lost) | 3 | 4 | open | repair | vote.
  for (std::uint64_t sequence = 5; sequence <= 8; ++sequence) flip(*memory, sequence, 40);
  const auto opened = open(DeviceRef(*memory));
  ASSERT_EQ(opened.gaps.size(), 1U) << opened.error;
  EXPECT_FALSE(opened.gaps[0].is_unbounded);
  EXPECT_GE(opened.gaps[0].bound.promised, Ballot(9, ReplicaId(3)));
  EXPECT_GE(opened.gaps[0].bound.highest, Slot(77));
}

}  // namespace
}  // namespace synod::storage::test
