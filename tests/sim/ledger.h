// What one replica's disk holds, read from the bytes that reached its sectors and never from the replica's memory.
//
// A block takes effect when it and every block before it are on the sectors and reported so: only then may the replica speak of
// what is in it. After a crash recovery may find more (writes that nobody heard the end of), and must not find less, unless the
// disk was damaged: then it must say so (a gap, a lost tail), or its peers must.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "storage/journal.h"
#include "storage/layout.h"
#include "tests/sim/disk.h"
#include "wire/record.h"

namespace synod::sim {

struct Vote {
  Slot slot;
  Ballot ballot;
  Checksum checksum;
  auto operator<=>(const Vote&) const = default;
};

class Ledger {
 public:
  explicit Ledger(std::uint64_t segment_bytes) : segment_bytes_(segment_bytes) {}

  // A value was seen, and a vote took effect.
  std::function<void(Slot, Checksum, Bytes body)> on_value;
  std::function<void(const Vote&)> on_vote;

  // The disk was asked for a write; it is on the sectors.
  void asked(std::uint64_t offset, Bytes data);
  void landed(std::uint64_t offset, Bytes data);

  // The process starts. Afterwards `landed` is told of the first block of the new open; call `started` when it has opened.
  void starting() {
    expects_first_block_ = true;
    known_ = sequence_;
  }
  // Something is missing that had taken effect, and recovery does not say that it is: what, or nothing.
  [[nodiscard]] std::string started(const storage::Recovered& recovered, Bytes sectors);

  // In effect:
  [[nodiscard]] Ballot promised() const { return promised_; }
  [[nodiscard]] bool holds_vote(const Vote& vote) const;
  // It learned that this value is chosen.
  [[nodiscard]] bool holds_chosen(Slot slot, Checksum checksum) const { return chosen_.contains({slot, checksum}); }
  [[nodiscard]] const std::map<Slot, Vote>& votes() const { return votes_; }
  // Whether the sectors hold a record of this value, now.
  [[nodiscard]] bool holds(Slot slot, Checksum checksum, const Disk& disk) const;
  // Whether every block in effect that is still needed can be read.
  [[nodiscard]] bool is_intact(const Disk& disk) const { return !first_damaged(disk); }
  [[nodiscard]] std::optional<std::uint64_t> first_damaged(const Disk& disk) const;
  [[nodiscard]] std::uint64_t recycled() const { return recycled_; }
  [[nodiscard]] std::uint64_t open_count() const { return open_count_; }

  struct Place {
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
  };
  struct Block {
    Place place;
    storage::BlockHeader header;
  };
  // The blocks in effect that were not written over since, by sequence. Of those up to `covered` later blocks say that they were
  // durable: damage there cannot be taken for a torn tail.
  [[nodiscard]] const std::map<std::uint64_t, Block>& blocks() const { return blocks_; }
  [[nodiscard]] std::uint64_t covered() const;
  // Of the last block in effect.
  [[nodiscard]] std::uint64_t sequence() const { return sequence_; }
  // Of the first block that landed and waits for one before it; 0: none.
  [[nodiscard]] std::uint64_t waiting() const { return unlinked_.empty() ? 0 : unlinked_.begin()->first; }
  // Its header; nothing if there is none.
  [[nodiscard]] const storage::BlockHeader* last() const;
  [[nodiscard]] Slot commit() const { return last() == nullptr ? Slot{} : last()->commit; }
  // The disk has lost what comes behind.
  void forget_behind(std::uint64_t sequence);
  // What the superblock says was durable.
  [[nodiscard]] std::uint64_t claimed_by_superblock() const { return claimed_by_superblock_; }

 private:
  struct RecordPlace {
    std::uint64_t offset = 0;
    Checksum checksum;
  };

  void take_effect(Bytes data);
  void written_over(std::uint64_t offset, std::uint64_t bytes);
  void healed_over(const storage::BlockHeader& header);
  template <class Use>
  static void for_each_record(Bytes data, Use&& use);

  std::uint64_t segment_bytes_;
  std::map<std::uint64_t, std::uint64_t> healed_;             // asked for, in this open: offset and length of what it covers
  std::map<std::uint64_t, Place> asked_;                      // by sequence: where it was to go
  std::map<std::uint64_t, std::vector<std::byte>> unlinked_;  // landed before one in front of them
  std::map<std::uint64_t, Block> blocks_;
  std::map<std::uint64_t, std::uint64_t> at_;  // offset of each of them -> its sequence
  std::uint64_t sequence_ = 0;                 // of the last block in effect
  std::uint64_t known_ = 0;                    // the same, when the process started
  std::uint64_t claimed_ = 0;                  // the highest durable_sequence in the chain
  std::uint64_t claimed_by_superblock_ = 0;
  std::uint64_t open_count_ = 0;
  std::uint64_t recycled_ = 0;  // segments that were used again
  Ballot promised_;
  std::map<Slot, Vote> votes_;  // the newest of each slot
  std::set<Vote> every_vote_;
  std::set<std::pair<Slot, Checksum>> chosen_;
  std::multimap<Slot, RecordPlace> places_;
  bool expects_first_block_ = false;
};

}  // namespace synod::sim
