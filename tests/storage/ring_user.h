// A user of the journal as a replica is one: votes for one slot after the other, trims, checkpoints that say where every kept
// record lies, and what it was told to be durable. After a crash it starts from what recovery shows and checks that nothing is
// lost.
#pragma once

#include <deque>
#include <map>

#include "tests/storage/fixture.h"

namespace synod::storage::test {

class RingUser {
 public:
  std::map<std::uint64_t, Location> records;  // of the slots that are kept
  std::uint64_t next_slot = 1;
  std::uint64_t trim = 1;           // first slot kept
  std::uint64_t durable_slot = 0;   // that was told as durable
  std::uint64_t durable_round = 0;  // promise that was
  std::uint64_t round = 1;
  std::uint64_t checkpoints = 0;

  // Takes over what an open found.
  void recover(const Opened& opened, const std::string& where) {
    ASSERT_TRUE(opened.journal) << where << ": " << opened.error;
    *this = RingUser();
    if (!opened.checkpoint.empty()) load_checkpoint(opened.checkpoint);
    for (std::size_t i = 0; i < opened.records.size(); ++i) {
      const wire::RecordHeader& header = opened.records[i].header;
      if (header.kind == wire::RecordKind::trim) forget_below(header.slot.value());
      if (header.kind != wire::RecordKind::accepted) continue;
      ASSERT_EQ(header.slot, Slot(next_slot)) << where << ": every record once, in the order of writing";
      records[next_slot++] = opened.locations[i];
    }
    forget_below(trim);
    const Recovered& recovered = opened.journal->recovered();
    ASSERT_TRUE(recovered.gaps.empty() && !recovered.tail_is_lost) << where << ": a power cut is no damage";
    round = recovered.watermarks.promised.round();
    durable_slot = next_slot - 1;
    durable_round = round;
    ASSERT_GE(recovered.watermarks.highest, Slot(durable_slot)) << where;
  }

  // Each kept record can be read and is what was written.
  void expect_readable(Journal& journal, const std::string& where) const {
    for (const auto& [slot, location] : records) {
      const auto record = read_back(journal, location);
      ASSERT_TRUE(record) << where << ", slot " << slot << " cannot be read";
      ASSERT_EQ(record->header.slot, Slot(slot)) << where;
    }
  }

  // One random step.
  void step(Journal& journal, Prng& prng, std::size_t body_bytes_limit) {
    if (!parts_.empty() && stage_if_possible(journal, parts_.front())) {
      parts_.pop_front();
    } else if (parts_.empty() && journal.wants_checkpoint()) {
      begin_checkpoint(journal);
    } else if (prng.chance(1, 12) && journal.has_space()) {
      if (stage_if_possible(journal, promise(round + 1))) rounds_[staged_] = ++round;
    } else if (journal.has_space() && next_slot < durable_slot + 200) {
      const std::size_t bytes = prng.chance(1, 8) ? prng.below(body_bytes_limit) : prng.below(2500);
      if (stage_if_possible(journal, vote(next_slot, 1, bytes))) {
        records[next_slot] = location_;
        slots_[staged_] = next_slot++;
      }
    }
    const bool is_full = journal.bytes_used() * 3 > journal.bytes_capacity() * 2 || !journal.has_space();
    if (is_full || prng.chance(1, 60)) trim_some(journal, prng);
    if (prng.chance(1, 2)) flush(journal);
  }

  void trim_some(Journal& journal, Prng& prng) {
    if (durable_slot >= trim + 2 && trimmed_.value() <= durable_.value()) {
      const std::uint64_t below = prng.between(trim + (durable_slot - trim) / 2, durable_slot);
      if (stage_if_possible(journal, storage::test::trim(below))) {
        forget_below(below);
        trimmed_ = staged_;
      }
    }
    if (trimmed_ != PersistNumber{}) journal.release(Slot(trim), trimmed_);
  }

  void flush(Journal& journal) const {
    journal.flush({.promised = Ballot(round, ReplicaId(3)), .commit = Slot(durable_slot), .highest = Slot(next_slot - 1)});
    journal.submit();
  }

  void poll(Journal& journal) {
    durable_ = storage::test::poll(journal);
    take_durable(slots_, durable_slot);
    take_durable(rounds_, durable_round);
  }

  [[nodiscard]] bool is_busy() const { return !parts_.empty(); }

 private:
  bool stage_if_possible(Journal& journal, const TestRecord& record) {
    if (!journal.can_stage(record.header.kind, record.body.size())) return false;
    const auto staged = stage(journal, record);
    staged_ = staged.number;
    location_ = staged.location;
    return true;
  }

  void take_durable(std::map<PersistNumber, std::uint64_t>& waiting, std::uint64_t& value) const {
    while (!waiting.empty() && waiting.begin()->first <= durable_) {
      value = waiting.begin()->second;
      waiting.erase(waiting.begin());
    }
  }

  void forget_below(std::uint64_t below) {
    trim = std::max(trim, below);
    records.erase(records.begin(), records.lower_bound(trim));
  }

  // next slot, trim, then slot, offset, bytes of each record.
  void begin_checkpoint(Journal& journal) {
    std::vector<std::uint64_t> words = {next_slot, trim};
    for (const auto& [slot, location] : records) words.insert(words.end(), {slot, location.offset, location.bytes});
    const auto parts = checkpoint_parts(Slot(next_slot - 1), std::as_bytes(std::span(words)), 3000, ++checkpoints);
    // It is of the moment at which its first part is staged.
    if (stage_if_possible(journal, parts.front())) parts_.assign(parts.begin() + 1, parts.end());
  }

  void load_checkpoint(Bytes bytes) {
    const auto word = [&](std::size_t i) { return load<std::uint64_t>(bytes.subspan(i * 8)); };
    next_slot = word(0);
    trim = word(1);
    for (std::size_t i = 2; i + 2 < bytes.size() / 8; i += 3) {
      records[word(i)] = {.offset = word(i + 1), .bytes = static_cast<std::uint32_t>(word(i + 2))};
    }
  }

  std::deque<TestRecord> parts_;
  std::map<PersistNumber, std::uint64_t> slots_;
  std::map<PersistNumber, std::uint64_t> rounds_;
  PersistNumber staged_;
  PersistNumber durable_;
  PersistNumber trimmed_;
  Location location_;
};

}  // namespace synod::storage::test
