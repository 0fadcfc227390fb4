// What a journal's blocks say about commits, as recovery reads it: under a disk that is behind, so that blocks wait.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include "base/crc32c.h"
#include "replica/recovery.h"
#include "storage/format.h"
#include "storage/memory_device.h"
#include "wire/body.h"
#include "wire/cluster.h"

namespace synod::replica {
namespace {

const ClusterId cluster = wire::cluster_id("test");
constexpr ReplicaId self{2};
constexpr storage::JournalLimits limits = {
    .block_bytes_max = 64U << 10, .block_bytes_target = 16U << 10, .writes_in_flight = 4, .reads_in_flight = 4};
constexpr std::size_t block_filling = 20'000;  // a body that shares no block

// A disk that finishes only as many operations as it is allowed to.
struct SlowDevice {
  storage::MemoryDevice memory{(64U << 10) + (8U << 20)};
  std::size_t allowed = std::numeric_limits<std::size_t>::max();
  std::size_t refused_submits = 0;  // the next ones: a ring may have no memory for a moment (EAGAIN)

  void write_durable(std::uint64_t offset, Bytes data, std::uint64_t token) { memory.write_durable(offset, data, token); }
  void read(std::uint64_t offset, MutableBytes to, std::uint64_t token) { memory.read(offset, to, token); }
  void submit() {
    if (refused_submits > 0) {
      --refused_submits;
    } else {
      memory.submit();
    }
  }
  std::size_t poll(std::span<storage::Completion> out) {
    const std::size_t count = memory.poll(out.first(std::min(out.size(), allowed)));
    allowed -= count;
    return count;
  }
  [[nodiscard]] const storage::DeviceInfo& info() const { return memory.info(); }
  [[nodiscard]] std::uint64_t ready_bytes() const { return memory.ready_bytes(); }
};

struct Vote {
  wire::RecordHeader header;
  std::vector<std::byte> body;
};

Vote vote(std::uint64_t slot, std::uint64_t round, std::size_t bytes) {
  std::vector<std::byte> entry(sizeof(std::uint32_t) + bytes, static_cast<std::byte>(16 * slot + round));
  store(MutableBytes(entry), static_cast<std::uint32_t>(bytes));
  Vote result;
  result.body.resize(bytes + 256);
  wire::BodyWriter writer(result.body, {});
  (void)writer.add(wire::RunKind::entries, SessionId(1), Sequence(1), 1, entry);
  result.body.resize(writer.finish().size());
  result.header = wire::seal({.slot = Slot(slot),
                              .ballot = Ballot(round, ReplicaId(1)),
                              .body_bytes = static_cast<std::uint32_t>(result.body.size()),
                              .body_checksum = Checksum(crc32c(result.body)),
                              .kind = wire::RecordKind::accepted});
  return result;
}

struct Recovered {
  explicit Recovered(SlowDevice& device) : recovery(*log, index, storage::DeviceRef(device)) {}
  std::unique_ptr<consensus::LogState> log = std::make_unique<consensus::LogState>(true);
  SlotIndex index{1024};
  Recovery recovery;
  std::unique_ptr<storage::Journal> journal;
  std::string error;
};

std::unique_ptr<Recovered> recover(SlowDevice& device) {
  auto result = std::make_unique<Recovered>(device);
  auto journal = storage::Journal::open(storage::DeviceRef(device), cluster, self, limits, result->recovery.visitor());
  if (!journal) {
    result->error = journal.error().text;
    return result;
  }
  result->journal = std::move(*journal);
  const auto finished = result->recovery.finish(result->journal->recovered());
  if (!finished) result->error = finished.error().text;
  return result;
}

class RecoveryUnderASlowDisk : public ::testing::Test {
 protected:
  RecoveryUnderASlowDisk() {
    EXPECT_TRUE(
        storage::format_memory(device_.memory, {.cluster = cluster, .replica = self, .members = 3, .segment_bytes = 1U << 20}));
    journal_ = std::move(recover(device_)->journal);
  }

