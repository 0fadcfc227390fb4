// Power cuts: a recorded run of the journal, cut anywhere, with unfinished writes dropped, torn or reordered.
#include <gtest/gtest.h>

#include "storage/journal.h"
#include "tests/seed.h"
#include "tests/storage/fixture.h"
#include "tests/storage/recording_device.h"

namespace synod::storage::test {
namespace {

// What the journal told its owner, and when.
struct Claim {
  std::size_t event = 0;  // length of the trace when it was told
  PersistNumber durable;
};

struct History {
  std::vector<TestRecord> staged;  // in the order of staging
  std::vector<Claim> claims;
  Slot commit_max;  // that was ever handed to flush()
};

TestRecord random_record(Prng& prng, std::uint64_t number, std::uint64_t& round) {
  if (prng.chance(1, 8)) return promise(++round);
  const std::uint64_t bytes = prng.chance(1, 10) ? prng.between(15000, 50000) : prng.below(2500);
  return vote(number, round, bytes);
}

// Appends random records in random groups, with several writes in flight.
void append(Journal& journal, RecordingDevice& device, Prng& prng, std::uint64_t records, History& history) {
  const std::size_t before = history.staged.size();
  std::uint64_t round = 1 + before;
  std::optional<TestRecord> next;
  while (history.staged.size() < before + records || !journal.idle()) {
    if (history.staged.size() < before + records) {
      if (!next) next = random_record(prng, history.staged.size() + 1, round);
      if (!journal.has_space()) break;
      if (journal.can_stage(next->header.kind, next->body.size())) {
        stage(journal, *next);
        history.staged.push_back(*next);
        next.reset();
      }
    }
    if (prng.chance(1, 2) || history.staged.size() == before + records) {
      history.commit_max = std::max(history.commit_max, Slot(history.staged.size()));
      journal.flush({.promised = Ballot(round, ReplicaId(1)), .commit = history.commit_max});
      journal.submit();
    }
    if (prng.chance(1, 3)) {
      const PersistNumber durable = poll(journal);
      history.claims.push_back({.event = device.trace_length(), .durable = durable + before});
    }
  }
}

// The highest claim that was made before the cut.
std::uint64_t durable_at(const History& history, std::size_t cut) {
  std::uint64_t durable = 0;
  for (const Claim& claim : history.claims) {
    if (claim.event <= cut) durable = std::max(durable, claim.durable.value());
  }
  return durable;
}

Ballot highest_promise(std::span<const TestRecord> records) {
  Ballot highest;
  for (const TestRecord& record : records) highest = std::max(highest, record.header.ballot);
  return highest;
}

// What must hold of a recovered journal: at least what was claimed, at most what was staged, in order, unchanged.
void expect_recovered(const Opened& opened, const History& history, std::uint64_t durable, const std::string& where) {
  ASSERT_TRUE(opened.journal) << where << ": " << opened.error;
  ASSERT_GE(opened.records.size(), durable) << where;
  ASSERT_LE(opened.records.size(), history.staged.size()) << where;
  for (std::size_t i = 0; i < opened.records.size(); ++i) {
    ASSERT_TRUE(opened.records[i] == history.staged[i]) << where << ", record " << i;
  }
  const std::span<const TestRecord> kept(history.staged.data(), opened.records.size());
  ASSERT_GE(opened.journal->recovered().watermarks.promised, highest_promise(kept)) << where;
  ASSERT_LE(opened.journal->recovered().watermarks.commit, history.commit_max) << where;
}

TEST(PowerCut, keeps_what_was_durable_at_each_of_a_thousand_random_cuts) {
  const std::uint64_t seed = first_seed();
  Prng prng(seed);
  const auto memory = make_memory(4, 256U << 10);
  RecordingDevice device(DeviceRef(*memory), prng.next());
  History history;
  {
    const auto opened = open(DeviceRef(device));
    ASSERT_TRUE(opened.journal) << opened.error;
    append(*opened.journal, device, prng, 400, history);
  }
  ASSERT_GT(history.staged.size(), 60U);
  std::uint64_t partial = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::size_t cut = prng.below(device.trace_length() + 1);
    MemoryDevice disk(device.crash_image(cut, prng));
    const auto opened = open(DeviceRef(disk));
    expect_recovered(opened, history, durable_at(history, cut), "seed " + std::to_string(seed) + ", cut " + std::to_string(cut));
    if (HasFatalFailure()) return;
    if (opened.journal->recovered().discarded_bytes > 0) ++partial;
  }
  EXPECT_GT(partial, 50U) << "the cuts must tear blocks, or this tests nothing";
}

TEST(PowerCut, every_cycle_of_crash_and_append_keeps_what_was_durable) {
  const std::uint64_t seed = first_seed();
  for (std::uint64_t round = 0; round < 40; ++round) {
    Prng prng(seed * 1000 + round);
    auto disk = make_memory(4, 256U << 10);
    History history;
    std::uint64_t durable = 0;
    for (int cycle = 0; cycle < 8; ++cycle) {
      const std::string where =
          "seed " + std::to_string(seed) + ", round " + std::to_string(round) + ", cycle " + std::to_string(cycle);
      RecordingDevice device(DeviceRef(*disk), prng.next());
      {
        const auto opened = open(DeviceRef(device));
        expect_recovered(opened, history, durable, where);
        if (HasFatalFailure()) return;
        history.staged.resize(opened.records.size());  // what was lost was never claimed, and must never come back
        durable = opened.records.size();               // and what was found is answered for from now on
        history.claims.clear();
        append(*opened.journal, device, prng, prng.below(40), history);
      }
      const std::size_t cut = prng.below(device.trace_length() + 1);
      durable = std::max(durable, durable_at(history, cut));
      disk = std::make_unique<MemoryDevice>(device.crash_image(cut, prng));
    }
  }
}

// Recovery itself is cut, again and again: it must come to the same end each time.
TEST(PowerCut, a_crash_during_recovery_changes_no_verdict) {
  const std::uint64_t seed = first_seed();
  for (std::uint64_t round = 0; round < 200; ++round) {
    Prng prng(seed * 5000 + round);
    auto disk = make_memory(2, 256U << 10);
    History history;
    {
      RecordingDevice device(DeviceRef(*disk), prng.next());
      {
        const auto opened = open(DeviceRef(device));
        append(*opened.journal, device, prng, 30, history);
      }
      disk = std::make_unique<MemoryDevice>(
          device.crash_image(prng.between(device.trace_length() / 2, device.trace_length()), prng));
    }
    std::optional<std::size_t> found;
    for (int crash = 0; crash < 6; ++crash) {
      RecordingDevice device(DeviceRef(*disk), prng.next());
      const auto opened = open(DeviceRef(device));
      ASSERT_TRUE(opened.journal) << "seed " << seed << ", round " << round << ": " << opened.error;
      if (!found) found = opened.records.size();
      ASSERT_EQ(opened.records.size(), *found) << "seed " << seed << ", round " << round << ", crash " << crash;
      disk = std::make_unique<MemoryDevice>(device.crash_image(prng.below(device.trace_length() + 1), prng));
    }
  }
}

}  // namespace
}  // namespace synod::storage::test
