// Blocks that were durable and cannot be read: the chain goes on behind them and says so, or ends in doubt. And how they are
// healed.
#include <gtest/gtest.h>

#include <optional>
#include <set>

#include "storage/scrub.h"
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

void expect_same_records(const Opened& a, const Opened& b) {
  EXPECT_EQ(a.records, b.records);
  EXPECT_EQ(a.locations, b.locations);
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

// ---- healing ----

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