  void stage(const Vote& record) { (void)journal_->stage(record.header, record.body); }
  void turn(std::uint64_t commit, std::size_t completions) {
    device_.allowed = completions;
    (void)journal_->poll([](const storage::ReadResult&) {});
    journal_->flush({.promised = Ballot(2, ReplicaId(1)), .commit = Slot(commit)});
    journal_->submit();
  }
  void restart() {
    device_.allowed = std::numeric_limits<std::size_t>::max();
    journal_.reset();  // what was never sent to the disk is gone
    recovered_ = recover(device_);
    ASSERT_EQ(recovered_->error, "");
  }
  // Slot 1 has an old vote on the disk. Four writes are in flight, a fifth block waits, and the new vote of slot 1, which a
  // quorum of others has made chosen, lies behind it.
  void commit_slot_1_behind_a_waiting_block() {
    stage(vote(1, 1, block_filling));
    turn(0, 0);
    turn(0, 1);
    for (std::uint64_t slot = 2; slot <= 5; ++slot) {
      stage(vote(slot, 2, block_filling));
      turn(0, 0);
    }
    stage(vote(6, 2, block_filling));
    stage(vote(1, 2, block_filling));
    turn(1, 1);
  }

  SlowDevice device_;
  std::unique_ptr<storage::Journal> journal_;
  std::unique_ptr<Recovered> recovered_;
};

TEST_F(RecoveryUnderASlowDisk, a_block_that_waited_says_nothing_about_a_slot_whose_record_is_behind_it_and_lost) {
  commit_slot_1_behind_a_waiting_block();
  restart();
  EXPECT_EQ(recovered_->log->applied(), Slot(0));
  EXPECT_EQ(recovered_->recovery.open().size(), 6U);
}

TEST_F(RecoveryUnderASlowDisk, the_committed_value_is_applied_and_not_the_one_it_replaced) {
  commit_slot_1_behind_a_waiting_block();
  turn(6, 4);
  turn(6, 4);
  restart();
  ASSERT_EQ(recovered_->log->applied(), Slot(6));
  wire::Chain chain;
  for (std::uint64_t slot = 1; slot <= 6; ++slot) chain = wire::extend(chain, vote(slot, 2, block_filling).header.body_checksum);
  EXPECT_EQ(recovered_->log->chain(), chain);
}

// The block with the value that was chosen is lost, found, repaired and closed. Blocks that know its slot as committed lie before
// the repair; the vote that the lost one had overruled is still there.
TEST_F(RecoveryUnderASlowDisk, a_vote_before_a_healed_place_is_not_taken_for_the_committed_value) {
  constexpr std::size_t all = std::numeric_limits<std::size_t>::max();
  const auto write = [&](const Vote& record, std::uint64_t commit) {
    const storage::Location location = journal_->stage(record.header, record.body).location;
    for (int i = 0; i < 3; ++i) turn(commit, all);
    return location;
  };
  (void)write(vote(1, 1, 100), 0);
  const storage::Location lost = write(vote(1, 2, 100), 0);
  (void)write(vote(2, 2, 100), 1);
  (void)write(vote(3, 2, 100), 2);
  device_.memory.contents()[lost.offset] ^= std::byte{1};
  restart();
  ASSERT_EQ(recovered_->journal->recovered().gaps.size(), 1U);
  EXPECT_EQ(recovered_->log->applied(), Slot(0));
  journal_ = std::move(recovered_->journal);
  ASSERT_TRUE(journal_->heal(journal_->recovered().gaps[0]));
  for (int i = 0; i < 3; ++i) turn(2, all);
  (void)write(vote(1, 2, 100), 2);
  (void)write(vote(4, 2, 100), 3);
  restart();
  EXPECT_TRUE(recovered_->journal->recovered().gaps.empty());
  ASSERT_EQ(recovered_->log->applied(), Slot(3));
  wire::Chain chain;
  for (std::uint64_t slot = 1; slot <= 3; ++slot) chain = wire::extend(chain, vote(slot, 2, 100).header.body_checksum);
  EXPECT_EQ(recovered_->log->chain(), chain);
}

TEST_F(RecoveryUnderASlowDisk, a_submit_that_the_kernel_refused_is_made_up_for_without_a_new_record) {
  stage(vote(1, 1, 100));
  device_.refused_submits = 1;
  for (int i = 0; i < 3; ++i) turn(0, std::numeric_limits<std::size_t>::max());
  EXPECT_EQ(journal_->durable(), PersistNumber(1));
}

}  // namespace
}  // namespace synod::replica
