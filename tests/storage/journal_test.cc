// Appending and reading, on a device in memory and on a real file.
#include "storage/journal.h"

#include <gtest/gtest.h>

#include <deque>

#include "storage/layout.h"
#include "storage/uring_device.h"
#include "tests/storage/fixture.h"

namespace synod::storage::test {
namespace {

// A device whose writes complete when the test says so, in the order that it says.
class ManualDevice {
 public:
  explicit ManualDevice(MemoryDevice& inner) : inner_(inner) {}

  void write_durable(std::uint64_t offset, Bytes data, std::uint64_t token) {
    if (!held) {
      inner_.write_durable(offset, data, token);
      return;
    }
    asked.push_back({offset, data, token});
  }
  void read(std::uint64_t offset, MutableBytes to, std::uint64_t token) { inner_.read(offset, to, token); }
  void submit() { inner_.submit(); }
  std::size_t poll(std::span<Completion> out) {
    if (finished.empty()) return inner_.poll(out);
    std::size_t count = 0;
    for (; count < out.size() && !finished.empty(); ++count) {
      out[count] = finished.front();
      finished.pop_front();
    }
    return count;
  }
  [[nodiscard]] const DeviceInfo& info() const { return inner_.info(); }
  [[nodiscard]] std::uint64_t ready_bytes() const { return inner_.ready_bytes(); }

  void complete(std::size_t index, std::int32_t error = 0) {
    if (error == 0) copy(inner_.contents().subspan(asked[index].offset), asked[index].data);
    finished.push_back({.token = asked[index].token, .error = error});
  }

  struct Write {
    std::uint64_t offset;
    Bytes data;
    std::uint64_t token;
  };
  bool held = false;
  std::vector<Write> asked;
  std::deque<Completion> finished;

