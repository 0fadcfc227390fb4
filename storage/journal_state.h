// What a Journal keeps. Private to journal.cc (appending and reading) and recovery.cc (opening).
//
// Blocks are numbered by their sequence and live in a ring of buffers:
//
//   durable_sequence  <  in flight  <=  sent_sequence  <  closed, waiting  <  open  ==  last_sequence
//
// Slots for writes are freed in the order of the chain, not of completion: so at most `writes_in_flight` blocks lie behind the
// first one that is not durable, which bounds what recovery may find behind a torn block.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "base/ring.h"
#include "storage/aligned_buffer.h"
#include "storage/journal.h"
#include "storage/layout.h"

namespace synod::storage {

enum class BlockState : std::uint8_t { open, closed, in_flight, done };

struct Block {
  MutableBytes buffer;
  std::uint64_t offset = 0;
  std::uint32_t used = 0;  // header and records
  std::uint32_t record_count = 0;
  BlockState state = BlockState::done;
  PersistNumber last_number;     // of its last record
  Slot commit;                   // goes into its header, see close_open_block
  std::uint64_t asked_poll = 0;  // value of `polls` when it was asked for
};

struct ReadSlot {
  MutableBytes buffer;
  Location location;
  std::uint64_t token = 0;
  std::int32_t error = 0;
};

inline constexpr std::size_t record_bytes_max = sizeof(wire::RecordHeader) + body_bytes_max;
// A record that starts and ends anywhere, in whole device blocks.
inline constexpr std::size_t read_buffer_bytes = align_up(record_bytes_max, device_block_bytes) + device_block_bytes;

// Tokens at the device: what kind of operation, and which one.
enum class TokenKind : std::uint8_t { write = 1, read = 2, read_now = 3 };
[[nodiscard]] constexpr std::uint64_t device_token(TokenKind kind, std::uint64_t number) {
  return (static_cast<std::uint64_t>(kind) << 60) | number;
}

struct Journal::State {
  State(DeviceRef from_device, const JournalLimits& from_limits, const Superblock& from_superblock);
  ~State();
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  DeviceRef device;
  JournalLimits limits;
  Superblock superblock;  // of this open
  Geometry geometry;
  std::uint64_t reserve_bytes = 0;  // at the end of the last segment, for control records
  Recovered recovered;

  // The chain.
  AlignedBuffer block_memory;
  std::vector<Block> blocks;  // block `sequence` is blocks[sequence % size]
  std::uint64_t durable_sequence = 0;
  std::uint64_t sent_sequence = 0;
  std::uint64_t last_sequence = 0;
  std::uint64_t previous = 0;     // chain value of block sent_sequence
  std::uint64_t next_offset = 0;  // behind the last closed or sent block
  Watermarks watermarks;
  PersistNumber staged_number;
  PersistNumber durable_number;

  // Reads.
  AlignedBuffer read_memory;
  std::vector<ReadSlot> reads;
  std::vector<std::uint32_t> free_reads;
  Ring<std::uint32_t> finished_reads;
  std::optional<std::uint32_t> shown_read;  // its buffer is with the caller until the next result is asked for
  AlignedBuffer read_now_buffer;
  std::optional<std::int32_t> read_now_error;  // set by the completion

  std::uint32_t operations_in_flight = 0;
  std::uint64_t polls = 0;
  std::optional<int> failed;
  JournalCounters counters;

  [[nodiscard]] Block& block(std::uint64_t sequence) { return blocks[sequence % blocks.size()]; }
  [[nodiscard]] const Block& block(std::uint64_t sequence) const { return blocks[sequence % blocks.size()]; }
  [[nodiscard]] const Block* open_block() const;
  [[nodiscard]] bool fits_open_block(const Block& open, bool control, std::uint64_t record_bytes) const;
  [[nodiscard]] std::uint64_t segment_limit(std::uint32_t segment, bool control) const;
  [[nodiscard]] std::uint64_t end_offset() const;
  [[nodiscard]] std::optional<std::uint64_t> place(bool control, std::uint64_t length) const;
  [[nodiscard]] bool can_open_block(bool control, std::uint64_t record_bytes) const;
  void close_open_block();
  Block& begin_block(std::uint64_t offset);
  void send(Block& sent);
  void finish_write(std::uint64_t sequence, std::int32_t error);
  void finish(const Completion& completion);
  void collect();
  void wait_for_block(std::uint64_t sequence);
};

}  // namespace synod::storage
