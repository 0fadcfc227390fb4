// The journal: the replicated log's only copy on this replica, an append-only chain of blocks on one device.
//
// A block is one durable write: a header, then whole records, then zeros up to the device's block size. Records that are staged
// while writes are in flight share the next block (group commit); several blocks are in flight. Durability is a prefix of the
// order of staging, whatever order completions come in.
//
// Ownership: the journal owns its block buffers and reads; it copies a record when it is staged (the one copy of the data path).
// Thread: one. Heap: none after open. Errors: the first failed write is final; see `failed`.
//
// Invariants
//   - `durable()` never passes a record whose block, or any earlier block, is not on stable storage.
//   - a block is written once, at one place, and never again while it holds a record that is needed.
//   - before open() returns, a first block of the new open count is durable behind the recovered chain, so a discarded tail
//     cannot come back to life.
//   - space is reserved for control records, see journal_state.h: votes stop before promises do, and both before a trim and the
//     checkpoint that it needs to bring space back.
//   - a segment is used again only when a durable block says that it is needed no more (`release`), and the newest durable
//     checkpoint, from which a start reads on, lies in none that was released.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "base/ids.h"
#include "storage/device.h"
#include "wire/limits.h"
#include "wire/record.h"

namespace synod::storage {

// Where a record (header and body) lies on the device.
struct Location {
  std::uint64_t offset = 0;
  std::uint32_t bytes = 0;
  constexpr bool operator==(const Location&) const = default;
};

// What a data directory says about itself.
struct Identity {
  ClusterId cluster;
  GroupId group;
  ReplicaId replica;
  std::uint16_t members = 0;  // number of initial members
  Uuid disk;
  std::uint64_t open_count = 0;
};

// Written into every block header; recovered from the newest valid one. None of them ever falls.
struct Watermarks {
  Ballot promised;
  Slot commit;
  Slot highest;                               // that this journal has ever held a record of
  Lsn tail;                                   // behind everything up to `commit`
  std::array<Position, members_max> heard{};  // by place: how far each member's disk got, as far as we heard; our own: as far as
                                              // we may have told
  // Where our own entry of `heard` is: a block that is written with it set may be told of, and names itself there. Unset while
  // the peers have not confirmed that this disk is not an old copy.
  static constexpr std::uint8_t nobody = 0xFF;
  std::uint8_t own_place = nobody;
};

// Blocks that were durable and cannot be read. What they held is bounded by the block behind them.
struct Gap {
  std::uint64_t first_sequence = 0;  // missing: from here
  std::uint64_t next_sequence = 0;   // up to the one before this block
  std::uint32_t segment = 0;         // of the last good block
  std::uint64_t open_count = 0;      // of the last good block
  std::uint64_t offset = 0;          // behind the last good block
  std::uint64_t next_offset = 0;     // of the good block behind the gap
  std::uint32_t next_generation = 0;
  std::uint64_t previous = 0;       // chain value of the last good block
  std::uint64_t next_previous = 0;  // what the block behind the gap says in `previous`
  Watermarks bound;                 // what the block behind the gap says
  bool is_unbounded = false;        // and it says that this replica was in unbounded doubt then: so it still is
};

struct Recovered {
  Identity identity;                  // with the new open count
  Watermarks watermarks;              // of the last block of the chain. `promised` covers every promise and every vote seen
  std::uint64_t sequence = 0;         // of the last block of the chain
  std::uint64_t blocks = 0;           // read
  std::uint64_t bytes = 0;            // of journal used
  std::uint64_t discarded_bytes = 0;  // of a torn tail that was never known durable
  bool has_checkpoint = false;        // that the start began from
  bool tail_is_lost = false;          // blocks behind the last one were durable, and nothing readable comes behind them
  std::vector<Gap> gaps;              // of what was read, oldest first
};

// The body of a checkpoint's record begins with this; what follows is this part of the checkpoint's bytes.
struct CheckpointPart {
  std::uint64_t id = 0;  // the same in all parts of one
  std::uint32_t part = 0;
  std::uint32_t parts = 0;
  std::uint64_t bytes = 0;  // of the whole checkpoint
};
static_assert(Format<CheckpointPart> && sizeof(CheckpointPart) == 24);

// A checkpoint in the journal.
struct CheckpointAt {
  std::uint64_t sequence = 0;  // of the block in which it begins; 0: none
  std::uint64_t offset = 0;    // of that block
  Slot applied;                // the last slot that it covers
  constexpr bool operator==(const CheckpointAt&) const = default;
};

inline constexpr std::size_t checkpoint_part_bytes = 128U << 10;
inline constexpr std::uint64_t checkpoint_bytes_max = 64U << 20;

struct SegmentInfo {
  std::uint64_t first_sequence = 0;  // of its first block; 0: never used, or not to be read
  std::uint32_t generation = 0;
  std::uint64_t written_s = 0;  // when its first block was written
  Slot commit;                  // watermarks of its first block
  Slot highest;
  Lsn tail;
  CheckpointAt checkpoint;  // that its first block names
};

struct JournalLimits {
  std::uint32_t block_bytes_max = 1280U << 10;    // holds the largest record
  std::uint32_t block_bytes_target = 512U << 10;  // a block stops growing here
  std::uint32_t writes_in_flight = 4;
  std::uint32_t blocks_waiting = 8;  // for one of these to end; a leader whose are full refuses appends as busy
  std::uint32_t reads_in_flight = 16;
  std::uint32_t stretches = 16;  // that are kept of what was read ahead
};

// A finished read. `record` points into the journal's buffer and is valid during the callback only; it has passed the
// gateway (both checksums). Nothing: the record could not be read back, which is reported as a fault, never as absence.
struct ReadResult {
  std::uint64_t token = 0;
  std::optional<wire::RecordView> record;
};

// Called during open(). `checkpoint` comes first, at most once with success; when it refuses (or there is none), the start reads
// from an older one, or from the beginning. Then records and gaps in the order of the chain; the watermarks of a record are those
// of its block's header.
struct Visitor {
  std::function<Result<>(Bytes)> checkpoint;
  std::function<void(const wire::RecordHeader&, Location, Bytes body, const Watermarks&)> record;
  std::function<void(const Gap&)> gap;
  std::function<void()> healed;  // here were blocks that were lost: what they held was journalled again behind it
};

struct JournalCounters {
  std::uint64_t records = 0;
  std::uint64_t blocks_written = 0;
  std::uint64_t bytes_written = 0;  // with headers and padding
  std::uint64_t reads = 0;
  std::uint64_t reads_failed = 0;
  std::uint64_t stretches_read = 0;
};

class Journal {
 public:
  // Reads superblock and chain, counts this open, makes the first block of the new open count durable. `expected_cluster` and
  // `expected_replica` guard against a foreign directory. Blocks while it works. When it refuses, some records may have been
  // visited already. Verdicts are in storage/verdict.h.
  [[nodiscard]] static Result<std::unique_ptr<Journal>> open(DeviceRef device, ClusterId expected_cluster,
                                                             ReplicaId expected_replica, const JournalLimits& limits,
                                                             const Visitor& visit);
  // Waits for what the device was asked for, at most 2 s (a device that was cut off should complete with errors); after that it
  // leaves its buffers to the device for ever.
  ~Journal();

