// Following the chain of blocks.
#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/mutant.h"
#include "storage/recovery.h"

namespace synod::storage {

namespace {

Error other_version(std::uint64_t offset) {
  return {fmt::format("the journal block at offset {} was written by another version of synod: use that version", offset)};
}

Watermarks watermarks_of(const BlockHeader& header) {
  return {.promised = header.promised,
          .commit = header.commit,
          .highest = header.highest,
          .tail = header.tail,
          .heard = header.heard};
}

}  // namespace

ChainScan::ChainScan(DeviceRef device, const Superblock& superblock, const Survey& survey, const Visitor& visitor)
    : superblock_(superblock),
      geometry_(geometry_of(superblock)),
      survey_(survey),
      reader_(device, std::min(device.ready_bytes(), geometry_.end())),
      ready_end_(std::min(device.ready_bytes(), geometry_.end())),
      visitor_(visitor) {
  end_.value = chain_start(superblock.disk);
}

bool ChainScan::start_at(std::uint64_t offset, std::uint64_t sequence) {
  if (offset < segments_offset || offset % geometry_.unit_bytes != 0 || offset + device_block_bytes > ready_end_) return false;
  const auto header = decode_block_header(reader_.view(offset, device_block_bytes), offset, superblock_);
  if (!header || header->sequence != sequence || header->kind == BlockKind::healed) return false;
  start_at(*header);
  return true;
}

void ChainScan::start_at(const BlockHeader& header) {
  end_.sequence = header.sequence - 1;
  end_.open_count = header.open_count;
  end_.segment = header.segment;
  end_.generation = header.generation;
  end_.offset = header.offset;
  end_.value = header.previous;
}

Result<bool> ChainScan::step() {
  const auto found = find_next();
  if (!found) return std::unexpected(found.error());
  if (found->evidence != BlockEvidence::follows) return false;
  if (auto taken = take(found->header); !taken) return std::unexpected(taken.error());
  return true;
}

Result<ChainEnd> ChainScan::run() {
  for (;;) {
    const auto found = find_next();
    if (!found) return std::unexpected(found.error());
    if (found->evidence == BlockEvidence::follows) {
      if (auto taken = take(found->header); !taken) return std::unexpected(taken.error());
      continue;
    }
    const auto goes_on = go_on(found->evidence);
    if (!goes_on) return std::unexpected(goes_on.error());
    if (!*goes_on) return end_;
  }
}

// A disk that brings something else once is believed only when it does so again and again: to take a durable block for the end of
// the log would be to forget it.
Result<ChainScan::Found> ChainScan::find_next() {
  constexpr int tries_max = 3;
  auto found = find_at_next_place();
  for (int tries = 1; tries < tries_max && found && found->evidence != BlockEvidence::follows; ++tries) {
    reader_.forget(device_block_bytes);
    found = find_at_next_place();
    reader_.forget(BlockReader::sequential);
  }
  return found;
}

// The next block lies behind the last one or, if it did not fit there, at the start of the next segment.
Result<ChainScan::Found> ChainScan::find_at_next_place() {
  Found here;
  if (end_.offset + device_block_bytes <= geometry_.end_of(end_.segment)) {
    const auto found = look_at(end_.offset);
    if (!found || found->evidence == BlockEvidence::follows) return found;
    here = *found;
  }
  if (end_.offset == geometry_.start_of(end_.segment)) return here;
  const auto next = look_at(geometry_.start_of(geometry_.next(end_.segment)));
  if (!next || next->evidence == BlockEvidence::follows || here.evidence == BlockEvidence::nothing) return next;
  return here;
}

Result<ChainScan::Found> ChainScan::look_at(std::uint64_t offset) {
  if (offset + device_block_bytes > ready_end_) return Found{};
  const auto header = decode_block_header(reader_.view(offset, device_block_bytes), offset, superblock_);
  if (!header) {
    switch (header.error()) {
      // Such a header was written so (its checksum is right): to discard it would be to forget what another version promised.
      case BlockFault::bad_version:
      case BlockFault::bad_length:
      case BlockFault::bad_field: return std::unexpected(other_version(offset));
      case BlockFault::blank: return Found{};
      case BlockFault::other_cluster:
      case BlockFault::other_disk:
      case BlockFault::other_place: return Found{BlockEvidence::elsewhere, {}};
      default: return Found{BlockEvidence::unreadable, {}};
    }
  }
  const bool is_next =
      header->sequence == end_.sequence + 1 || (header->kind != BlockKind::normal && header->sequence > end_.sequence);
  const bool is_recycled = mutant(Mutant::recycled_is_current) && header->generation < end_.generation;
  // Whole, of this disk and place, and not the next one: a discarded tail's, or of the segment's former use. No trace of the
  // next.
  const bool follows =
      is_next && header->previous == end_.value && header->open_count >= end_.open_count && !is_discarded(*header, superblock_);
  if (!follows && !is_recycled) return Found{};
  if (!payload_is_good(*header) && !mutant(Mutant::torn_tail_is_data)) return Found{BlockEvidence::unreadable, *header};
  if (is_superseded(*header)) return Found{BlockEvidence::elsewhere, *header};
  return Found{BlockEvidence::follows, *header};
}

// A later open discarded it and wrote another block of this number, behind which it wrote the one that lies behind here. So that
// other one was durable: the disk lost it and kept this one.
bool ChainScan::is_superseded(const BlockHeader& header) {
  const std::uint64_t length = geometry_.block_bytes(header.payload_bytes);
  const std::uint64_t offset = header.offset + length;
  const bool has_neighbour = offset + device_block_bytes <= std::min(ready_end_, geometry_.end_of(header.segment)) &&
                             length + device_block_bytes <= BlockReader::view_bytes_max && header.kind != BlockKind::healed;
  if (!has_neighbour) return false;
  const Bytes neighbour = reader_.view(header.offset, length + device_block_bytes).subspan(length);
  const auto next = decode_block_header(neighbour, offset, superblock_);
  return next && next->sequence == header.sequence + 1 && next->open_count > header.open_count &&
         next->previous != chain_value(header);
}

bool ChainScan::payload_is_good(const BlockHeader& header) {
  if (header.kind == BlockKind::healed) return true;
  const std::uint64_t length = geometry_.block_bytes(header.payload_bytes);
  if (header.offset + length > ready_end_) return false;
  return crc32c(reader_.view(header.offset, length).subspan(sizeof(BlockHeader), header.payload_bytes)) ==
         header.payload_checksum;
}

Result<> ChainScan::take(const BlockHeader& header) {
  const std::uint64_t length = geometry_.block_bytes(header.payload_bytes);
  if (header.kind != BlockKind::healed) {
    const Bytes payload = reader_.view(header.offset, length).subspan(sizeof(BlockHeader), header.payload_bytes);
    if (auto visited = visit_records(header, payload); !visited) return visited;
  } else if (visitor_.healed) {
    visitor_.healed();
  }
  // Parts of this disk come from an old copy: what else is missing nobody can tell.
  if (header.open_count > superblock_.open_count) end_.tail_is_lost = true;
  end_.sequence = header.sequence;
  end_.open_count = header.open_count;
  end_.segment = header.segment;
  end_.generation = header.generation;
  end_.offset = header.offset + length;
  end_.value = chain_value(header);
  end_.first_segment = header.first_segment;
  if (header.checkpoint_sequence > end_.checkpoint.sequence) end_.checkpoint = checkpoint_of(header);
  if (!mutant(Mutant::promise_lost_in_recycle)) {
    end_.watermarks.promised = std::max(end_.watermarks.promised, header.promised);
  }
  end_.watermarks.commit = std::max(end_.watermarks.commit, header.commit);
  end_.watermarks.highest = std::max(end_.watermarks.highest, header.highest);
  end_.watermarks.tail = std::max(end_.watermarks.tail, header.tail);
  for (std::size_t i = 0; i < members_max; ++i) {
    end_.watermarks.heard[i] = std::max(end_.watermarks.heard[i], header.heard[i]);
  }
  end_.is_unbounded = header.unbounded != 0;
  ++end_.blocks;
  CHECK_LE(end_.blocks, geometry_.bytes() / geometry_.unit_bytes);  // sequence numbers rise, so no block comes twice
  return {};
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
    if (visitor_.record) visitor_.record(record->header, location, record->body, watermarks_of(header));
    at += align_up(record->bytes(), 8);
  }
  if (at == payload.size()) return {};
  return fail(
      fmt::format("journal block {} at offset {} does not end with its last record: it was written by another version of "
                  "synod; use that version",
                  header.sequence, header.offset));
}

