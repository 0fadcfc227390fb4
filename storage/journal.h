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
//   - a block is written once, at one place, and never again while it holds an acknowledged record.
//   - before open() returns, a first block of the new open count is durable behind the recovered chain, so a discarded tail
//     cannot come back to life.
//   - a few blocks of space are reserved for control records (promise, members): votes stop before promises do.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "base/error.h"
#include "base/ids.h"
#include "storage/device.h"
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
  ReplicaId replica;
  std::uint16_t members = 0;  // number of initial members
  Uuid disk;
  std::uint64_t open_count = 0;
};

// Written into every block header; recovered from the newest valid one.
struct Watermarks {
  Ballot promised;
  Slot commit;
};

struct Recovered {
  Identity identity;      // with the new open count
  Watermarks watermarks;  // of the last block of the chain. `promised` covers every promise record seen
  std::uint64_t blocks = 0;
  std::uint64_t bytes = 0;            // of journal used
  std::uint64_t discarded_bytes = 0;  // of a torn tail that was never known durable
};

struct JournalLimits {
  std::uint32_t block_bytes_max = 1280U << 10;    // holds the largest record
  std::uint32_t block_bytes_target = 256U << 10;  // a block stops growing here
  std::uint32_t writes_in_flight = 4;
  std::uint32_t reads_in_flight = 16;
};

// A finished read. `record` points into the journal's buffer and is valid during the callback only; it has passed the
// gateway (both checksums). Nothing: the record could not be read back, which is reported as a fault, never as absence.
struct ReadResult {
  std::uint64_t token = 0;
  std::optional<wire::RecordView> record;
};

struct JournalCounters {
  std::uint64_t records = 0;
  std::uint64_t blocks_written = 0;
  std::uint64_t bytes_written = 0;  // with headers and padding
  std::uint64_t reads = 0;
  std::uint64_t reads_failed = 0;
};

class Journal {
 public:
  // Called once for each record of the chain, oldest first, during open(); the watermarks are those of its block's header.
  using RecordVisitor = std::function<void(const wire::RecordHeader&, Location, Bytes body, const Watermarks&)>;

  // Reads superblock and chain, counts this open, makes the first block of the new open count durable. `expected_cluster` and
  // `expected_replica` guard against a foreign directory. Blocks while it works. When it refuses, some records may have been
  // visited already. Verdicts are in storage/recovery.h.
  [[nodiscard]] static Result<std::unique_ptr<Journal>> open(DeviceRef device, ClusterId expected_cluster,
                                                             ReplicaId expected_replica, const JournalLimits& limits,
                                                             const RecordVisitor& visit);
  // Waits for what the device was asked for, at most 2 s (a device that was cut off should complete with errors); after that it
  // leaves its buffers to the device for ever.
  ~Journal();

  [[nodiscard]] const Recovered& recovered() const;

  // Whether a record with such a body can be staged now. False: buffers are full (try after poll) or space is out (has_space).
  [[nodiscard]] bool can_stage(wire::RecordKind kind, std::size_t body_bytes) const;
  // Whether space is left for one more vote of the largest size, beyond the reserve for control records.
  [[nodiscard]] bool has_space() const;

  struct Staged {
    PersistNumber number;  // durable() >= number means: on stable storage
    Location location;
  };
  // Copies the record into the open block. Needs can_stage().
  Staged stage(const wire::RecordHeader& header, Bytes body);

  // Closes the open block and asks the device for it, if a write slot is free. `watermarks` go into its header; a block that is
  // closed by stage takes those of the last flush. So they must hold for what is staged by now, and be told before a record is
  // staged that they made room for: recovery opens the window behind `commit`, and a vote beyond it would be refused.
  void flush(const Watermarks& watermarks);
  // Hands what was asked for and not yet taken to the kernel: the one system call of the data path. Call it in every turn of the
  // loop, also when nothing was staged: the kernel may have refused the last one.
  void submit();

  // Collects completions. Returns durable(). Calls `on_read` for each finished read.
  template <class OnRead>
  PersistNumber poll(OnRead&& on_read) {
    collect();
    while (const auto result = next_read_result()) on_read(*result);
    return durable();
  }

  [[nodiscard]] PersistNumber durable() const;
  [[nodiscard]] bool idle() const;  // nothing staged, nothing in flight
  // When the oldest write in flight was asked for, for stall detection: polls since then.
  [[nodiscard]] std::uint64_t oldest_write_polls() const;

  // Asks for a record that is durable. False: too many reads are in flight; try after poll.
  [[nodiscard]] bool read(Location location, std::uint64_t token);
  // The same, blocking, for start-up. The view is valid until the next call.
  [[nodiscard]] Result<wire::RecordView> read_now(Location location);

  // An errno if a write failed: this replica must stop voting.
  [[nodiscard]] std::optional<int> failed() const;

  [[nodiscard]] std::uint64_t bytes_used() const;
  [[nodiscard]] std::uint64_t bytes_capacity() const;
  [[nodiscard]] const JournalCounters& counters() const;
  [[nodiscard]] const DeviceInfo& device_info() const;

 private:
  struct State;
  explicit Journal(std::unique_ptr<State> state);
  void collect();
  [[nodiscard]] std::optional<ReadResult> next_read_result();

  std::unique_ptr<State> state_;
};

}  // namespace synod::storage