  [[nodiscard]] const Recovered& recovered() const;

  // Whether a record with such a body can be staged now. False: buffers are full (try after poll) or space is out (has_space).
  [[nodiscard]] bool can_stage(wire::RecordKind kind, std::size_t body_bytes) const;
  // The largest body that a record of this journal can have: a segment holds a whole block.
  [[nodiscard]] std::size_t largest_body() const;
  // Whether space is left for one more vote of the largest size, beyond the reserve for control records.
  [[nodiscard]] bool has_space() const;

  struct Staged {
    PersistNumber number;  // durable() >= number means: on stable storage
    Location location;
  };
  // Seals the record and copies it into the open block, whose checksum is made of that in the header: it must be the body's,
  // which is not read for it. Needs can_stage().
  Staged stage(const wire::RecordHeader& header, Bytes body);

  // Closes the open block and asks the device for it, if a write slot is free. `watermarks` go into its header; a block that is
  // closed by stage takes those of the last flush. So they must hold for what is staged by now, and be told before a record is
  // staged that they made room for: recovery opens the window behind `commit`, and a vote beyond it would be refused.
  // `at_leisure`: nobody waits for what is staged, and the open block stays open for more.
  void flush(const Watermarks& watermarks, bool at_leisure = false);
  // Nothing is staged that the device was not asked for.
  [[nodiscard]] bool is_flushed() const;
  // Hands what was asked for and not yet taken to the kernel: the one system call of the data path. Call it in every turn of the
  // loop, also when nothing was staged: the kernel may have refused the last one.
  void submit();