// True: this one is the witness, and whole.
bool ChainScan::add(const BlockHeader& header, Behind& behind) {
  const std::uint64_t missing = end_.sequence + 1;
  if (header.open_count < end_.open_count || header.sequence <= missing) return false;
  const bool is_witness = header.durable_sequence >= missing;
  if (is_witness) behind.claimed = std::max({behind.claimed, header.sequence, header.durable_sequence});
  if (is_discarded(header, superblock_)) return false;
  behind.headers.push_back(header);
  behind.is_witnessed = is_witness && payload_is_good(header);
  return behind.is_witnessed;
}

// Up to the first block that was written when the missing one was known as durable.
ChainScan::Behind ChainScan::search_behind() {
  Behind behind;
  std::uint64_t offset = end_.offset;
  std::uint32_t segment = end_.segment;
  const std::uint32_t unit = geometry_.unit_bytes;
  for (std::uint64_t searched = 0; searched < evidence_bytes; searched += unit, offset += unit) {
    if (offset + device_block_bytes > geometry_.end_of(segment)) {
      segment = geometry_.next(segment);
      if (segment == end_.segment) break;
      offset = geometry_.start_of(segment);
    }
    if (offset + device_block_bytes > ready_end_) continue;
    const auto header = decode_block_header(reader_.view(offset, device_block_bytes), offset, superblock_);
    if (header && add(*header, behind)) return behind;
  }
  for (const BlockHeader& head : survey_.witnesses_of(end_.sequence + 1)) {
    if (add(head, behind)) return behind;
  }
  return behind;
}

