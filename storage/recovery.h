// Reading a journal back: the chain of blocks from the first one to where it breaks, and the verdict on the break.
//
//   evidence at the end of the chain                                             verdict
//   nothing of this disk further on says that the missing block was durable      intact, or a torn tail: discarded
//   a later block, or the superblock, says that the missing block was durable    damaged: refuse, this replica must not vote
//   a valid block of another format version, or with records of unknown kind     refuse: use the version that wrote it
//   a block of a later open than the superblock knows                            stale superblock: refuse
//   the device cannot read                                                       refuse
//
// Why a discarded block stays dead: a block is accepted only at the end of the chain, with the next sequence number, with the
// chain value of the block before it, and with an open count not below that one's. Recovery writes a first block of a new open
// count behind the last good one before anybody is answered; from then on every block of the discarded tail has the wrong
// chain value and an open count below its would-be predecessor's. Before that, nothing changes on the disk but the
// superblock, so that another recovery reads the same bytes and comes to the same verdict.
//
// Why the evidence is never wrong: a block claims a sequence number as durable only after the device said so, durable blocks
// are in every later recovery's chain, and a number that was durable once is never given to another block.
#pragma once

#include <cstdint>
#include <optional>

#include "base/error.h"
#include "storage/block_reader.h"
#include "storage/journal.h"
#include "storage/layout.h"

namespace synod::storage {

// How far behind the chain's end evidence is searched for: more than can have been in flight, with segments' unused ends.
inline constexpr std::uint64_t evidence_bytes = 64U << 20;

struct ChainEnd {
  std::uint64_t sequence = 0;  // of the last good block, 0: none
  std::uint64_t open_count = 0;
  std::uint64_t offset = segments_offset;  // behind it
  std::uint64_t value = 0;                 // what the next block's `previous` must be
  Watermarks watermarks;
  std::uint64_t discarded_bytes = 0;
};

class ChainScan {
 public:
  ChainScan(DeviceRef device, const Superblock& superblock, const Journal::RecordVisitor& visit);

  // Visits every record of the chain and judges its end.
  [[nodiscard]] Result<ChainEnd> run();

 private:
  // True: the block at `offset` continues the chain, and end_ is behind it now. False: it does not. Error: refuse to open.
  [[nodiscard]] Result<bool> follow(std::uint64_t offset);
  [[nodiscard]] Result<bool> follow_block(const BlockHeader& header);
  [[nodiscard]] Result<> visit_records(const BlockHeader& header, Bytes payload);
  [[nodiscard]] Result<bool> next();
  [[nodiscard]] Result<> judge_end();
  [[nodiscard]] Error damaged(std::string_view witness) const;

  const Superblock& superblock_;
  Geometry geometry_;
  BlockReader reader_;
  const Journal::RecordVisitor& visit_;
  ChainEnd end_;
};

}  // namespace synod::storage
