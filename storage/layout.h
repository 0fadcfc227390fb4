// What lies where in the file `journal` (or on a raw block device). docs/FORMATS.md says the same for strangers.
//
//   0       superblock: 4 copies of 4 KiB
//   16 KiB  probe area: scratch space in which `open_directory` times durable writes. Holds nothing
//   64 KiB  segments, one behind the other, each `segment_bytes` long, written with zeros when the journal is formatted
//
//   block   BlockHeader (288 bytes) | { record | zero to a multiple of 8 }* | zero to a multiple of 4 KiB
//
// Blocks lie back to back within a segment. A block never spans segments: one that does not fit behind its predecessor starts
// the next segment. A record never spans blocks. The segments are a ring: the first follows the last, with the next generation,
// once a trim has released it. Nothing is zeroed then: sequence numbers never repeat, so an old block never follows a new one.
//
// Decoding is a gateway: bytes from a disk are hostile until decode_superblock or decode_block_header has returned a value.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <optional>

#include "base/bytes.h"
#include "base/ids.h"
#include "storage/journal.h"
#include "wire/limits.h"

namespace synod::storage {

inline constexpr std::uint32_t device_block_bytes = 4096;
inline constexpr std::uint32_t unit_bytes_min = 64;
inline constexpr std::uint32_t superblock_copies = 4;
inline constexpr std::uint64_t probe_offset = std::uint64_t{superblock_copies} * device_block_bytes;
inline constexpr std::uint64_t probe_bytes = 48U << 10;
inline constexpr std::uint64_t segments_offset = probe_offset + probe_bytes;
static_assert(segments_offset == 64U << 10);

inline constexpr std::uint64_t segment_bytes_min = 64U << 10;
inline constexpr std::uint64_t segment_bytes_max = 1ULL << 30;
inline constexpr std::uint32_t segments_min = 2;
inline constexpr std::uint32_t block_bytes_limit = 4U << 20;  // no block of this version is larger

inline constexpr std::uint64_t superblock_magic = 0x4C4E4A444F4E5953;  // "SYNODJNL"
inline constexpr std::uint32_t block_magic = 0x424E5953;               // "SYNB"
inline constexpr std::uint16_t layout_version = 2;

// One copy is this struct and zeros up to 4 KiB. It fits in one 512-byte sector, so a torn copy is an old or an invalid one.
struct Superblock {
  std::uint64_t magic = superblock_magic;
  std::uint16_t version = layout_version;
  ReplicaId replica;
  std::uint16_t members = 0;
  std::uint16_t group = 0;
  std::uint64_t number = 0;  // of this superblock: the highest valid one rules
  ClusterId cluster;
  Uuid disk;
  std::uint64_t open_count = 0;        // 0: formatted, never opened
  std::uint64_t durable_sequence = 0;  // of the last block that this open found: durable, so it may never be missing again
  std::uint64_t segment_bytes = 0;
  std::uint32_t segments = 0;
  std::uint32_t unit_bytes = device_block_bytes;  // of blocks: 4 KiB on a disk; in memory, where nothing asks for it, less
  std::array<std::byte, 424> zero_b{};
  std::uint32_t zero_c = 0;
  std::uint32_t checksum = 0;  // CRC32C of the 508 bytes before it
};

static_assert(Format<Superblock> && sizeof(Superblock) == 512);

enum class BlockKind : std::uint16_t {  // NOLINT(performance-enum-size): it has two bytes on the disk
  normal = 0,
  // Follows its predecessor although sequence numbers are missing between them: they were durable and are lost. Either the first
  // block of an open that found its tail lost, or one without records that a repair wrote over the place of lost ones (`healed`).
  leap = 1,
  healed = 2,
};

struct BlockHeader {
  std::uint32_t magic = block_magic;
  std::uint16_t version = layout_version;
  BlockKind kind = BlockKind::normal;
  ClusterId cluster;
  Uuid disk;
  std::uint64_t open_count = 0;        // never falls along the chain
  std::uint64_t offset = 0;            // where this block lies on the device
  std::uint32_t segment = 0;           // index of its segment
  std::uint32_t generation = 1;        // how often the segment has been used
  std::uint64_t sequence = 0;          // 1 for the first block of the disk, then without a gap
  std::uint64_t durable_sequence = 0;  // all blocks up to it were on stable storage when this one was written
  std::uint64_t previous = 0;          // chain_value() of the block before
  Ballot promised;                     // watermarks when this block was written, see Watermarks
  Slot commit;
  Slot highest;
  std::uint64_t checkpoint_sequence = 0;  // of the block where the newest durable checkpoint begins; 0: none
  std::uint64_t checkpoint_offset = 0;    // and where that block lies
  std::uint64_t written_s = 0;            // seconds since 1970, by this machine's clock: for retention by age, and for people
  std::uint32_t payload_bytes = 0;        // records with their padding to 8; of a healed block: all that it covers
  std::uint32_t record_count = 0;         // 0 only in the first block of an open, and in a healed one
  std::uint32_t first_segment = 0;        // the oldest segment that is still needed
  // 1: what this replica held was in unbounded doubt when this block was closed. Then a gap before it is unbounded, too: the
  // record that said so may be among what is lost.
  std::uint32_t unbounded = 0;
  std::array<Position, members_max> heard{};  // by place of the member
  std::uint64_t next_previous = 0;            // of a healed block: what its successor says in `previous`; otherwise 0
  Lsn tail;                                   // see Watermarks
  Slot checkpoint_applied;                    // the last slot that the checkpoint covers
  std::uint32_t payload_checksum = 0;         // CRC32C of the payload; 0 in a healed block
  std::uint32_t header_checksum = 0;          // CRC32C of the 284 bytes before it
};

static_assert(Format<BlockHeader> && sizeof(BlockHeader) == 288);

[[nodiscard]] constexpr CheckpointAt checkpoint_of(const BlockHeader& header) {
  return {header.checkpoint_sequence, header.checkpoint_offset, header.checkpoint_applied};
}

// What the next block says in `previous`. Covers the payload, and through `previous` the whole chain before it.
[[nodiscard]] constexpr std::uint64_t chain_value(const BlockHeader& header) {
  if (header.kind == BlockKind::healed) return header.next_previous;
  return (std::uint64_t{header.header_checksum} << 32) | header.payload_checksum;
}
// What the first block of a disk says in `previous`: the first 8 bytes of the disk's uuid.
[[nodiscard]] std::uint64_t chain_start(const Uuid& disk);

// Where segments begin and end, and blocks may.
struct Geometry {
  std::uint64_t segment_bytes = 0;
  std::uint32_t segments = 0;
  std::uint32_t unit_bytes = device_block_bytes;  // a block's place and length are multiples of it

