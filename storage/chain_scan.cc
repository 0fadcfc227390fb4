#include <fmt/format.h>

#include <algorithm>

#include "base/crc32c.h"
#include "base/mutant.h"
#include "storage/recovery.h"

namespace synod::storage {

ChainScan::ChainScan(DeviceRef device, const Superblock& superblock, const Journal::RecordVisitor& visit)
    : superblock_(superblock), geometry_(geometry_of(superblock)), reader_(device, geometry_.end()), visit_(visit) {
  end_.value = chain_start(superblock.disk);
}

Result<ChainEnd> ChainScan::run() {
  for (;;) {
    const auto followed = next();
    if (!followed) return std::unexpected(followed.error());
    if (!*followed) break;
  }
  if (auto judged = judge_end(); !judged) return std::unexpected(judged.error());
  return end_;
}

// The next block lies behind the last one or, if it did not fit there, at the start of the next segment.
Result<bool> ChainScan::next() {
  if (end_.offset < geometry_.end()) {
    auto followed = follow(end_.offset);
    if (!followed || *followed) return followed;
  }
  if (end_.offset >= geometry_.end()) return false;
  const std::uint32_t segment = geometry_.segment_of(end_.offset) + 1;
  if (segment >= geometry_.segments || end_.offset == geometry_.start_of(segment - 1)) return false;
  return follow(geometry_.start_of(segment));
}

Result<bool> ChainScan::follow(std::uint64_t offset) {
  const auto first = reader_.view(offset, device_block_bytes);
  if (!first) return std::unexpected(first.error());
  const auto header = decode_block_header(*first, offset, superblock_);
  // Such a header was written so (its checksum is right): to discard it would be to forget what another version promised.
  if (!header && (header.error() == BlockFault::bad_version || header.error() == BlockFault::bad_length)) {
    return fail(fmt::format("the journal block at offset {} was written by another version of synod: use that version", offset));
  }
  if (!header) return false;
  return follow_block(*header);
}

Result<bool> ChainScan::follow_block(const BlockHeader& header) {
  if (header.sequence != end_.sequence + 1 || header.previous != end_.value || header.open_count < end_.open_count) return false;
  const auto bytes = reader_.view(header.offset, block_bytes(header.payload_bytes));
  if (!bytes) return std::unexpected(bytes.error());
  const Bytes payload = bytes->subspan(sizeof(BlockHeader), header.payload_bytes);
  if (crc32c(payload) != header.payload_checksum && !mutant(Mutant::torn_tail_is_data)) return false;
  if (header.open_count > superblock_.open_count) {
    return fail(
        fmt::format("the superblock is older than the journal (open {} and {}): parts of this disk come from an old copy; "
                    "this replica must not vote; join as a new member",
                    superblock_.open_count, header.open_count));
  }
  if (auto visited = visit_records(header, payload); !visited) return std::unexpected(visited.error());
  end_.sequence = header.sequence;
  end_.open_count = header.open_count;
  end_.offset = header.offset + block_bytes(header.payload_bytes);
  end_.value = chain_value(header);
  end_.watermarks.promised = std::max(end_.watermarks.promised, header.promised);
  end_.watermarks.commit = std::max(end_.watermarks.commit, header.commit);
  return true;
}

// The checksum of the whole payload was right, so whatever is wrong here was written so.
Result<> ChainScan::visit_records(const BlockHeader& header, Bytes payload) {
  std::uint64_t at = 0;
  for (std::uint32_t i = 0; i < header.record_count; ++i) {
    const auto record = wire::decode_record(payload.subspan(std::min<std::uint64_t>(at, payload.size())));
    if (!record) {
      return fail(
          fmt::format("journal block {} at offset {} holds an unreadable record ({}): it was written by another version of "
                      "synod; use that version",
                      header.sequence, header.offset, wire::name(record.error())));
    }
    // Voting in a ballot, or promising it, binds this acceptor to it. A chosen record was voted for by others.
    if (record->header.kind == wire::RecordKind::accepted || record->header.kind == wire::RecordKind::promise) {
      end_.watermarks.promised = std::max(end_.watermarks.promised, record->header.ballot);
    }
    const Location location{.offset = header.offset + sizeof(BlockHeader) + at,
                            .bytes = static_cast<std::uint32_t>(record->bytes())};
    if (visit_) visit_(record->header, location, record->body, {.promised = header.promised, .commit = header.commit});
    at += align_up(record->bytes(), 8);
  }
  if (at == payload.size()) return {};
  return fail(
      fmt::format("journal block {} at offset {} does not end with its last record: it was written by another version of "
                  "synod; use that version",
                  header.sequence, header.offset));
}

Error ChainScan::damaged(std::string_view witness) const {
  return {
      fmt::format("journal block {} at offset {} is damaged although it was durable ({} says so): this replica must not vote; "
                  "replace the disk and join as a new member",
                  end_.sequence + 1, end_.offset, witness)};
}

// Looks for anything behind the end of the chain that knows the missing block as durable.
Result<> ChainScan::judge_end() {
  const std::uint64_t missing = end_.sequence + 1;
  if (superblock_.durable_sequence >= missing) return std::unexpected(damaged("the superblock"));
  const std::uint64_t search_end = std::min(end_.offset + evidence_bytes, geometry_.end());
  for (std::uint64_t offset = end_.offset; offset < search_end; offset += device_block_bytes) {
    const auto bytes = reader_.view(offset, device_block_bytes);
    if (!bytes) return std::unexpected(bytes.error());
    const auto header = decode_block_header(*bytes, offset, superblock_);
    if (!header) {
      // A block that was cut off within its first sector still counts as discarded.
      if (offset == end_.offset && header.error() != BlockFault::blank) end_.discarded_bytes += device_block_bytes;
      continue;
    }
    if (header->durable_sequence >= missing) {
      return std::unexpected(damaged(fmt::format("block {} at offset {}", header->sequence, offset)));
    }
    // Tails that earlier opens discarded may still lie about: they are not this open's loss.
    if (header->sequence >= missing && header->open_count == superblock_.open_count) {
      end_.discarded_bytes += block_bytes(header->payload_bytes);
    }
  }
  return {};
}

}  // namespace synod::storage
