// Reading a journal back: the chain of blocks from the newest checkpoint to where it ends, over whatever cannot be read. The
// verdicts are in storage/verdict.h.
#pragma once

#include <cstdint>
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

// The first block of each segment, as far as it can be read and is of this disk.
class Survey {
 public:
  [[nodiscard]] static Survey of(DeviceRef device, const Superblock& superblock);

  [[nodiscard]] const std::vector<std::optional<BlockHeader>>& heads() const { return heads_; }
  // Where checkpoints begin that were durable once, the newest first.
  struct CheckpointAt {
    std::uint64_t sequence = 0;
    std::uint64_t offset = 0;
  };
  [[nodiscard]] std::vector<CheckpointAt> checkpoints() const;
  // The oldest head that was written when block `sequence` was known as durable.
  [[nodiscard]] const BlockHeader* witness_of(std::uint64_t sequence) const;

 private:
  std::vector<std::optional<BlockHeader>> heads_;
};

struct ChainEnd {
  std::uint64_t sequence = 0;  // of the last good block, 0: none
  std::uint64_t open_count = 0;
  std::uint32_t segment = 0;  // that it lies in
  std::uint32_t generation = 0;
  std::uint64_t offset = segments_offset;  // behind it
  std::uint64_t value = 0;                 // what the next block's `previous` must be
  std::uint64_t checkpoint_sequence = 0;
  std::uint64_t checkpoint_offset = 0;
  std::uint32_t first_segment = 0;
  Watermarks watermarks;
  std::uint64_t blocks = 0;
  std::uint64_t discarded_bytes = 0;
  std::uint64_t leap_to = 0;  // the highest sequence number that may have been durable, where the tail is lost
  bool tail_is_lost = false;
  std::vector<Gap> gaps;
};

class ChainScan {
 public:
  // Starts at the beginning of the journal.
  ChainScan(DeviceRef device, const Superblock& superblock, const Survey& survey, const Visitor& visitor);

  // Starts at a block instead, if it is there and can be read.
  [[nodiscard]] bool start_at(std::uint64_t offset, std::uint64_t sequence);
  // Goes on by one good block, over no gap. False: there is none.
  [[nodiscard]] Result<bool> step();
  // Visits every record of the chain and judges its end.
  [[nodiscard]] Result<ChainEnd> run();

 private:
  struct Found {
    BlockEvidence evidence = BlockEvidence::nothing;
    BlockHeader header;
  };
  [[nodiscard]] Result<Found> look_at(std::uint64_t offset);
  [[nodiscard]] Result<Found> find_next();
  [[nodiscard]] Result<Found> find_at_next_place();
  [[nodiscard]] Result<> take(const BlockHeader& header);
  [[nodiscard]] Result<> visit_records(const BlockHeader& header, Bytes payload);
  [[nodiscard]] bool payload_is_good(const BlockHeader& header);
  [[nodiscard]] Result<bool> go_on(BlockEvidence evidence);
  void search_behind(std::vector<BlockHeader>& found);
  void end_at(BlockEvidence evidence, const std::vector<BlockHeader>& behind);
  [[nodiscard]] Result<> leap(std::vector<BlockHeader>& behind);

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
                                                                    const Survey& survey, Survey::CheckpointAt at);

}  // namespace synod::storage