  [[nodiscard]] constexpr std::uint64_t bytes() const { return segment_bytes * segments; }
  [[nodiscard]] constexpr std::uint64_t end() const { return segments_offset + bytes(); }
  [[nodiscard]] constexpr std::uint32_t segment_of(std::uint64_t offset) const {
    return static_cast<std::uint32_t>((offset - segments_offset) / segment_bytes);
  }
  [[nodiscard]] constexpr std::uint64_t start_of(std::uint32_t segment) const {
    return segments_offset + segment * segment_bytes;
  }
  [[nodiscard]] constexpr std::uint64_t end_of(std::uint32_t segment) const { return start_of(segment) + segment_bytes; }
  // The length on the device of a block with such a payload.
  [[nodiscard]] constexpr std::uint64_t block_bytes(std::uint64_t payload_bytes) const {
    return align_up(sizeof(BlockHeader) + payload_bytes, unit_bytes);
  }
  // A block begins at least device_block_bytes before the end of its segment, so that whoever looks for one can read so much.
  [[nodiscard]] constexpr bool can_hold_block(std::uint64_t offset) const {
    return offset >= segments_offset && offset < end() && offset % unit_bytes == 0 &&
           offset + device_block_bytes <= end_of(segment_of(offset));
  }
  [[nodiscard]] constexpr std::uint32_t next(std::uint32_t segment) const { return segment + 1 == segments ? 0 : segment + 1; }
};

[[nodiscard]] Geometry geometry_of(const Superblock& superblock);
[[nodiscard]] Identity identity_of(const Superblock& superblock);

enum class SuperblockFault : std::uint8_t { blank, bad_magic, bad_version, bad_checksum, bad_field };
enum class BlockFault : std::uint8_t {
  blank,
  bad_magic,
  bad_version,
  bad_checksum,
  other_cluster,
  other_disk,
  other_place,
  bad_length,
  bad_field
};

[[nodiscard]] const char* name(SuperblockFault fault);
[[nodiscard]] const char* name(BlockFault fault);

[[nodiscard]] Superblock seal(Superblock superblock);
[[nodiscard]] BlockHeader seal(BlockHeader header);

// The gateway for one copy.
[[nodiscard]] std::expected<Superblock, SuperblockFault> decode_superblock(Bytes from);

// The gateway for a header that should lie at `offset` of the disk that `superblock` describes. It judges the header alone: the
// place in the chain and the payload are recovery's business.
[[nodiscard]] std::expected<BlockHeader, BlockFault> decode_block_header(Bytes from, std::uint64_t offset,
                                                                         const Superblock& superblock);

// A superblock for a new journal of at least two segments within `capacity_bytes` (0 for segment_bytes: choose).
struct NewJournal {
  ClusterId cluster;
  GroupId group;
  ReplicaId replica;
  std::uint16_t members = 0;
  Uuid disk;
  std::uint64_t capacity_bytes = 0;
  std::uint64_t segment_bytes = 0;
  std::uint32_t unit_bytes = device_block_bytes;
};
[[nodiscard]] Result<Superblock> plan_superblock(const NewJournal& journal);

}  // namespace synod::storage