 private:
  MemoryDevice& inner_;
};

// Opens on the device and holds back its writes from then on.
std::unique_ptr<Journal> open_held(ManualDevice& device) {
  auto opened = open(DeviceRef(device));
  EXPECT_TRUE(opened.journal) << opened.error;
  device.held = true;
  return std::move(opened.journal);
}

// Stages one vote and asks for its block.
void write_block(Journal& journal, std::uint64_t slot) {
  stage(journal, vote(slot, 1, 100));
  journal.flush({});
  journal.submit();
}

TEST(Journal, an_empty_journal_opens_and_counts_its_opens) {
  const auto memory = make_memory();
  for (std::uint64_t open_count = 1; open_count <= 3; ++open_count) {
    const auto opened = open(DeviceRef(*memory));
    ASSERT_TRUE(opened.journal) << opened.error;
    EXPECT_EQ(opened.journal->recovered().identity.open_count, open_count);
    EXPECT_EQ(opened.journal->recovered().blocks, open_count - 1);
    EXPECT_TRUE(opened.records.empty());
    EXPECT_TRUE(opened.journal->idle());
  }
}

TEST(Journal, recovers_every_record_at_the_location_that_stage_told) {
  const auto memory = make_memory();
  std::vector<TestRecord> written;
  std::vector<Location> locations;
  {
    auto opened = open(DeviceRef(*memory));
    ASSERT_TRUE(opened.journal) << opened.error;
    for (std::uint64_t slot = 1; slot <= 200; ++slot) {
      written.push_back(slot % 20 == 0 ? promise(slot) : vote(slot, 1, slot * 17 % 3000));
      while (!opened.journal->can_stage(written.back().header.kind, written.back().body.size())) drain(*opened.journal);
      locations.push_back(stage(*opened.journal, written.back()).location);
    }
    drain(*opened.journal, {.promised = Ballot(400, ReplicaId(1)), .commit = Slot(77)});
    EXPECT_EQ(opened.journal->durable(), PersistNumber(200));
  }
  const auto opened = open(DeviceRef(*memory));
  ASSERT_TRUE(opened.journal) << opened.error;
  EXPECT_EQ(opened.records, written);
  EXPECT_EQ(opened.locations, locations);
  EXPECT_EQ(opened.journal->recovered().watermarks.promised, Ballot(400, ReplicaId(1)));
  EXPECT_EQ(opened.journal->recovered().watermarks.commit, Slot(77));
  EXPECT_EQ(opened.journal->recovered().discarded_bytes, 0U);
}

// Buffers are used again, and cleared only as far as they are not zero.
TEST(Journal, behind_the_last_record_of_a_block_all_is_zero) {
  const auto memory = make_memory();
  const auto opened = open(DeviceRef(*memory));
  ASSERT_TRUE(opened.journal) << opened.error;
  for (std::uint64_t slot = 1; slot <= 60; ++slot) {
    const std::size_t bytes = slot * 7919 % 13'000 + 1;
    const Location at = stage(*opened.journal, vote(slot, 1, bytes)).location;
    drain(*opened.journal);
    const std::uint64_t end = align_up(at.offset + at.bytes, device_block_bytes);
    const Bytes block = memory->contents().subspan(at.offset, end - at.offset);
    ASSERT_FALSE(is_zero(block.first(at.bytes)));
    ASSERT_TRUE(is_zero(block.subspan(at.bytes))) << "slot " << slot << " of " << bytes << " bytes";
  }
}

TEST(Journal, a_vote_is_also_a_promise_after_recovery_and_a_chosen_record_is_not) {
  const auto memory = make_memory();
  {
    auto opened = open(DeviceRef(*memory));
    stage(*opened.journal, vote(1, 9, 10));
    auto chosen = vote(2, 50, 10);
    chosen.header.kind = wire::RecordKind::chosen;
    stage(*opened.journal, chosen);
    drain(*opened.journal);
  }
  const auto opened = open(DeviceRef(*memory));
  ASSERT_TRUE(opened.journal) << opened.error;
  EXPECT_EQ(opened.journal->recovered().watermarks.promised, Ballot(9, ReplicaId(1)));
}

TEST(Journal, records_staged_while_writes_are_in_flight_share_the_next_block) {
  const auto memory = make_memory();
  ManualDevice device(*memory);
  const auto journal = open_held(device);
  for (std::uint64_t slot = 1; slot <= 4; ++slot) write_block(*journal, slot);
  ASSERT_EQ(device.asked.size(), 4U);
  for (std::uint64_t slot = 5; slot <= 24; ++slot) write_block(*journal, slot);
  EXPECT_EQ(device.asked.size(), 4U) << "no more than writes_in_flight";
  for (std::size_t i = 0; i < 4; ++i) device.complete(i);
  poll(*journal);
  EXPECT_EQ(journal->durable(), PersistNumber(4));
  journal->flush({});
  ASSERT_EQ(device.asked.size(), 5U);
  device.complete(4);
  poll(*journal);
  EXPECT_EQ(journal->durable(), PersistNumber(24));
  EXPECT_TRUE(journal->idle());
}

// Twice, so that every buffer comes back.
TEST(Journal, what_comes_while_the_device_is_slow_waits_in_blocks_up_to_a_limit) {
  const auto memory = make_memory();
  ManualDevice device(*memory);
  const auto journal = open_held(device);
  constexpr std::size_t body_bytes = 12U << 10;  // a block of its own
  const std::size_t blocks = small_limits.writes_in_flight + small_limits.blocks_waiting;
  std::size_t asked = 0;
  for (std::uint64_t round = 0; round < 2; ++round) {
    for (std::uint64_t block = 0; block < blocks; ++block) {
      ASSERT_TRUE(journal->can_stage(wire::RecordKind::accepted, body_bytes)) << block;
      stage(*journal, vote(round * blocks + block + 1, 1, body_bytes));
      journal->flush({});
      journal->submit();
    }
    EXPECT_FALSE(journal->can_stage(wire::RecordKind::accepted, body_bytes));
    for (; asked < (round + 1) * blocks; ++asked) {
      ASSERT_LT(asked, device.asked.size());
      device.complete(asked);
      poll(*journal);
      journal->flush({});
      journal->submit();
    }
    EXPECT_EQ(journal->durable(), PersistNumber((round + 1) * blocks));
  }
  device.held = false;
  const auto again = open(DeviceRef(*memory));
  EXPECT_EQ(again.records.size(), 2 * blocks);
}

TEST(Journal, durable_is_a_prefix_when_completions_come_out_of_order) {
  const auto memory = make_memory();
  ManualDevice device(*memory);
  const auto journal = open_held(device);
  for (std::uint64_t slot = 1; slot <= 4; ++slot) write_block(*journal, slot);
  const std::array<std::pair<std::size_t, std::uint64_t>, 4> steps = {{{2, 0}, {0, 1}, {3, 1}, {1, 4}}};
  for (const auto& [completed, durable] : steps) {
    device.complete(completed);
    EXPECT_EQ(poll(*journal), PersistNumber(durable));
  }
}

// Found by the kill loop (SYNOD_TEST_SEED=2, SYNOD_KILLS=20): a block that waited for a write slot took the watermark of its
// sending, which covered records of the block behind it.
TEST(Journal, a_block_never_carries_a_watermark_from_after_it_was_closed) {
  const auto memory = make_memory();
  JournalLimits limits = small_limits;
  limits.writes_in_flight = 1;
  const auto journal = open(DeviceRef(*memory), limits).journal;
  stage(*journal, vote(1, 1, 100));
  journal->flush({});
  journal->submit();  // block of slot 1: in flight
  stage(*journal, vote(2, 1, 12U << 10));
  stage(*journal, vote(3, 1, 12U << 10));  // closes the block of slot 2
  const Watermarks all{.promised = Ballot(1, ReplicaId(1)), .commit = Slot(3)};
  journal->flush(all);  // no write slot is free
  while (journal->durable() < PersistNumber(1)) poll(*journal);
  journal->flush(all);
  journal->submit();  // block of slot 2
  while (journal->durable() < PersistNumber(2)) poll(*journal);
  // Power fails before the block of slot 3 is written.
  MemoryDevice after(memory->contents());
  const auto again = open(DeviceRef(after));
  ASSERT_EQ(again.records.size(), 2U);
  EXPECT_LE(again.journal->recovered().watermarks.commit, Slot(2));
}

TEST(Journal, the_first_failed_write_is_final) {
  const auto memory = make_memory();
  ManualDevice device(*memory);
  const auto journal = open_held(device);
  for (std::uint64_t slot = 1; slot <= 3; ++slot) write_block(*journal, slot);
  device.complete(1, EIO);
  poll(*journal);
  EXPECT_EQ(journal->failed(), EIO);
  device.complete(0);
  device.complete(2);
  EXPECT_EQ(poll(*journal), PersistNumber(0));
  EXPECT_FALSE(journal->can_stage(wire::RecordKind::promise, 0));
  EXPECT_FALSE(journal->has_space());
  journal->flush({});
  EXPECT_EQ(device.asked.size(), 3U) << "nothing is written after a failure";
}

TEST(Journal, staging_stops_when_all_buffers_are_full_and_goes_on_after_a_completion) {
  const auto memory = make_memory();
  ManualDevice device(*memory);
  const auto journal = open_held(device);
  std::uint64_t slot = 0;
  while (journal->can_stage(wire::RecordKind::accepted, 1000)) {
    stage(*journal, vote(++slot, 1, 1000));
    journal->flush({});
  }
  EXPECT_EQ(device.asked.size(), 4U);
  EXPECT_FALSE(journal->can_stage(wire::RecordKind::promise, 1000));
  EXPECT_TRUE(journal->has_space());
  device.complete(0);
  poll(*journal);
  EXPECT_TRUE(journal->can_stage(wire::RecordKind::accepted, 1000));
  for (std::size_t i = 1; i < 4; ++i) device.complete(i);
}

TEST(Journal, counts_the_polls_since_the_oldest_write_was_asked_for) {
  const auto memory = make_memory();
  ManualDevice device(*memory);
  const auto journal = open_held(device);
  EXPECT_EQ(journal->oldest_write_polls(), 0U);
  write_block(*journal, 1);
  for (int i = 0; i < 5; ++i) poll(*journal);
  write_block(*journal, 2);
  EXPECT_EQ(journal->oldest_write_polls(), 5U);
  device.complete(0);
  poll(*journal);
  EXPECT_EQ(journal->oldest_write_polls(), 1U);
  device.complete(1);
  poll(*journal);
  EXPECT_EQ(journal->oldest_write_polls(), 0U);
}

TEST(Journal, a_full_journal_stops_votes_before_promises) {
  const auto memory = make_memory(2, 64U << 10);
  std::uint64_t votes = 0;
  std::uint64_t promises = 0;
  {
    auto opened = open(DeviceRef(*memory));
    ASSERT_TRUE(opened.journal) << opened.error;
    for (; opened.journal->can_stage(wire::RecordKind::accepted, 3000); ++votes) {
      stage(*opened.journal, vote(votes + 1, 1, 3000));
      drain(*opened.journal);
    }
    EXPECT_FALSE(opened.journal->has_space());
    for (; opened.journal->can_stage(wire::RecordKind::promise, 0); ++promises) {
      stage(*opened.journal, promise(promises + 2));
      drain(*opened.journal);
    }
    EXPECT_LE(opened.journal->bytes_used(), opened.journal->bytes_capacity());
  }
  EXPECT_EQ(votes, 27U) << "every block of the device in front of the reserve is used, one of them by the open";
  EXPECT_EQ(promises, 2U) << "half of the reserve";
  for (int starts = 0; starts < 2; ++starts) {
    const auto opened = open(DeviceRef(*memory));
    EXPECT_TRUE(opened.journal) << "the other half is for starts and trims: " << opened.error;
  }
  const auto opened = open(DeviceRef(*memory));
  EXPECT_EQ(opened.records.size(), votes + promises);
  EXPECT_NE(opened.error.find("the journal is full"), std::string::npos) << opened.error;
}

TEST(Journal, a_block_that_does_not_fit_starts_the_next_segment) {
  const auto memory = make_memory(4, 64U << 10);
  std::vector<TestRecord> written;
  {
    auto opened = open(DeviceRef(*memory));
    for (std::uint64_t slot = 1; slot <= 4; ++slot) {
      written.push_back(vote(slot, 1, 40000));
      ASSERT_TRUE(opened.journal->can_stage(wire::RecordKind::accepted, 40000));
      const auto staged = stage(*opened.journal, written.back());
      EXPECT_EQ((staged.location.offset - segments_offset) / (64U << 10), slot - 1);
      drain(*opened.journal);
    }
    EXPECT_FALSE(opened.journal->can_stage(wire::RecordKind::accepted, 40000));
  }
  const auto opened = open(DeviceRef(*memory));
  EXPECT_EQ(opened.records, written) << opened.error;
}

TEST(Journal, reads_back_durable_records_with_their_tokens_within_the_limit) {
  const auto memory = make_memory();
  auto opened = open(DeviceRef(*memory));
  Journal& journal = *opened.journal;
  std::vector<TestRecord> written;
  std::vector<Location> locations;
  for (std::uint64_t slot = 1; slot <= 5; ++slot) {
    written.push_back(vote(slot, 1, slot * 900));
    locations.push_back(stage(journal, written.back()).location);
  }
  drain(journal);
  for (std::uint64_t i = 0; i < 4; ++i) EXPECT_TRUE(journal.read(locations[i], i));
  EXPECT_FALSE(journal.read(locations[4], 4)) << "four reads are the limit";
  journal.submit();
  std::size_t seen = 0;
  journal.poll([&](const ReadResult& result) {
    ASSERT_TRUE(result.record);
    EXPECT_TRUE(std::ranges::equal(result.record->body, written[result.token].body));
    EXPECT_EQ(result.record->header.slot, written[result.token].header.slot);
    ++seen;
  });
  EXPECT_EQ(seen, 4U);
  const auto record = read_back(journal, locations[4]);
  ASSERT_TRUE(record);
  EXPECT_TRUE(std::ranges::equal(record->body, written[4].body));
  EXPECT_EQ(journal.counters().reads, 5U);
  EXPECT_EQ(journal.counters().reads_failed, 0U);
}

TEST(Journal, a_damaged_record_is_reported_as_unreadable_never_as_absent) {
  const auto memory = make_memory();
  auto opened = open(DeviceRef(*memory));
  const auto staged = stage(*opened.journal, vote(1, 1, 500));
  drain(*opened.journal);
  memory->contents()[staged.location.offset + 300] ^= std::byte{1};
  ASSERT_TRUE(opened.journal->read(staged.location, 7));
  opened.journal->submit();
  std::size_t seen = 0;
  opened.journal->poll([&](const ReadResult& result) {
    EXPECT_EQ(result.token, 7U);
    EXPECT_FALSE(result.record);
    ++seen;
  });
  EXPECT_EQ(seen, 1U);
  EXPECT_FALSE(read_back(*opened.journal, staged.location));
  EXPECT_EQ(opened.journal->counters().reads_failed, 2U);
}

// Votes for slots 1, 2, .., each in a block of its own.
std::vector<Location> write_votes(Journal& journal, std::uint64_t count) {
  std::vector<Location> locations;
  for (std::uint64_t slot = 1; slot <= count; ++slot) {
    locations.push_back(stage(journal, vote(slot, 1, 500)).location);
    drain(journal);
  }
  return locations;
}

Location from_to(Location first, Location last) {
  return {.offset = first.offset, .bytes = static_cast<std::uint32_t>(last.offset + last.bytes - first.offset)};
}

TEST(Journal, holds_the_records_of_a_stretch_once_it_is_read) {
  const auto memory = make_memory();
  auto opened = open(DeviceRef(*memory));
  Journal& journal = *opened.journal;
  const std::vector<Location> at = write_votes(journal, 6);
  EXPECT_FALSE(journal.is_at_hand(at[0]));
  ASSERT_TRUE(journal.fits_stretch(from_to(at[0], at[3])));
  ASSERT_TRUE(journal.read_ahead(from_to(at[0], at[3])));
  EXPECT_TRUE(journal.is_at_hand(at[3]));
  EXPECT_FALSE(journal.held(at[0])) << "it is only coming";
  drain(journal);
  for (std::uint64_t i = 0; i < 4; ++i) {
    const auto record = journal.held(at[i]);
    ASSERT_TRUE(record) << i;
    EXPECT_EQ(record->header.slot, Slot(i + 1));
  }
  EXPECT_FALSE(journal.held(at[4]));
  EXPECT_FALSE(journal.is_at_hand(at[4]));
  journal.drop_held(at[2]);
  EXPECT_FALSE(journal.held(at[0])) << "the whole stretch is given up";
}

TEST(Journal, does_not_hold_what_is_damaged_in_a_stretch_or_could_not_be_read) {
  const auto memory = make_memory();
  auto opened = open(DeviceRef(*memory));
  Journal& journal = *opened.journal;
  const std::vector<Location> at = write_votes(journal, 3);
  memory->contents()[at[1].offset + 100] ^= std::byte{1};
  ASSERT_TRUE(journal.read_ahead(from_to(at[0], at[2])));
  drain(journal);
  EXPECT_TRUE(journal.held(at[0]));
  EXPECT_FALSE(journal.held(at[1]));
  EXPECT_FALSE(journal.is_at_hand(at[1])) << "so that it is read alone, which tells that it is unreadable";
}

TEST(Journal, gives_up_the_stretch_that_was_used_longest_ago) {
  const auto memory = make_memory();
  JournalLimits limits = small_limits;
  limits.stretches = 2;
  auto opened = open(DeviceRef(*memory), limits);
  Journal& journal = *opened.journal;
  const std::vector<Location> at = write_votes(journal, 3);
  ASSERT_TRUE(journal.read_ahead(at[0]));
  ASSERT_TRUE(journal.read_ahead(at[1]));
  EXPECT_FALSE(journal.read_ahead(at[2])) << "both are being read";
  drain(journal);
  EXPECT_TRUE(journal.held(at[0]));
  ASSERT_TRUE(journal.read_ahead(at[2]));
  drain(journal);
  EXPECT_TRUE(journal.held(at[0]));
  EXPECT_FALSE(journal.held(at[1]));
  EXPECT_TRUE(journal.held(at[2]));
}

TEST(Journal, works_on_a_real_file_with_records_of_a_mebibyte) {
  const TemporaryDirectory directory;
  const auto formatted =
      format({.directory = directory.path(), .cluster = "test", .replica = replica, .capacity_bytes = 16U << 20}, {});
  ASSERT_TRUE(formatted) << formatted.error().text;
  std::vector<TestRecord> written;
  for (std::uint64_t slot = 1; slot <= 6; ++slot) written.push_back(vote(slot, 1, slot % 2 == 0 ? body_bytes_max : 100));
  std::vector<Location> locations;
  {
    const auto device = open_directory(directory.path());
    ASSERT_TRUE(device) << device.error().text;
    auto opened = open(DeviceRef(**device), {});
    ASSERT_TRUE(opened.journal) << opened.error;
    for (const TestRecord& record : written) {
      while (!opened.journal->can_stage(record.header.kind, record.body.size())) drain(*opened.journal);
      locations.push_back(stage(*opened.journal, record).location);
    }
    drain(*opened.journal);
    EXPECT_EQ(opened.journal->durable(), PersistNumber(6));
  }
  const auto device = open_directory(directory.path());
  ASSERT_TRUE(device) << device.error().text;
  EXPECT_TRUE((*device)->info().stable);
  const auto opened = open(DeviceRef(**device), {});
  ASSERT_TRUE(opened.journal) << opened.error;
  EXPECT_EQ(opened.records, written);
  const auto record = read_back(*opened.journal, locations[3]);
  ASSERT_TRUE(record);
  EXPECT_TRUE(std::ranges::equal(record->body, written[3].body));
}

}  // namespace
}  // namespace synod::storage::test
