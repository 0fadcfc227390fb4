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
#include <span>
#include <vector>

#include "base/ring.h"
#include "storage/aligned_buffer.h"
#include "storage/journal.h"
#include "storage/layout.h"
#include "storage/recovery.h"

namespace synod::storage {

// How far into the reserve, at the end of the last free segment, a record may go.
//
//   | votes ...              | promises, members, repairs | checkpoints and pages that a trim waits for | trims |
//   start                    end - reserve                end - reserve / 2                    end - 2 blocks  end
//
// Promises come without end while nobody leads, and a trim must bring space back even then: so they stop half way. A checkpoint
// or a trim goes into the reserve only where segments are released for it, and then the reserve is whole again, further on.
enum class Reserve : std::uint8_t { none, half, most, all };

enum class BlockState : std::uint8_t { open, closed, in_flight, done };

// Where a block is made. Holds block_bytes_max.
struct BlockBuffer {
  MutableBytes bytes;
  std::uint32_t zero_from = 0;  // it is zero from here on
};

struct Block {
  BlockBuffer buffer;  // until the block is durable
  std::uint64_t offset = 0;
  std::uint32_t used = 0;  // header and records
  std::uint32_t record_count = 0;
  std::uint32_t checksum = 0;  // of its records so far
  BlockState state = BlockState::done;
  PersistNumber last_number;  // of its last record
  Slot commit;                // goes into its header, see close_open_block
  std::uint32_t segment = 0;
  std::uint32_t first_segment = 0;  // in its header
  bool is_told = false;             // its header names itself as our own position
  bool is_unbounded = false;        // goes into its header, taken when it is closed
  std::uint64_t asked_poll = 0;     // value of `polls` when it was asked for
};

struct ReadSlot {
  MutableBytes buffer;
  Location location;
  std::uint64_t token = 0;
  std::int32_t error = 0;
};

// What was read ahead, in whole device blocks.
struct Stretch {
  MutableBytes buffer;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;  // 0: nothing
  std::uint64_t used = 0;   // value of `stretch_uses` when it was last asked for or looked at
  bool is_coming = false;

  [[nodiscard]] bool covers(Location location) const {
    return location.offset >= offset && location.offset + location.bytes <= offset + bytes;
  }
};

// What a record takes in a block.
[[nodiscard]] constexpr std::uint64_t padded_record_bytes(std::size_t body_bytes) {
  return align_up(sizeof(wire::RecordHeader) + body_bytes, 8);
}
inline constexpr std::size_t record_bytes_max = sizeof(wire::RecordHeader) + body_bytes_max;
// A record that starts and ends anywhere, in whole device blocks.
inline constexpr std::size_t read_buffer_bytes = align_up(record_bytes_max, device_block_bytes) + device_block_bytes;

// Tokens at the device: what kind of operation, and which one.
enum class TokenKind : std::uint8_t { write = 1, read = 2, blocks = 3, aside = 4, stretch = 5 };
[[nodiscard]] constexpr std::uint64_t device_token(TokenKind kind, std::uint64_t number) {
  return (static_cast<std::uint64_t>(kind) << 60) | number;
}

// Where a checkpoint begins, and when it is whole.
struct CheckpointPlace {
  CheckpointAt at;
  std::uint32_t segment = 0;
  std::uint64_t bytes = 0;
  PersistNumber last_number;  // of its last part; 0: not all parts are staged
};

// A trim that wants to free segments.
struct PendingRelease {
  Slot below;
  PersistNumber witness;
  std::uint32_t first_segment = 0;
};

struct Journal::State {
  State(DeviceRef from_device, const JournalLimits& from_limits, const Superblock& from_superblock);
  ~State();
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  DeviceRef device;
  // What the device's preparer says, as of the last collect(): what a record was granted must not go before it is staged.
  std::uint64_t ready_bytes = 0;
  bool preparing_failed = false;
  JournalLimits limits;
  Superblock superblock;  // of this open
  Geometry geometry;
  std::uint64_t reserve_bytes = 0;  // at the end of the last segment, for control records
  Recovered recovered;

  // The chain.
  AlignedBuffer block_memory;
  std::vector<Block> blocks;              // block `sequence` is blocks[sequence % size]
  std::vector<BlockBuffer> free_buffers;  // the last one freed is used first: it is still in the cache
  std::uint64_t durable_sequence = 0;
  std::uint64_t sent_sequence = 0;
  std::uint64_t told_sequence = 0;
  std::uint64_t last_sequence = 0;
  std::uint64_t previous = 0;     // chain value of block sent_sequence
  std::uint64_t next_offset = 0;  // behind the last closed or sent block
  std::uint32_t segment = 0;      // that the last block lies in
  Watermarks watermarks;
  bool is_unbounded = false;                // the newest repair record says so
  BlockKind next_kind = BlockKind::normal;  // of the next block to be sent