  // Collects completions. False: nothing was completed since the last time.
  bool collect();
  // Calls `on_read` for each read that was collected.
  template <class OnRead>
  void take_reads(OnRead&& on_read) {
    while (const auto result = next_read_result()) on_read(*result);
  }
  // Both. Returns durable().
  template <class OnRead>
  PersistNumber poll(OnRead&& on_read) {
    collect();
    take_reads(on_read);
    return durable();
  }

  // Everything below slot `below` is trimmed: segments that hold nothing else may be used again, as soon as a block that says so
  // is durable, with the record `witness` (of the trim) and a commit watermark that reaches up to `below`. Call it again after
  // such a block if nothing was freed: the watermark may have come too early.
  void release(Slot below, PersistNumber witness);
  // Whether a release waits for such a block. If the journal is idle, none comes by itself.
  [[nodiscard]] bool is_releasing() const;
  // The newest durable checkpoint that covers no slot from `slot` on. A replica that has let go of everything below `slot` keeps
  // it, and what lies behind it: a peer that is farther behind gets its state, and then the slots, and lacks nothing. (One of
  // several in one segment may be unknown after a start.)
  [[nodiscard]] std::optional<CheckpointAt> newest_checkpoint_below(Slot slot) const;
  // Whether it names a place that is not released.
  [[nodiscard]] bool keeps(const CheckpointAt& at) const;
  // Whether `release` would let go of a segment.
  [[nodiscard]] bool can_release(Slot below) const;
  // Whether `release` could let go of more if there were a newer checkpoint.
  [[nodiscard]] bool release_lacks_checkpoint(Slot below) const;
  // Whether it is time for a checkpoint: the last one is a segment behind, and was small beside what was written since.
  [[nodiscard]] bool wants_checkpoint() const;
  // Seconds since 1970, for the headers of the blocks to come.
  void set_time(std::uint64_t now_s);
  // Asks for a checkpoint soon, because it brings space back: the newest one lies where it keeps segments from being released.
  // Until it is begun, checkpoints and pages of the index may use the reserve.
  void need_checkpoint();
  // Asks for one as soon as there is space for it.
  void want_checkpoint();
  // Whether the newest durable checkpoint was begun behind this block.
  [[nodiscard]] bool has_checkpoint_behind(std::uint64_t sequence) const;
  // Whether a place on the device lies in the gap.
  [[nodiscard]] bool lies_in(const Gap& gap, std::uint64_t offset) const;
  // Writes beside the chain; one at a time. `is_writing_aside` until it is durable (or the disk has failed).
  [[nodiscard]] bool is_writing_aside() const;
  // Writes over the place of lost blocks, so that the chain is whole again. Nothing that they held may be needed any more. False:
  // another one is not finished, or this gap cannot be closed: its place is in use again, or it spans a whole segment.
  bool heal(const Gap& gap);
  // Makes the open count at least `floor`, in the superblock and then in the blocks to come; for a replica that does not vote.
  // False: another one is not finished. The identity in recovered() changes when it is durable.
  bool raise_open_count(std::uint64_t floor);