// What the missing block means. True: the chain goes on behind it.
Result<bool> ChainScan::go_on(BlockEvidence evidence) {
  const Behind behind = search_behind();
  Witness witness = superblock_.durable_sequence > end_.sequence ? Witness::superblock : Witness::nobody;
  if (behind.claimed != 0) witness = behind.is_witnessed ? Witness::later_block : Witness::damaged_block;
  switch (judge(DiskEvidence::ours, evidence, witness)) {
    case Verdict::bounded:
      if (auto leapt = leap(behind); !leapt) return std::unexpected(leapt.error());
      return true;
    case Verdict::unbounded: end_.tail_is_lost = true; [[fallthrough]];
    default: end_at(evidence, behind); return false;
  }
}

void ChainScan::end_at(BlockEvidence evidence, const Behind& behind) {
  end_.leap_to = std::max({end_.sequence, superblock_.durable_sequence, behind.claimed});
  // A block that was cut off within its first sector still counts as discarded. (In a segment that is used again, it may as well
  // be the middle of an old block.)
  if (evidence != BlockEvidence::nothing && end_.generation <= 1) end_.discarded_bytes += geometry_.unit_bytes;
  for (const BlockHeader& header : behind.headers) {
    // Tails that earlier opens discarded may still lie about: they are not this open's loss.
    if (header.open_count == superblock_.open_count) end_.discarded_bytes += geometry_.block_bytes(header.payload_bytes);
  }
}

// The last of the blocks behind is on the chain for sure. Those before it are, too, as far as the chain values link them to it.
Result<> ChainScan::leap(const Behind& behind) {
  BlockHeader next = behind.headers.back();
  BlockHeader linked = next;
  for (auto before = behind.headers.rbegin() + 1; before != behind.headers.rend(); ++before) {
    if (before->sequence + 1 != linked.sequence || chain_value(*before) != linked.previous) continue;
    linked = *before;
    if (payload_is_good(linked)) next = linked;
  }
  if (end_.gaps.size() == gaps_max) {
    return fail(
        fmt::format("more than {} places of the journal are damaged: replace the disk and join as a new member", gaps_max));
  }
  const Gap gap{.first_sequence = end_.sequence + 1,
                .next_sequence = next.sequence,
                .segment = end_.segment,
                .open_count = end_.open_count,
                .offset = end_.offset,
                .next_offset = next.offset,
                .next_generation = next.generation,
                .previous = end_.value,
                .next_previous = next.previous,
                .bound = watermarks_of(next),
                .is_unbounded = next.unbounded != 0};
  end_.gaps.push_back(gap);
  if (visitor_.gap) visitor_.gap(gap);
  return take(next);
}

}  // namespace synod::storage
