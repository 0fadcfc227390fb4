#include "storage/layout.h"

#include <fmt/format.h>

#include <bit>

#include "base/check.h"
#include "base/crc32c.h"

namespace synod::storage {

namespace {

constexpr std::uint64_t segment_bytes_default = 64U << 20;
constexpr std::uint64_t segment_bytes_small = 4U << 20;  // small journals get smaller segments, down to this

std::uint32_t superblock_checksum(const Superblock& superblock) {
  return crc32c(bytes_of(superblock).first(sizeof(Superblock) - sizeof(std::uint32_t)));
}

std::uint32_t header_checksum(const BlockHeader& header) {
  return crc32c(bytes_of(header).first(sizeof(BlockHeader) - sizeof(std::uint32_t)));
}

bool is_unit(std::uint32_t bytes) {
  return std::has_single_bit(bytes) && bytes >= unit_bytes_min && bytes <= device_block_bytes;
}

}  // namespace

std::uint64_t chain_start(const Uuid& disk) {
  return load<std::uint64_t>(disk.bytes);
}

Geometry geometry_of(const Superblock& superblock) {
  return {.segment_bytes = superblock.segment_bytes, .segments = superblock.segments, .unit_bytes = superblock.unit_bytes};
}

Identity identity_of(const Superblock& superblock) {
  return {.cluster = superblock.cluster,
          .group = GroupId(superblock.group),
          .replica = superblock.replica,
          .members = superblock.members,
          .disk = superblock.disk,
          .open_count = superblock.open_count};
}

const char* name(SuperblockFault fault) {
  switch (fault) {
    case SuperblockFault::blank: return "blank";
    case SuperblockFault::bad_magic: return "not a Synod journal";
    case SuperblockFault::bad_version: return "unknown version";
    case SuperblockFault::bad_checksum: return "checksum";
    case SuperblockFault::bad_field: return "impossible field";
  }
  return "unknown";
}

const char* name(BlockFault fault) {
  switch (fault) {
    case BlockFault::blank: return "blank";
    case BlockFault::bad_magic: return "not a block";
    case BlockFault::bad_version: return "unknown version";
    case BlockFault::bad_checksum: return "header checksum";
    case BlockFault::other_cluster: return "another cluster's";
    case BlockFault::other_disk: return "another disk's";
    case BlockFault::other_place: return "written for another place";
    case BlockFault::bad_length: return "length";
    case BlockFault::bad_field: return "impossible field";
  }
  return "unknown";
}

Superblock seal(Superblock superblock) {
  superblock.checksum = superblock_checksum(superblock);
  return superblock;
}

BlockHeader seal(BlockHeader header) {
  header.header_checksum = header_checksum(header);
  return header;
}

std::expected<Superblock, SuperblockFault> decode_superblock(Bytes from) {
  if (from.size() < sizeof(Superblock) || is_zero(from.first(sizeof(Superblock)))) {
    return std::unexpected(SuperblockFault::blank);
  }
  const auto superblock = load<Superblock>(from);
  if (superblock.magic != superblock_magic) return std::unexpected(SuperblockFault::bad_magic);
  if (superblock.checksum != superblock_checksum(superblock)) return std::unexpected(SuperblockFault::bad_checksum);
  if (superblock.version != layout_version) return std::unexpected(SuperblockFault::bad_version);
  const bool possible = superblock.segment_bytes >= segment_bytes_min && superblock.segment_bytes <= segment_bytes_max &&
                        superblock.segment_bytes % device_block_bytes == 0 && superblock.segments >= segments_min &&
                        superblock.number < UINT64_MAX && superblock.open_count < UINT64_MAX && is_unit(superblock.unit_bytes) &&
                        superblock.replica != ReplicaId{} && !superblock.disk.is_none() && superblock.group < groups_max &&
                        superblock.zero_c == 0 && is_zero(superblock.zero_b);
  if (!possible) return std::unexpected(SuperblockFault::bad_field);
  return superblock;
}

std::expected<BlockHeader, BlockFault> decode_block_header(Bytes from, std::uint64_t offset, const Superblock& superblock) {
  if (from.size() < sizeof(BlockHeader)) return std::unexpected(BlockFault::blank);
  const auto header = load<BlockHeader>(from);
  if (header.magic != block_magic) {
    return std::unexpected(is_zero(from.first(sizeof(BlockHeader))) ? BlockFault::blank : BlockFault::bad_magic);
  }
  if (header.header_checksum != header_checksum(header)) return std::unexpected(BlockFault::bad_checksum);
  const bool ours = header.version == layout_version && header.kind <= BlockKind::healed && header.unbounded <= 1 &&
                    (header.kind == BlockKind::healed || header.next_previous == 0);
  if (!ours) return std::unexpected(BlockFault::bad_version);
  if (header.cluster != superblock.cluster) return std::unexpected(BlockFault::other_cluster);
  if (header.disk != superblock.disk) return std::unexpected(BlockFault::other_disk);
  const Geometry geometry = geometry_of(superblock);
  if (header.offset != offset || header.segment != geometry.segment_of(offset)) return std::unexpected(BlockFault::other_place);
  const std::uint64_t room = geometry.start_of(header.segment + 1) - offset;
  const std::uint64_t length = geometry.block_bytes(header.payload_bytes);
  const bool is_healed = header.kind == BlockKind::healed;
  if (length > room || (length > block_bytes_limit && !is_healed)) return std::unexpected(BlockFault::bad_length);
  const bool has_checkpoint = header.checkpoint_sequence != 0;
  const bool possible = header.generation > 0 && header.first_segment < geometry.segments && header.sequence > 0 &&
                        header.sequence < UINT64_MAX && header.open_count < UINT64_MAX &&
                        header.durable_sequence < header.sequence + (is_healed ? 1 : 0) &&
                        header.checkpoint_sequence <= header.durable_sequence &&
                        (has_checkpoint ? geometry.can_hold_block(header.checkpoint_offset)
                                        : header.checkpoint_offset == 0 && header.checkpoint_applied == Slot{}) &&
                        (!is_healed || (header.record_count == 0 && header.payload_checksum == 0));
  if (!possible) return std::unexpected(BlockFault::bad_field);
  return header;
}

Result<Superblock> plan_superblock(const NewJournal& journal) {
  std::uint64_t segment_bytes = journal.segment_bytes;
  if (segment_bytes == 0) {
    segment_bytes = segment_bytes_default;
    while (segment_bytes > segment_bytes_small && journal.capacity_bytes / segment_bytes < 8) segment_bytes /= 2;
  }
  if (segment_bytes < segment_bytes_min || segment_bytes > segment_bytes_max || segment_bytes % device_block_bytes != 0) {
    return fail(fmt::format("a journal cannot have segments of {} bytes: choose a multiple of {} from {} to {}", segment_bytes,
                            device_block_bytes, segment_bytes_min, segment_bytes_max));
  }
  CHECK(is_unit(journal.unit_bytes));
  if (journal.replica == ReplicaId{}) return fail("replica ids start at 1: choose another --replica");
  const std::uint64_t segments = journal.capacity_bytes / segment_bytes;
  if (segments < segments_min) {
    return fail(fmt::format("a journal of {} bytes is too small: give it at least {} bytes", journal.capacity_bytes,
                            segments_min * segment_bytes));
  }
  if (segments > UINT32_MAX) return fail(fmt::format("a journal of {} bytes is too large", journal.capacity_bytes));
  if (journal.group.value() >= groups_max) return fail(fmt::format("groups are numbered from 0 to {}", groups_max - 1));
  return Superblock{.replica = journal.replica,
                    .members = journal.members,
                    .group = static_cast<std::uint16_t>(journal.group.value()),
                    .number = 1,
                    .cluster = journal.cluster,
                    .disk = journal.disk,
                    .segment_bytes = segment_bytes,
                    .segments = static_cast<std::uint32_t>(segments),
                    .unit_bytes = journal.unit_bytes};
}

}  // namespace synod::storage
