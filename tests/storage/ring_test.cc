// The ring of segments: released, used again, generation after generation; and the checkpoints that starts begin from.
#include <gtest/gtest.h>

#include "tests/seed.h"
#include "tests/storage/chain.h"
#include "tests/storage/recording_device.h"
#include "tests/storage/ring_user.h"

namespace synod::storage::test {
namespace {

constexpr std::uint64_t segment_bytes = 64U << 10;

// Runs until `generation` of segment 0 is being written. What it kept is readable all the time.
void run_to_generation(Journal& journal, RingUser& user, Prng& prng, std::uint32_t generation) {
  for (std::uint64_t steps = 0; journal.segments()[0].generation < generation; ++steps) {
    ASSERT_LT(steps, 1'000'000U) << "the ring does not go on: " << journal.bytes_used() << " bytes used";
    user.step(journal, prng, 20000);
    user.poll(journal);
    ASSERT_LE(journal.bytes_used(), journal.bytes_capacity());
  }
}

void settle(Journal& journal, RingUser& user) {
  while (!journal.idle()) {
    user.flush(journal);
    user.poll(journal);
  }
}

void go_round(std::uint32_t unit_bytes) {
  const std::uint64_t seed = first_seed();
  for (const std::uint64_t segments : {2U, 3U, 8U}) {
    Prng prng(seed + segments);
    const std::uint64_t bytes = 4 * segment_bytes;
    const auto memory = make_memory(segments, bytes, unit_bytes);
    RingUser user;
    const std::string where = std::to_string(segments) + " segments, seed " + std::to_string(seed);
    for (std::uint32_t generation = 2; generation <= 6; ++generation) {
      const auto opened = open(DeviceRef(*memory));
      user.recover(opened, where);
      if (::testing::Test::HasFatalFailure()) return;
      run_to_generation(*opened.journal, user, prng, generation);
      if (::testing::Test::HasFatalFailure()) return;
      settle(*opened.journal, user);
      user.expect_readable(*opened.journal, where);
      if (::testing::Test::HasFatalFailure()) return;
    }
    const auto opened = open(DeviceRef(*memory));
    const std::uint64_t next_slot = user.next_slot;
    const std::uint64_t trim_before = user.trim;
    user.recover(opened, where);
    EXPECT_EQ(user.next_slot, next_slot);
    EXPECT_EQ(user.trim, trim_before);
    user.expect_readable(*opened.journal, where);
    EXPECT_TRUE(opened.journal->recovered().has_checkpoint);
  }
}

TEST(Ring, goes_round_for_several_generations_and_keeps_what_is_not_trimmed) {
  go_round(device_block_bytes);
}

// As the memory of a diskless replica has them.
TEST(Ring, goes_round_with_small_blocks) {
  go_round(memory_unit_bytes);
}

TEST(Ring, space_that_is_full_comes_back_by_a_trim) {
  const auto memory = make_memory(4, segment_bytes);
  const auto opened = open(DeviceRef(*memory));
  Journal& journal = *opened.journal;
  std::uint64_t slot = 0;
  while (journal.can_stage(wire::RecordKind::accepted, 3000)) {
    stage(journal, vote(++slot, 1, 3000));
    drain(journal, told(slot + 1));
    if (!journal.wants_checkpoint()) continue;
    for (const auto& part : checkpoint_parts(Slot(slot), random_bytes(100, slot), 1000, slot)) stage(journal, part);
    drain(journal, told(slot + 1));
  }
  EXPECT_FALSE(journal.has_space());
  EXPECT_TRUE(journal.can_stage(wire::RecordKind::trim, 0)) << "control records have a reserve";
  EXPECT_FALSE(journal.can_stage(wire::RecordKind::checkpoint, 100)) << "which is not for large ones";
  const std::uint64_t full = journal.bytes_used();
  EXPECT_GT(full, 3 * segment_bytes);
  const auto witness = stage(journal, trim(slot)).number;
  journal.release(Slot(slot), witness);
  EXPECT_EQ(journal.first_segment(), 0U) << "not before it is durable";
  drain(journal, told(slot + 1));
  EXPECT_EQ(journal.first_segment(), 3U) << "up to the newest checkpoint, which lies in the last segment";
  EXPECT_EQ(journal.bytes_used(), full - 3 * segment_bytes + page);
  EXPECT_TRUE(journal.has_space());
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(journal.can_stage(wire::RecordKind::accepted, 3000));
    stage(journal, vote(++slot, 1, 3000));
    drain(journal, told(slot));
  }
  EXPECT_LT(journal.current_segment(), 3U);
  EXPECT_EQ(journal.segments()[0].generation, 2U);
}

// While nobody leads, promises come without end; and the trim that would bring space back waits for a checkpoint.
TEST(Ring, promises_without_end_leave_room_for_the_checkpoint_and_the_trim_that_bring_space_back) {
  const auto memory = make_memory(4, 4 * segment_bytes);
  const auto opened = open(DeviceRef(*memory));
  Journal& journal = *opened.journal;
  std::uint64_t slot = 0;
  while (journal.can_stage(wire::RecordKind::accepted, 3000)) {
    stage(journal, vote(++slot, 1, 3000));
    drain(journal, told(slot + 1));
  }
  std::uint64_t promises = 0;
  for (; journal.can_stage(wire::RecordKind::promise, 0); ++promises) {
    stage(journal, promise(promises + 2));
    drain(journal, told(slot + 1));
  }
  EXPECT_GT(promises, 0U);
  EXPECT_FALSE(journal.can_release(Slot(slot + 1))) << "there is no checkpoint to start from";
  EXPECT_TRUE(journal.release_lacks_checkpoint(Slot(slot + 1)));
  EXPECT_FALSE(journal.can_stage(wire::RecordKind::checkpoint, 20'000)) << "none but one that brings space back";
  journal.want_checkpoint();
  EXPECT_TRUE(journal.wants_checkpoint());
  EXPECT_FALSE(journal.can_stage(wire::RecordKind::index, 20'000)) << "nor for one that is only wanted";
  journal.need_checkpoint();
  EXPECT_TRUE(journal.can_stage(wire::RecordKind::index, 20'000));
  ASSERT_TRUE(journal.can_stage(wire::RecordKind::checkpoint, 20'000));
  stage(journal, checkpoint_parts(Slot(slot), random_bytes(20'000, 1), 20'000, 1).front());
  drain(journal, told(slot + 1));
  EXPECT_FALSE(journal.can_stage(wire::RecordKind::checkpoint, 0)) << "one is enough";
  EXPECT_TRUE(journal.can_release(Slot(slot + 1)));
  ASSERT_TRUE(journal.can_stage(wire::RecordKind::trim, 0));
  journal.release(Slot(slot + 1), stage(journal, trim(slot + 1)).number);
  drain(journal, told(slot + 1));
  EXPECT_EQ(journal.first_segment(), 3U);
  EXPECT_TRUE(journal.has_space());
  EXPECT_TRUE(journal.can_stage(wire::RecordKind::promise, 0));
}

TEST(Ring, a_release_waits_for_the_trims_record_and_for_a_commit_watermark_that_covers_it) {
  const auto memory = make_memory(4, segment_bytes);
  const auto opened = open(DeviceRef(*memory));
  Journal& journal = *opened.journal;
  append_votes(journal, 1, 30);
  for (const auto& part : checkpoint_parts(Slot(30), random_bytes(100, 1), 1000, 1)) stage(journal, part);
  drain(journal, told(30));
  append_votes(journal, 31, 32);
  ASSERT_EQ(journal.current_segment(), 2U);
  const auto witness = stage(journal, trim(31)).number;
  journal.release(Slot(31), witness + 1);  // a record that is not staged yet
  drain(journal, told(32));
  EXPECT_EQ(journal.first_segment(), 0U);
  journal.release(Slot(40), witness);  // above the commit watermark
  stage(journal, vote(33, 1, 100));
  drain(journal, told(33));
  EXPECT_EQ(journal.first_segment(), 0U);
  journal.release(Slot(10), witness);  // the first segment holds slots above it
  stage(journal, vote(34, 1, 100));
  drain(journal, told(34));
  EXPECT_EQ(journal.first_segment(), 0U);
  journal.release(Slot(31), witness);
  stage(journal, vote(35, 1, 100));
  drain(journal, told(35));
  EXPECT_EQ(journal.first_segment(), 1U);
}

TEST(Ring, a_trim_lets_go_up_to_the_newest_checkpoint_below_it) {
  const auto memory = make_memory(6, segment_bytes);
  {
    const auto opened = open(DeviceRef(*memory));
    Journal& journal = *opened.journal;
    EXPECT_FALSE(journal.newest_checkpoint_below(Slot(1000)));
    std::uint64_t slot = 0;
    for (const std::uint64_t applied : {20U, 40U, 60U}) {
      while (slot < applied) append_votes(journal, slot + 1, slot + 1), ++slot;
      for (const auto& part : checkpoint_parts(Slot(applied), random_bytes(100, 1), 1000, 1)) stage(journal, part);
      drain(journal, told(slot));
    }
    append_votes(journal, 61, 75);
  }
  // A start knows those that the heads of segments name.
  const auto opened = open(DeviceRef(*memory));
  Journal& journal = *opened.journal;
  ASSERT_GE(journal.current_segment(), 4U);
  EXPECT_FALSE(journal.newest_checkpoint_below(Slot(20)));
  ASSERT_TRUE(journal.newest_checkpoint_below(Slot(21)));
  EXPECT_EQ(journal.newest_checkpoint_below(Slot(21))->applied, Slot(20));
  EXPECT_EQ(journal.newest_checkpoint_below(Slot(60))->applied, Slot(40));
  EXPECT_EQ(journal.newest_checkpoint_below(Slot(1000))->applied, Slot(60));
  EXPECT_FALSE(journal.can_release(Slot(20)));
  journal.release(Slot(41), stage(journal, trim(41)).number);
  drain(journal, told(75));
  const std::uint64_t base = journal.newest_checkpoint_below(Slot(41))->offset;
  EXPECT_EQ(journal.first_segment(), (base - segments_offset) / segment_bytes) << "the checkpoint itself is kept";
  EXPECT_FALSE(journal.newest_checkpoint_below(Slot(40))) << "released";
}

TEST(Ring, nothing_is_released_without_a_checkpoint_behind_it) {
  const auto memory = make_memory(4, segment_bytes);
  const auto opened = open(DeviceRef(*memory));
  append_votes(*opened.journal, 1, 40);
  const auto witness = stage(*opened.journal, trim(39)).number;
  opened.journal->release(Slot(39), witness);
  drain(*opened.journal, told(41));
  EXPECT_EQ(opened.journal->first_segment(), 0U);
}

// A ring of two segments: segment 1 holds the second checkpoint, which no head names yet, when segment 0, where the first one
// lies, is used again and the power fails over its head.
TEST(Ring, a_torn_head_over_the_checkpoint_that_the_heads_name_leaves_the_newer_one_to_start_from) {
  const auto memory = make_memory(2, segment_bytes);
  std::uint64_t slot = 0;
  {
    const auto opened = open(DeviceRef(*memory));
    Journal& journal = *opened.journal;
    append_votes(journal, 1, slot = 5);
    for (const std::uint64_t checkpoint : {1U, 2U}) {
      for (const auto& part : checkpoint_parts(Slot(slot), random_bytes(100, checkpoint), 1000, checkpoint)) stage(journal, part);
      drain(journal, told(slot));
      while (journal.current_segment() == 0) append_votes(journal, slot + 1, slot + 1), ++slot;
      append_votes(journal, slot + 1, slot + 1), ++slot;
    }
    ASSERT_EQ(journal.current_segment(), 1U);
    const auto witness = stage(journal, trim(slot)).number;
    journal.release(Slot(slot), witness);
    drain(journal, told(slot + 1));
    ASSERT_EQ(journal.first_segment(), 1U);
  }
  std::ranges::fill(memory->contents().subspan(segments_offset, 8 * page), std::byte{0xA5});
  const auto opened = open(DeviceRef(*memory));
  ASSERT_TRUE(opened.journal) << opened.error;
  EXPECT_EQ(opened.checkpoint, random_bytes(100, 2));
  EXPECT_TRUE(opened.gaps.empty());
}

TEST(Ring, blocks_of_an_old_generation_are_never_followed) {
  const auto memory = make_memory(3, 4 * segment_bytes);
  Prng prng(7);
  RingUser user;
  {
    const auto opened = open(DeviceRef(*memory));
    run_to_generation(*opened.journal, user, prng, 3);
    settle(*opened.journal, user);
  }
  const std::uint64_t next_slot = user.next_slot;
  const auto opened = open(DeviceRef(*memory));
  user.recover(opened, "behind the chain lie blocks of the lap before");
  EXPECT_EQ(user.next_slot, next_slot);
  EXPECT_EQ(opened.journal->recovered().discarded_bytes, 0U);
}

// The record of the promise lay in a segment that was used again: only the watermark still says it.
TEST(Ring, a_promise_outlives_the_segment_that_its_record_lay_in) {
  const auto memory = make_memory(3, 4 * segment_bytes);
  Prng prng(8);
  RingUser user;
  {
    const auto opened = open(DeviceRef(*memory));
    stage(*opened.journal, promise(1000));
    drain(*opened.journal, {.promised = Ballot(1000, ReplicaId(3))});
    run_to_generation(*opened.journal, user, prng, 3);
    settle(*opened.journal, user);
  }
  const auto opened = open(DeviceRef(*memory));
  EXPECT_TRUE(opened.journal->recovered().has_checkpoint);
  EXPECT_GE(opened.journal->recovered().watermarks.promised, Ballot(1000, ReplicaId(3)));
}

// Cuts the power at random points of a run, most of them close to where a segment was released or entered.
void crash_ring(std::uint64_t seed, std::uint64_t segments, std::uint64_t bytes) {
  Prng prng(seed);
  auto disk = make_memory(segments, bytes);
  RingUser user;
  std::uint64_t acknowledged = 0;
  std::uint64_t promised = 0;
  std::uint64_t trim_max = 1;
  for (int cycle = 0; cycle < 6; ++cycle) {
    const std::string where = "seed " + std::to_string(seed) + ", cycle " + std::to_string(cycle);
    struct Claim {
      std::size_t event = 0;
      std::uint64_t slot = 0;
      std::uint64_t round = 0;
      std::uint64_t trim = 0;  // that was staged by then
    };
    std::vector<Claim> claims;
    std::vector<std::size_t> moments;
    RecordingDevice device(DeviceRef(*disk), prng.next());
    {
      const auto opened = open(DeviceRef(device));
      user.recover(opened, where);
      if (testing::Test::HasFatalFailure()) return;
      ASSERT_GE(user.durable_slot, acknowledged) << where;
      ASSERT_GE(user.round, promised) << where;
      ASSERT_LE(user.trim, trim_max) << where;
      user.expect_readable(*opened.journal, where);
      if (testing::Test::HasFatalFailure()) return;
      Journal& journal = *opened.journal;
      std::uint32_t first = journal.first_segment();
      std::uint32_t current = journal.current_segment();
      for (std::uint64_t steps = prng.between(50, 900); steps > 0; --steps) {
        user.step(journal, prng, bytes / 4);
        if (prng.chance(1, 2)) user.poll(journal);
        claims.push_back({device.trace_length(), user.durable_slot, user.durable_round, user.trim});
        if (journal.first_segment() != first || journal.current_segment() != current) moments.push_back(device.trace_length());
        first = journal.first_segment();
        current = journal.current_segment();
      }
    }
    std::size_t cut = prng.below(device.trace_length() + 1);
    if (!moments.empty() && prng.chance(3, 4)) cut = moments[prng.below(moments.size())] + prng.below(8);
    cut = std::min(cut, device.trace_length());
    for (const Claim& claim : claims) {
      if (claim.event > cut) continue;
      acknowledged = std::max(acknowledged, claim.slot);
      promised = std::max(promised, claim.round);
    }
    trim_max = claims.empty() ? trim_max : std::max(trim_max, claims.back().trim);
    disk = std::make_unique<MemoryDevice>(device.crash_image(cut, prng));
  }
}

TEST(Ring, power_cuts_at_releases_and_in_recycled_segments_lose_nothing_that_was_acknowledged) {
  const std::uint64_t seed = first_seed();
  for (std::uint64_t round = 0; round < 60; ++round) {
    crash_ring(seed * 100000 + round, 2 + round % 4, 4 * segment_bytes);
    if (HasFatalFailure()) return;
  }
}

// ---- checkpoints ----

TEST(Checkpoint, a_start_reads_from_the_newest_one_on) {
  const auto memory = make_memory(8, segment_bytes);
  const auto bytes = random_bytes(5000, 1);
  {
    const auto opened = open(DeviceRef(*memory));
    Journal& journal = *opened.journal;
    append_votes(journal, 1, 30);
    EXPECT_TRUE(journal.wants_checkpoint()) << "the second segment has begun";
    stage(journal, vote(31, 1, 100));
    std::uint64_t slot = 31;
    for (const auto& part : checkpoint_parts(Slot(31), bytes, 1800, 77)) {
      stage(journal, part);
      drain(journal, told(slot));
      append_votes(journal, slot + 1, slot + 1);  // others' records lie between the parts
      ++slot;
    }
    EXPECT_FALSE(journal.wants_checkpoint());
    append_votes(journal, slot + 1, slot + 30);
  }
  const auto opened = open(DeviceRef(*memory));
  ASSERT_TRUE(opened.journal) << opened.error;
  EXPECT_EQ(opened.checkpoint, bytes);
  EXPECT_TRUE(opened.journal->recovered().has_checkpoint);
  EXPECT_EQ(slots_of(opened).front(), 32U) << "what was staged before the checkpoint is part of it, also in the same block";
  EXPECT_EQ(slots_of(opened).size(), 33U);
  EXPECT_EQ(opened.journal->recovered().blocks, 3U + 3 + 30);
  EXPECT_EQ(opened.journal->recovered().sequence, 1U + 30 + 36);
  EXPECT_TRUE(opened.journal->wants_checkpoint()) << "that one is segments behind";
}

TEST(Checkpoint, an_unfinished_one_is_ignored) {
  const auto memory = make_memory(8, segment_bytes);
  const auto bytes = random_bytes(500, 1);
  {
    const auto opened = open(DeviceRef(*memory));
    Journal& journal = *opened.journal;
    append_votes(journal, 1, 20);
    for (const auto& part : checkpoint_parts(Slot(20), bytes, 900, 1)) stage(journal, part);
    drain(journal, told(20));
    append_votes(journal, 21, 40);
    const auto parts = checkpoint_parts(Slot(40), random_bytes(5000, 2), 900, 2);
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      stage(journal, parts[i]);
      drain(journal, told(40));
    }
    append_votes(journal, 41, 60);
  }
  const auto opened = open(DeviceRef(*memory));
  EXPECT_EQ(opened.checkpoint, bytes) << opened.error;
  EXPECT_EQ(slots_of(opened).front(), 21U);
}

struct TwoCheckpoints {
  std::unique_ptr<MemoryDevice> memory = make_memory(8, segment_bytes);
  std::vector<std::byte> older = random_bytes(3000, 1);
  std::vector<std::byte> newer = random_bytes(3000, 2);
  std::vector<Location> newer_parts;

  TwoCheckpoints() {
    const auto opened = open(DeviceRef(*memory));
    Journal& journal = *opened.journal;
    append_votes(journal, 1, 20);
    for (const auto& part : checkpoint_parts(Slot(20), older, 900, 1)) stage(journal, part);
    drain(journal, told(20));
    append_votes(journal, 21, 40);
    for (const auto& part : checkpoint_parts(Slot(40), newer, 900, 2)) {
      newer_parts.push_back(stage(journal, part).location);
      drain(journal, told(40));
    }
    append_votes(journal, 41, 60);
  }
};

TEST(Checkpoint, a_damaged_one_is_passed_over_for_an_older_one) {
  for (const std::size_t part : {0U, 1U, 3U}) {
    TwoCheckpoints disk;
    disk.memory->contents()[disk.newer_parts[part].offset + 50] ^= std::byte{1};
    const auto opened = open(DeviceRef(*disk.memory));
    ASSERT_TRUE(opened.journal) << opened.error;
    EXPECT_EQ(opened.checkpoint, disk.older);
    EXPECT_EQ(opened.gaps.size(), 1U) << "its block is missing";
    EXPECT_EQ(slots_of(opened).front(), 21U);
    EXPECT_EQ(slots_of(opened).back(), 60U);
  }
}

TEST(Checkpoint, one_that_the_owner_refuses_is_passed_over_for_an_older_one) {
  TwoCheckpoints disk;
  const auto opened = open(DeviceRef(*disk.memory), small_limits, disk.newer);
  ASSERT_TRUE(opened.journal) << opened.error;
  EXPECT_EQ(opened.checkpoint, disk.older);
}

// Otherwise the next start would find the older one's segment used again, and the newer one still damaged.
TEST(Checkpoint, a_release_after_a_start_from_an_older_one_keeps_it) {
  TwoCheckpoints disk;
  disk.memory->contents()[disk.newer_parts[1].offset + 50] ^= std::byte{1};
  const auto opened = open(DeviceRef(*disk.memory));
  ASSERT_EQ(opened.checkpoint, disk.older) << opened.error;
  const std::uint32_t kept = 1;  // its segment
  const auto witness = stage(*opened.journal, trim(50)).number;
  opened.journal->release(Slot(50), witness);
  drain(*opened.journal, told(61));
  EXPECT_EQ(opened.journal->first_segment(), kept);
}

TEST(Checkpoint, without_one_that_can_be_read_and_without_the_beginning_it_is_refused) {
  const auto memory = make_memory(3, 4 * segment_bytes);
  Prng prng(9);
  RingUser user;
  {
    const auto opened = open(DeviceRef(*memory));
    run_to_generation(*opened.journal, user, prng, 3);
    settle(*opened.journal, user);
  }
  // Every checkpoint's first part.
  std::size_t spoilt = 0;
  for (std::uint64_t at = segments_offset; at < memory->contents().size(); at += page) {
    const auto header = load<BlockHeader>(memory->contents().subspan(at));
    if (header.magic != block_magic) continue;
    for (std::uint64_t in = at + sizeof(BlockHeader); in < at + sizeof(BlockHeader) + header.payload_bytes;) {
      const auto record = wire::decode_record_header(memory->contents().subspan(in));
      if (!record) break;
      if (record->kind == wire::RecordKind::checkpoint) {
        memory->contents()[in + 40] ^= std::byte{1};
        ++spoilt;
      }
      in += align_up(sizeof(wire::RecordHeader) + record->body_bytes, 8);
    }
  }
  ASSERT_GT(spoilt, 0U);
  expect_refused(*memory, "neither the beginning of the journal nor any checkpoint of it can be read");
}

TEST(Checkpoint, the_beginning_serves_where_none_can_be_used) {
  TwoCheckpoints disk;
  disk.memory->contents()[disk.newer_parts[1].offset + 50] ^= std::byte{1};
  const auto opened = open(DeviceRef(*disk.memory), small_limits, disk.older);
  ASSERT_TRUE(opened.journal) << opened.error;
  EXPECT_FALSE(opened.journal->recovered().has_checkpoint);
  EXPECT_EQ(slots_of(opened), slots_but(60, 0, 0));
  EXPECT_EQ(opened.gaps.size(), 1U);
}

TEST(Checkpoint, a_large_one_is_wanted_before_the_ring_is_full) {
  const auto memory = make_memory(8, segment_bytes);
  const auto opened = open(DeviceRef(*memory));
  Journal& journal = *opened.journal;
  std::uint64_t slot = 20;
  append_votes(journal, 1, slot);
  for (const auto& part : checkpoint_parts(Slot(20), random_bytes(80000, 1), 10000, 1))
    stage(journal, part), drain(journal, told(slot));
  while (!journal.wants_checkpoint()) {
    ASSERT_TRUE(journal.has_space()) << "sixteen times its bytes are more than the journal has";
    append_votes(journal, slot + 1, slot + 1);
    ++slot;
  }
}

// ---- watermarks, positions, open counts ----

TEST(Watermarks, never_fall) {
  const auto memory = make_memory();
  {
    const auto opened = open(DeviceRef(*memory));
    Watermarks high{.promised = Ballot(9, ReplicaId(1)), .commit = Slot(5), .highest = Slot(8)};
    high.heard[2] = {3, 30};
    high.heard[0] = {4, 1};
    stage(*opened.journal, vote(1, 1, 10));
    drain(*opened.journal, high);
    stage(*opened.journal, vote(2, 1, 10));
    drain(*opened.journal, {.promised = Ballot(3, ReplicaId(1)), .commit = Slot(1), .highest = Slot(2)});
    Watermarks lower;
    lower.heard[2] = {2, 99};
    lower.heard[0] = {4, 2};
    stage(*opened.journal, vote(3, 1, 10));
    drain(*opened.journal, lower);
  }
  const auto opened = open(DeviceRef(*memory));
  const Watermarks& found = opened.journal->recovered().watermarks;
  EXPECT_EQ(found.promised, Ballot(9, ReplicaId(1)));
  EXPECT_EQ(found.commit, Slot(5));
  EXPECT_EQ(found.highest, Slot(8));
  EXPECT_EQ(found.heard[2], (Position{3, 30}));
  EXPECT_EQ(found.heard[0], (Position{4, 2}));
}

TEST(Watermarks, a_block_that_may_be_told_of_names_itself_and_later_ones_do_not_forget_it) {
  const auto memory = make_memory();
  {
    const auto opened = open(DeviceRef(*memory));
    Journal& journal = *opened.journal;
    append_votes(journal, 1, 1);
    EXPECT_EQ(journal.told_sequence(), 0U) << "nothing may be told before the peers have confirmed this disk";
    Watermarks watermarks = told(2);
    watermarks.own_place = 2;
    stage(journal, vote(2, 1, 10));
    drain(journal, watermarks);
    EXPECT_EQ(journal.told_sequence(), 3U);
    append_votes(journal, 3, 3);
    EXPECT_EQ(journal.told_sequence(), 3U);
  }
  EXPECT_EQ(header_at(*memory, 3).heard[2], (Position{1, 3}));
  const auto opened = open(DeviceRef(*memory));
  EXPECT_EQ(opened.journal->recovered().watermarks.heard[2], (Position{1, 3}));
  EXPECT_EQ(header_at(*memory, 5).heard[2], (Position{1, 3})) << "the first block of the next open";
}

TEST(OpenCount, raised_above_the_floor_and_kept) {
  const auto memory = make_memory();
  {
    const auto opened = open(DeviceRef(*memory));
    append_votes(*opened.journal, 1, 3);
    ASSERT_TRUE(raise_open_count(*opened.journal, 41));
    EXPECT_EQ(opened.journal->recovered().identity.open_count, 41U);
    EXPECT_EQ(opened.journal->told_sequence(), 0U);
    ASSERT_TRUE(raise_open_count(*opened.journal, 7)) << "never lowered";
    EXPECT_EQ(opened.journal->recovered().identity.open_count, 41U);
    append_votes(*opened.journal, 4, 5);
    EXPECT_FALSE(raise_open_count(*opened.journal, UINT64_MAX));
  }
  EXPECT_EQ(header_at(*memory, 5).open_count, 41U);
  const auto opened = open(DeviceRef(*memory));
  ASSERT_TRUE(opened.journal) << opened.error;
  EXPECT_EQ(opened.journal->recovered().identity.open_count, 42U);
  EXPECT_EQ(slots_of(opened), slots_but(5, 0, 0));
  EXPECT_TRUE(opened.gaps.empty());
}

// Blocks of the old count, written since this open, are not taken for a discarded tail.
TEST(OpenCount, raised_behind_many_blocks_and_damaged_before_them) {
  const auto memory = make_memory();
  {
    const auto opened = open(DeviceRef(*memory));
    append_votes(*opened.journal, 1, 5);
    ASSERT_TRUE(raise_open_count(*opened.journal, 41));
  }
  flip(*memory, 3);
  const auto opened = open(DeviceRef(*memory));
  ASSERT_TRUE(opened.journal) << opened.error;
  ASSERT_EQ(opened.gaps.size(), 1U);
  EXPECT_EQ(slots_of(opened), slots_but(5, 2, 2));
}

}  // namespace
}  // namespace synod::storage::test
