// Reading a journal back: the chain of blocks from the newest checkpoint to where it ends, over whatever cannot be read. The
// verdicts are in storage/verdict.h.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/error.h"
#include "storage/block_reader.h"
#include "storage/journal.h"
#include "storage/layout.h"
#include "storage/verdict.h"

namespace synod::storage {

// How far behind the chain's end evidence is searched for: more than can have been in flight, with segments' unused ends. Further
// on, the first blocks of segments are looked at.
inline constexpr std::uint64_t evidence_bytes = 64U << 20;
inline constexpr std::size_t gaps_max = 256;

// The newest open discarded it: it was behind the end of the chain that this open found.
[[nodiscard]] inline bool is_discarded(const BlockHeader& header, const Superblock& superblock) {
  return header.open_count < superblock.open_count && header.sequence > superblock.durable_sequence;
}

// The first block of each segment, as far as it can be read and is of this disk.
class Survey {
 public:
  [[nodiscard]] static Survey of(DeviceRef device, const Superblock& superblock);

  [[nodiscard]] const std::vector<std::optional<BlockHeader>>& heads() const { return heads_; }
  // Where checkpoints begin that were durable once, the newest first: those that heads name, and the newest one that the newest
  // segment names. Without that, a start could take one whose segment was released since and is half written over.
  [[nodiscard]] std::vector<CheckpointAt> checkpoints(DeviceRef device, const Superblock& superblock) const;
  // The heads that were written when block `sequence` was known as durable, the oldest first.
  [[nodiscard]] std::vector<BlockHeader> witnesses_of(std::uint64_t sequence) const;
  // Checkpoints that blocks within any segment name, for where those above cannot be read. Reads the segments, the newest first,
  // until `use` says that it has found what it wants.
  void search_checkpoints(DeviceRef device, const Superblock& superblock, const std::function<bool(CheckpointAt)>& use) const;

 private:
  [[nodiscard]] std::vector<BlockHeader> newest_first() const;
  [[nodiscard]] std::optional<CheckpointAt> named_in(const BlockHeader& head, DeviceRef device,
                                                     const Superblock& superblock) const;

  std::vector<std::optional<BlockHeader>> heads_;
};

struct ChainEnd {
  std::uint64_t sequence = 0;  // of the last good block, 0: none
  std::uint64_t open_count = 0;
  std::uint32_t segment = 0;  // that it lies in
  std::uint32_t generation = 0;
  std::uint64_t offset = segments_offset;  // behind it
  std::uint64_t value = 0;                 // what the next block's `previous` must be
  CheckpointAt checkpoint;                 // the newest that was durable
  std::uint32_t first_segment = 0;
  Watermarks watermarks;
  std::uint64_t blocks = 0;
  std::uint64_t discarded_bytes = 0;
  std::uint64_t leap_to = 0;    // the highest sequence number that may have been durable, where the tail is lost
  bool has_checkpoint = false;  // that the scan began from
  bool tail_is_lost = false;
  bool is_unbounded = false;  // as the last block says
  std::vector<Gap> gaps;
};

class ChainScan {
 public:
  // Starts at the beginning of the journal.
  ChainScan(DeviceRef device, const Superblock& superblock, const Survey& survey, const Visitor& visitor);

  // Starts at a block instead, if it is there, can be read and holds records.
  [[nodiscard]] bool start_at(std::uint64_t offset, std::uint64_t sequence);
  // Starts at this one, which was read and may cover lost ones.
  void start_at(const BlockHeader& header);
  // Goes on by one good block, over no gap. False: there is none.
  [[nodiscard]] Result<bool> step();
  // Visits every record of the chain and judges its end.
  [[nodiscard]] Result<ChainEnd> run();
  [[nodiscard]] const ChainEnd& reached() const { return end_; }

 private:
  struct Found {
    BlockEvidence evidence = BlockEvidence::nothing;
    BlockHeader header;
  };
  // What lies behind a missing block, in the order of the ring.
  struct Behind {
    std::vector<BlockHeader> headers;  // whole ones; with `is_witnessed` the last one's payload is whole, too
    bool is_witnessed = false;         // and it was written when the missing block was known as durable
    std::uint64_t claimed = 0;         // the highest number of a block that was, whole or not; 0: there is none
  };
  [[nodiscard]] Result<Found> look_at(std::uint64_t offset);
  [[nodiscard]] Result<Found> find_next();
  [[nodiscard]] Result<Found> find_at_next_place();
  [[nodiscard]] Result<> take(const BlockHeader& header);
  [[nodiscard]] Result<> visit_records(const BlockHeader& header, Bytes payload);
  [[nodiscard]] bool payload_is_good(const BlockHeader& header);
  [[nodiscard]] Result<bool> go_on(BlockEvidence evidence);
  [[nodiscard]] bool is_superseded(const BlockHeader& header);
  [[nodiscard]] bool add(const BlockHeader& header, Behind& behind);
  [[nodiscard]] Behind search_behind();
  void end_at(BlockEvidence evidence, const Behind& behind);
  [[nodiscard]] Result<> leap(const Behind& behind);

  const Superblock& superblock_;
  Geometry geometry_;
  const Survey& survey_;
  BlockReader reader_;
  std::uint64_t ready_end_;
  const Visitor& visitor_;
  ChainEnd end_;
};

// The bytes of the checkpoint that begins in this block, put together; nothing if any of it cannot be read.
[[nodiscard]] std::optional<std::vector<std::byte>> read_checkpoint(DeviceRef device, const Superblock& superblock,
                                                                    const Survey& survey, CheckpointAt at);

}  // namespace synod::storage
