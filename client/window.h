// The entries of one session that are not finished yet, in sequence order, in memory that was allocated at construction.
//
// An entry is stored as it will lie on the wire ({ u32 length | payload }), in a ring of bytes, never torn at the ring's end.
// Entries wait until they are packed into a range: consecutive entries, contiguous in memory, that one append message carries.
// A range is formed once and never cut anew, so that a retransmission is the same message as the first attempt.
//
//      front                     next_unpacked              end
//        | range | range | range |  queued entries           |
//
// Invariants
//   - ranges are in sequence order without holes, and the range of every unanswered packed entry is in the list.
//   - an entry's bytes stay in place until `pop`, which takes finished entries from the front only.
// Thread: one. No heap after construction.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/ring.h"
#include "wire/client.h"

namespace synod::client {

// What one append message carries, and how its transmission stands. All of it has one level.
struct Range {
  Sequence first;
  std::uint32_t count = 0;
  std::uint32_t answered = 0;  // entries
  std::uint64_t message_id = 0;
  std::uint32_t skipped = 0;  // entries at the start that this message id leaves out
  std::uint32_t attempts = 0;
  std::uint64_t sent_us = 0;
  ReplicaId sent_to;
  bool outstanding = false;  // the last attempt was neither answered nor refused
  bool doubtful = false;     // an earlier attempt was neither answered nor refused, so it may still be proposed

  [[nodiscard]] Sequence end() const { return first + count; }
  [[nodiscard]] bool done() const { return answered == count; }
  // Every attempt was refused, or there was none.
  [[nodiscard]] bool certainly_not_proposed() const { return !outstanding && !doubtful && answered == 0; }
};

struct Entry {
  std::uint32_t offset = 0;  // of its length field in the ring of bytes
  std::uint32_t bytes = 0;   // with its length field
  std::uint64_t submitted_us = 0;
  Lsn lsn;
  Ballot ballot;                                // of the leader that answered
  wire::AckLevel ack = wire::AckLevel::quorum;  // asked for
  wire::AckLevel met = wire::AckLevel::quorum;  // answered: at least what was asked for
  bool answered = false;
};

class AppendWindow {
 public:
  AppendWindow(std::size_t entries_max, std::size_t bytes_max);

  // Starts again at sequence 1. Everything must be popped.
  void restart();

  // Copies the payload in. Nothing: no room for it now.
  std::optional<Sequence> push(Bytes payload, std::uint64_t now_us, wire::AckLevel ack = wire::AckLevel::quorum);

  [[nodiscard]] bool empty() const { return entries_.empty(); }
  [[nodiscard]] std::size_t entries() const { return entries_.size(); }
  [[nodiscard]] std::size_t bytes() const { return bytes_used_; }
  [[nodiscard]] Sequence front_sequence() const { return front_; }
  [[nodiscard]] Sequence next_unpacked() const { return next_unpacked_; }
  [[nodiscard]] Sequence end() const { return front_ + entries_.size(); }
  [[nodiscard]] bool holds(Sequence sequence) const { return sequence >= front_ && sequence < end(); }
  [[nodiscard]] const Entry& entry(Sequence sequence) const { return entries_[sequence - front_]; }
  [[nodiscard]] bool any_answered() const { return answered_ > 0; }
  void pop();

  // Forms the next range from queued entries: at most so many, and so many bytes unless one entry alone is larger.
  bool pack(std::size_t entries_max, std::size_t bytes_max);
  [[nodiscard]] std::size_t ranges() const { return ranges_.size(); }
  [[nodiscard]] Range& range(std::size_t index) { return ranges_[index]; }
  [[nodiscard]] const Range& range(std::size_t index) const { return ranges_[index]; }
  // The index of the range that holds a packed sequence; ranges() when there is none.
  [[nodiscard]] std::size_t find(Sequence sequence) const;
  // The entries of a range from `from` on, as they go into the message.
  [[nodiscard]] Bytes bytes_from(const Range& range, Sequence from) const;

  // Notes where entries lie, as the leader of `ballot` says. What is unknown, known already or asked for more is passed over.
  // True: something new.
  bool answer(const wire::Appended& appended, Ballot ballot);

 private:
  [[nodiscard]] std::optional<std::uint32_t> place_for(std::size_t bytes) const;

  std::vector<std::byte> memory_;
  Ring<Entry> entries_;
  Ring<Range> ranges_;
  Sequence front_{1};
  Sequence next_unpacked_{1};
  std::size_t answered_ = 0;  // entries in the window that are answered and not popped
  std::size_t bytes_used_ = 0;
};

}  // namespace synod::client
