// Recovery's decision table: what is found where the chain of blocks should go on, and what that means.

// clang-format off
//   case              superblock  the next block      who knows that it was durable   verdict
//   intact            ours        follows             -                               go on
//   end of the log    ours        nothing there       nobody                          the log ends here
//   torn tail         ours        unreadable          nobody                          the log ends here: it was never acknowledged
//   misdirected tail  ours        another place's     nobody                          the log ends here
//   corrupt           ours        unreadable          a later block                   go on behind it: bounded doubt
//   misdirected       ours        another place's     a later block                   go on behind it: bounded doubt
//   wiped             ours        nothing there       a later block                   go on behind it: bounded doubt
//   lost tail         ours        any of these        a later block, damaged, too     the log ends here: unbounded doubt
//   lost tail         ours        any of these        the superblock                  the log ends here: unbounded doubt
//   stale image       ours        any of these        a peer                          the log ends here: unbounded doubt
//   foreign disk      another's   -                   -                               refuse
//   blank disk        none        -                   -                               refuse
// clang-format on
//
// "A later block" is one of this disk, behind the missing one, that was written when the missing one was known as durable; the
// writes in flight at a crash know no such thing of each other, which is what makes a torn tail different from damage. If only
// its header can be read, it is a witness of what is lost, but nothing can go on behind it.
// A bounded doubt: the block behind the gap says what ballot was promised by then and which slots were touched by then (rule 6).
// An unbounded one asks every other member. The peers' word comes last (consensus/witness.h): until a quorum has given it nothing
// is voted.
//
// Why a discarded block stays dead: a block follows only with the next sequence number, the chain value of the block before it,
// and an open count not below that one's. Recovery writes a first block of a new open count behind the last good one before
// anybody is answered; from then on every block of the discarded tail has the wrong chain value and an open count below its
// would-be predecessor's. Before that nothing changes on the disk but the superblock, so that another recovery reads the same
// bytes and comes to the same verdict.
//
// Why the evidence is never wrong: a block claims a sequence number as durable only after the device said so, durable blocks
// are in every later recovery's chain, and a number that was durable once is never given to another block. So a segment that is
// used again cannot deceive either: all its old blocks have lower numbers.
//
// A discarded block is no evidence: it says what was durable, but nothing goes on behind it, and its word of what was promised is
// older than the opens that discarded it. The superblock tells it apart: of an open before the newest, and of a sequence number
// above the last one that the newest open found. One that an earlier open discarded was written over; if the disk lost that
// write, the block behind it tells: it is of a later open and says another chain value of its predecessor.
#pragma once

#include <array>
#include <cstdint>

namespace synod::storage {

enum class DiskEvidence : std::uint8_t { ours, foreign, blank };
enum class BlockEvidence : std::uint8_t { follows, nothing, unreadable, elsewhere };
enum class Witness : std::uint8_t { nobody, later_block, damaged_block, superblock, peer };
enum class Verdict : std::uint8_t { go_on, end, bounded, unbounded, refuse };

struct VerdictRow {
  const char* name;
  DiskEvidence disk;
  BlockEvidence block;
  Witness witness;
  Verdict verdict;
};

inline constexpr std::array verdicts{
    VerdictRow{"intact", DiskEvidence::ours, BlockEvidence::follows, Witness::nobody, Verdict::go_on},
    VerdictRow{"end of the log", DiskEvidence::ours, BlockEvidence::nothing, Witness::nobody, Verdict::end},
    VerdictRow{"torn tail", DiskEvidence::ours, BlockEvidence::unreadable, Witness::nobody, Verdict::end},
    VerdictRow{"misdirected tail", DiskEvidence::ours, BlockEvidence::elsewhere, Witness::nobody, Verdict::end},
    VerdictRow{"corrupt", DiskEvidence::ours, BlockEvidence::unreadable, Witness::later_block, Verdict::bounded},
    VerdictRow{"misdirected", DiskEvidence::ours, BlockEvidence::elsewhere, Witness::later_block, Verdict::bounded},
    VerdictRow{"wiped", DiskEvidence::ours, BlockEvidence::nothing, Witness::later_block, Verdict::bounded},
    VerdictRow{"lost tail", DiskEvidence::ours, BlockEvidence::nothing, Witness::damaged_block, Verdict::unbounded},
    VerdictRow{"lost tail", DiskEvidence::ours, BlockEvidence::unreadable, Witness::damaged_block, Verdict::unbounded},
    VerdictRow{"lost tail", DiskEvidence::ours, BlockEvidence::elsewhere, Witness::damaged_block, Verdict::unbounded},
    VerdictRow{"lost tail", DiskEvidence::ours, BlockEvidence::nothing, Witness::superblock, Verdict::unbounded},
    VerdictRow{"lost tail", DiskEvidence::ours, BlockEvidence::unreadable, Witness::superblock, Verdict::unbounded},
    VerdictRow{"lost tail", DiskEvidence::ours, BlockEvidence::elsewhere, Witness::superblock, Verdict::unbounded},
    VerdictRow{"stale image", DiskEvidence::ours, BlockEvidence::nothing, Witness::peer, Verdict::unbounded},
    VerdictRow{"stale image", DiskEvidence::ours, BlockEvidence::unreadable, Witness::peer, Verdict::unbounded},
    VerdictRow{"stale image", DiskEvidence::ours, BlockEvidence::elsewhere, Witness::peer, Verdict::unbounded},
    VerdictRow{"foreign disk", DiskEvidence::foreign, BlockEvidence::nothing, Witness::nobody, Verdict::refuse},
    VerdictRow{"blank disk", DiskEvidence::blank, BlockEvidence::nothing, Witness::nobody, Verdict::refuse},
};

// Evidence that the table does not list is not believed.
[[nodiscard]] constexpr Verdict judge(DiskEvidence disk, BlockEvidence block, Witness witness) {
  for (const VerdictRow& row : verdicts) {
    const bool fits = row.disk == disk && (disk != DiskEvidence::ours || (row.block == block && row.witness == witness));
    if (fits) return row.verdict;
  }
  return Verdict::refuse;
}

}  // namespace synod::storage