  // The ring of segments.
  std::vector<SegmentInfo> segments;
  std::uint32_t first_segment = 0;      // the oldest one that may not be used again, by the newest durable block
  std::uint32_t announced_segment = 0;  // the same, by the newest block that was sent
  std::optional<PendingRelease> release;
  CheckpointPlace checkpoint;         // durable
  CheckpointPlace staged_checkpoint;  // the newest that was begun
  std::uint64_t bytes_since_checkpoint = 0;
  std::uint64_t now_s = 0;
  PersistNumber staged_number;
  PersistNumber durable_number;

  // Reads.
  AlignedBuffer read_memory;
  std::vector<ReadSlot> reads;
  std::vector<std::uint32_t> free_reads;
  Ring<std::uint32_t> finished_reads;
  std::optional<std::uint32_t> shown_read;  // its buffer is with the caller until the next result is asked for
  AlignedBuffer stretch_memory;
  std::vector<Stretch> stretches;
  std::uint64_t stretch_uses = 0;
  enum class BlocksState : std::uint8_t { idle, asked, finished };
  BlocksState blocks_state = BlocksState::idle;
  Asker blocks_asker{};
  AlignedBuffer blocks_buffer;
  std::uint64_t blocks_offset = 0;
  std::uint64_t blocks_bytes = 0;
  bool checkpoint_needed = false;  // from the reserve, if need be
  bool checkpoint_wanted = false;
  // A write beside the chain: the same block at one place after another.
  AlignedBuffer aside_buffer;
  std::array<std::uint64_t, superblock_copies> aside_offsets{};
  std::uint64_t aside_bytes = 0;  // of each
  std::uint32_t aside_count = 0;
  std::uint32_t aside_done = 0;
  std::optional<Superblock> aside_superblock;  // in effect when all its copies are written

  std::uint32_t operations_in_flight = 0;
  std::uint64_t polls = 0;
  std::optional<int> failed;
  JournalCounters counters;

  [[nodiscard]] Block& block(std::uint64_t sequence) { return blocks[sequence % blocks.size()]; }
  [[nodiscard]] const Block& block(std::uint64_t sequence) const { return blocks[sequence % blocks.size()]; }
  [[nodiscard]] const Block* open_block() const;
  [[nodiscard]] bool fits_open_block(const Block& open, Reserve reserve, std::uint64_t record_bytes) const;
  [[nodiscard]] Reserve reserve_of(wire::RecordKind kind) const;
  [[nodiscard]] std::uint64_t segment_limit(std::uint32_t index, Reserve reserve) const;
  [[nodiscard]] bool is_last_ready(std::uint32_t index) const;
  [[nodiscard]] std::uint64_t end_offset() const;
  struct Place {
    std::uint32_t segment = 0;
    std::uint64_t offset = 0;
  };
  [[nodiscard]] std::optional<Place> place(Reserve reserve, std::uint64_t length, std::uint64_t usable_bytes) const;
  [[nodiscard]] std::optional<Place> new_block(Reserve reserve, std::uint64_t record_bytes) const;
  [[nodiscard]] std::uint32_t age_of(std::uint32_t index) const;
  [[nodiscard]] bool is_kept(std::uint32_t index) const;
  [[nodiscard]] std::uint32_t first_kept(Slot below, const std::optional<CheckpointAt>& base) const;
  void close_open_block();
  Block& begin_block(Place at);
  static Location put(Block& block, const wire::RecordHeader& header, Bytes body);
  [[nodiscard]] std::uint32_t generation_of(const Block& sent) const;
  void begin_segment(std::uint32_t index, const BlockHeader& first);
  void note_checkpoint(const Block& block, Slot applied, Bytes body);
  void note_repair(const wire::RecordHeader& header);
  void announce_release(const Block& sent);
  void took_effect(const Block& durable);
  void send(Block& sent);
  void finish_write(std::uint64_t sequence, std::int32_t error);
  void finish(const Completion& completion);
  bool collect();
  void wait_for_block(std::uint64_t sequence);
  void begin_aside(std::span<const std::uint64_t> offsets, std::uint64_t bytes);
  void write_aside();
  void finish_aside(std::int32_t error);
  void resume(const ChainEnd& end, std::vector<SegmentInfo> known_segments);
  [[nodiscard]] Stretch* stretch_with(Location location);
  void finish_stretch(std::uint64_t index, std::int32_t error);
  [[nodiscard]] Result<> begin_open();
};

}  // namespace synod::storage