  [[nodiscard]] PersistNumber durable() const;
  // Of the last block of the durable prefix.
  [[nodiscard]] std::uint64_t durable_sequence() const;
  // Of the last block of the durable prefix that was written with `own_place` set; 0: none in this open.
  [[nodiscard]] std::uint64_t told_sequence() const;
  [[nodiscard]] bool idle() const;        // nothing staged, nothing in flight
  [[nodiscard]] bool is_at_work() const;  // a write or a read is in flight
  // When the oldest write in flight was asked for, for stall detection: polls since then.
  [[nodiscard]] std::uint64_t oldest_write_polls() const;

  // Asks for a record that is durable. False: too many reads are in flight; try after poll.
  [[nodiscard]] bool read(Location location, std::uint64_t token);
  // Reading ahead. A stretch lies between the start of one durable record and the end of another. The journal keeps those that
  // were used last, as they were when they were read: what lies there may have been written over since. Whether a stretch may be
  // so long: it has stretch_bytes at most, or holds one record, and lies in one segment.
  static constexpr std::uint64_t stretch_bytes = 256U << 10;
  [[nodiscard]] bool fits_stretch(Location stretch) const;
  // Asks for a stretch that fits, in place of the one that was used longest ago. False: all of them are being read.
  [[nodiscard]] bool read_ahead(Location stretch);
  // The record here, if a stretch holds it and it passes the gateway (both checksums). Valid until the next read_ahead.
  [[nodiscard]] std::optional<wire::RecordView> held(Location location);
  // Whether a stretch holds its place, or is being read and will.
  [[nodiscard]] bool is_at_hand(Location location) const;
  // What a stretch holds here is not what the caller knows to lie here: the stretch is given up.
  void drop_held(Location location);

  // Asks for whole device blocks; one at a time, for all who ask. False: the last one is not taken yet.
  enum class Asker : std::uint8_t { scrub, checkpoint };
  [[nodiscard]] bool read_blocks(Asker asker, std::uint64_t offset, std::uint64_t bytes);
  // What it brought, once; nothing if it is not finished, or another's. What cannot be read is empty. Valid until the next
  // read_blocks.
  struct BlocksRead {
    std::uint64_t offset = 0;
    Bytes bytes;
  };
  [[nodiscard]] std::optional<BlocksRead> take_blocks(Asker asker);

  // An errno if a write failed: this replica must stop voting.
  [[nodiscard]] std::optional<int> failed() const;

  // From the oldest segment that is needed to the end of what is staged.
  [[nodiscard]] std::uint64_t bytes_used() const;
  [[nodiscard]] std::uint64_t bytes_capacity() const;
  // That can be written before anything is released: up to the oldest segment that is needed, or, while no more segments can be
  // made ready, to the end of those that are.
  [[nodiscard]] std::uint64_t bytes_free() const;
  [[nodiscard]] std::uint32_t segments_ready() const;
  [[nodiscard]] bool preparing_failed() const;
  [[nodiscard]] std::span<const SegmentInfo> segments() const;
  [[nodiscard]] std::uint32_t first_segment() const;    // the oldest that is needed
  [[nodiscard]] std::uint32_t current_segment() const;  // the one that is written
  [[nodiscard]] std::uint32_t segments_free() const;
  [[nodiscard]] std::uint64_t segment_bytes() const;
  [[nodiscard]] const JournalCounters& counters() const;
  [[nodiscard]] const DeviceInfo& device_info() const;

 private:
  friend class Scrub;
  friend class CheckpointReader;
  struct State;
  explicit Journal(std::unique_ptr<State> state);
  [[nodiscard]] std::optional<ReadResult> next_read_result();

  std::unique_ptr<State> state_;
};

}  // namespace synod::storage
