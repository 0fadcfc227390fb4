// The simulator itself: a seed is a run, bit for bit, and each check can fail.
#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "storage/layout.h"
#include "tests/sim/oracle.h"
#include "tests/sim/runner.h"

namespace synod::sim {
namespace {

const std::vector<ReplicaId> three{ReplicaId(1), ReplicaId(2), ReplicaId(3)};

TEST(Sim, the_same_seed_is_the_same_run_bit_for_bit) {
  for (const std::uint64_t seed : {7U, 8U}) {
    const SeedResult once = run_apart(draw_options(seed));
    const SeedResult again = run_apart(draw_options(seed));
    ASSERT_FALSE(once.failed) << once.check << ": " << once.text;
    EXPECT_GT(once.tally.packets, 1'000U);
    EXPECT_EQ(once.tally.digest, again.tally.digest);
  }
  EXPECT_NE(run_apart(draw_options(7)).tally.digest, run_apart(draw_options(8)).tally.digest);
}

TEST(Sim, a_fault_that_is_switched_off_leaves_the_draws_of_the_others_alone) {
  EXPECT_EQ(stream(5, 1).next(), stream(5, 1).next());
  EXPECT_NE(stream(5, 1).next(), stream(5, 2).next());
  EXPECT_NE(stream(5, 1).next(), stream(6, 1).next());
}

TEST(SimOracle, knows_a_value_as_chosen_when_a_quorum_voted_in_one_ballot) {
  Oracle oracle{consensus::Configuration(three)};
  const Ballot first(1, ReplicaId(1));
  oracle.vote(0, {Slot(1), first, Checksum{}});
  EXPECT_FALSE(oracle.chosen(Slot(1)));
  oracle.vote(0, {Slot(1), first, Checksum{}});
  oracle.vote(1, {Slot(1), Ballot(2, ReplicaId(2)), Checksum{}});
  EXPECT_FALSE(oracle.chosen(Slot(1))) << "two votes of one replica, and one of another ballot";
  oracle.vote(2, {Slot(1), first, Checksum{}});
  EXPECT_EQ(oracle.chosen(Slot(1)), Checksum{});
  EXPECT_EQ(oracle.chosen_up_to(), Slot(1));
}

TEST(SimOracle, notices_a_second_value_for_a_slot) {
  Oracle oracle{consensus::Configuration(three)};
  const Ballot first(1, ReplicaId(1));
  const Ballot second(2, ReplicaId(2));
  for (std::size_t member = 0; member < 2; ++member) oracle.vote(member, {Slot(2), first, Checksum(7)});
  ASSERT_FALSE(oracle.failure());
  for (std::size_t member = 1; member < 3; ++member) oracle.vote(member, {Slot(2), second, Checksum(8)});
  ASSERT_TRUE(oracle.failure());
  EXPECT_EQ(oracle.failure()->check, "one value per slot");
}

TEST(SimOracle, notices_two_values_in_one_ballot) {
  Oracle oracle{consensus::Configuration(three)};
  oracle.vote(0, {Slot(1), Ballot(1, ReplicaId(1)), Checksum(7)});
  oracle.vote(1, {Slot(1), Ballot(1, ReplicaId(1)), Checksum(8)});
  ASSERT_TRUE(oracle.failure());
  EXPECT_EQ(oracle.failure()->check, "one value per ballot");
}

TEST(SimOracle, notices_a_commit_of_what_is_not_chosen) {
  Oracle oracle{consensus::Configuration(three)};
  consensus::LogState log(true);
  log.apply(Slot(1), Checksum{}, *wire::BodyView::decode({}), [](const consensus::AppliedRun&) {});
  oracle.replica_applied(0, log);
  ASSERT_TRUE(oracle.failure());
  EXPECT_EQ(oracle.failure()->check, "committed is chosen");
}

TEST(SimOracle, notices_another_trim_than_was_chosen) {
  Oracle oracle{consensus::Configuration(three)};
  const auto body_of = [](wire::Chain chain, bool trims) {
    std::vector<std::byte> buffer(256);
    wire::BodyWriter writer(buffer, chain);
    const Uuid client{};
    if (!trims) writer.add(wire::RunKind::open_session, {}, {}, 0, bytes_of(client));
    if (trims) writer.add(wire::RunKind::trim, {}, {}, 0, bytes_of(Lsn(1)));
    if (!trims) {
      const std::uint32_t empty_entry = 0;
      writer.add(wire::RunKind::entries, wire::session_id(Slot(1), 0), Sequence(1), 1, bytes_of(empty_entry));
    }
    const Bytes body = writer.finish();
    return std::vector<std::byte>(body.begin(), body.end());
  };
  consensus::LogState log(true);
  const auto choose = [&](Slot slot, const std::vector<std::byte>& body) {
    const Checksum checksum(crc32c(body));
    oracle.value(slot, checksum, body);
    for (std::size_t member = 0; member < 2; ++member) oracle.vote(member, {slot, Ballot(1, ReplicaId(1)), checksum});
    log.apply(slot, checksum, *wire::BodyView::decode(body), [](const consensus::AppliedRun&) {});
  };
  choose(Slot(1), body_of(wire::Chain{}, false));
  choose(Slot(2), body_of(log.chain(), true));
  EXPECT_EQ(oracle.trim(), Lsn(1));
  oracle.replica_applied(0, log);
  ASSERT_FALSE(oracle.failure()) << oracle.failure()->text;
  consensus::LogState forgetful(true);
  forgetful.begin_load({log.applied(), log.tail(), log.chain(), Lsn(0)});
  oracle.replica_applied(0, forgetful);
  ASSERT_TRUE(oracle.failure());
  EXPECT_EQ(oracle.failure()->check, "replicas trim alike");
}

class SimDisk : public ::testing::Test {
 protected:
  static constexpr std::uint64_t offset = storage::segments_offset;

  // Writes 8 KiB, and leaves them in flight.
  void write(std::byte value) {
    data_.assign(8192, value);
    disk_.write_durable(offset, data_, 1);
    disk_.submit();
  }
  [[nodiscard]] std::size_t sectors_with(std::byte value) const {
    std::size_t count = 0;
    for (std::size_t sector = 0; sector < 16; ++sector) count += disk_.sectors()[offset + sector * sector_bytes] == value ? 1 : 0;
    return count;
  }

  Disk disk_{1U << 20, Prng(3)};
  std::vector<std::byte> data_;
  storage::Completion finished_;
};

TEST_F(SimDisk, finishes_a_write_only_when_its_time_has_come) {
  write(std::byte{7});
  EXPECT_EQ(disk_.poll(std::span(&finished_, 1)), 0U);
  EXPECT_EQ(sectors_with(std::byte{7}), 0U);
  disk_.now_us = 1'000;
  EXPECT_EQ(disk_.poll(std::span(&finished_, 1)), 1U);
  EXPECT_EQ(finished_.error, 0);
  EXPECT_EQ(sectors_with(std::byte{7}), 16U);
}

// By seed 8392: a repair had written over the place that was hit, and then the write was missing for good, though nobody could
// tell.
TEST_F(SimDisk, puts_a_misdirected_write_right_though_the_place_that_it_hit_was_written_since) {
  const std::uint64_t hit = offset;
  const std::uint64_t meant = offset + (64U << 10);
  const auto write_at = [&](std::uint64_t place, std::byte value) {
    data_.assign(8192, value);
    disk_.write_durable(place, data_, 1);
    disk_.submit();
    disk_.now_us += 1'000'000;
    ASSERT_EQ(disk_.poll(std::span(&finished_, 1)), 1U);
  };
  for (const bool is_hit_place_written : {false, true}) {
    write_at(hit, std::byte{1});
    disk_.conduct.misdirect_next_write_to = hit;
    write_at(meant, std::byte{2});
    EXPECT_EQ(disk_.sectors()[hit], std::byte{2});
    EXPECT_NE(disk_.sectors()[meant], std::byte{2});
    if (is_hit_place_written) write_at(hit, std::byte{3});
    EXPECT_EQ(disk_.undo_misdirected([](Bytes) { return false; }), 1U);
    EXPECT_EQ(disk_.sectors()[hit], is_hit_place_written ? std::byte{3} : std::byte{1});
    EXPECT_EQ(disk_.sectors()[meant], std::byte{2});
    write_at(meant, std::byte{0});
  }
}

TEST_F(SimDisk, tears_what_is_in_flight_when_power_goes) {
  std::size_t torn = 0;
  for (int i = 0; i < 40; ++i) {
    const auto value = static_cast<std::byte>(100 + i);
    write(value);
    torn += disk_.cut_power().torn;
    const std::size_t present = sectors_with(value);
    EXPECT_LE(present, 16U);
    EXPECT_EQ(disk_.poll(std::span(&finished_, 1)), 1U);
    EXPECT_NE(finished_.error, 0) << "a disk without power has finished a write";
    EXPECT_EQ(sectors_with(value), present) << "a disk without power has written";
    disk_.revive();
  }
  EXPECT_GT(torn, 20U);
}

TEST_F(SimDisk, keeps_what_a_killed_process_had_handed_to_the_kernel) {
  write(std::byte{9});
  disk_.kill();
  EXPECT_EQ(sectors_with(std::byte{9}), 16U);
}

}  // namespace
}  // namespace synod::sim
