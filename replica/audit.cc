#include "replica/audit.h"

#include <fmt/format.h>

#include <algorithm>

#include "storage/block_reader.h"

namespace synod::replica {

namespace {

using storage::Geometry;
using storage::Watermarks;

constexpr Lsn lsn_max(UINT64_MAX);

class Audit {
 public:
  Audit(storage::DeviceRef stream, storage::DeviceRef random, const storage::Superblock& superblock,
        const AuditProgress& progress)
      : stream_(stream),
        random_(random),
        geometry_(storage::geometry_of(superblock)),
        index_(stream, random, superblock),
        progress_(progress) {
    report_.superblock = superblock;
  }

  AuditReport run() {
    check_checkpoint();
    check_chain();
    check_pages();
    check_slots_behind();
    if (outside_blocks_ > 0) say(false, fmt::format("{} records can be read although their blocks are damaged", outside_blocks_));
    if (trimmed_lost_ > 0) say(false, fmt::format("{} slots or pages below the trim are lost", trimmed_lost_));
    return std::move(report_);
  }

 private:
  void say(bool is_error, std::string text) {
    ++(is_error ? report_.errors : report_.warnings);
    if ((is_error ? report_.errors : report_.warnings) <= findings_max) report_.findings.push_back({is_error, std::move(text)});
  }

  void check_checkpoint() {
    report_.has_checkpoint = index_.checkpoint().has_value();
    report_.trim = index_.trim();
    if (index_.checkpoints_unusable() > 0) {
      say(true, fmt::format("{} checkpoints newer than the one that can be used are damaged", index_.checkpoints_unusable()));
    }
    if (!index_.end()) return say(true, index_.end().error().text);
    report_.commit = index_.end()->watermarks.commit;
    if (index_.checkpoint()) report_.commit = std::max(report_.commit, index_.checkpoint()->header.applied);
    if (index_.end()->tail_is_lost) say(true, "the end of the journal was durable and is lost");
  }

  // The whole chain, from the oldest segment that is needed.
  void check_chain() {
    const storage::Survey survey = storage::Survey::of(random_, report_.superblock);
    storage::Visitor visitor;
    visitor.record = [&](const wire::RecordHeader& header, storage::Location location, Bytes, const Watermarks& watermarks) {
      check_record(header, location);
      check_watermarks(watermarks, location);
    };
    visitor.gap = [&](const storage::Gap& gap) { check_gap(gap); };
    storage::ChainScan scan(stream_, report_.superblock, survey, visitor);
    start(scan);
    const auto end = scan.run();
    if (!end) return say(true, end.error().text);
    report_.blocks = end->blocks;
    report_.bytes = used_bytes(*end);
    if (end->sequence < (index_.end() ? index_.end()->sequence : 0)) {
      say(true, fmt::format("the chain from the oldest segment ends at block {}, before its end at block {}", end->sequence,
                            index_.end()->sequence));
    }
  }

  [[nodiscard]] std::uint64_t used_bytes(const storage::ChainEnd& end) const {
    const std::uint32_t first = end.first_segment;
    const std::uint32_t age = end.segment >= first ? end.segment - first : end.segment + geometry_.segments - first;
    return age * geometry_.segment_bytes + (end.offset - geometry_.start_of(end.segment));
  }

  // At the first good block of the oldest segment that is needed. Where segments were never used twice, at the beginning.
  void start(storage::ChainScan& scan) {
    if (!index_.end()) return;
    const storage::ChainEnd& end = *index_.end();
    if (end.generation <= 1 && end.first_segment == 0) return;
    storage::AlignedBuffer block(storage::device_block_bytes);
    for (std::uint32_t segment = end.first_segment;; segment = geometry_.next(segment)) {
      const std::uint32_t generation = segment <= end.segment ? end.generation : end.generation - 1;
      for (std::uint64_t at = geometry_.start_of(segment); at < geometry_.end_of(segment); at += storage::device_block_bytes) {
        if (!storage::read_now(random_, at, block.bytes())) continue;
        const auto header = storage::decode_block_header(block.bytes(), at, report_.superblock);
        if (!header || header->generation != generation || !scan.start_at(at, header->sequence)) continue;
        if (at != geometry_.start_of(end.first_segment)) {
          say(false, fmt::format("the oldest blocks, up to block {} at offset {}, are damaged", header->sequence, at));
        }
        return;
      }
      if (segment == end.segment) return;
    }
  }

  void check_record(const wire::RecordHeader& header, storage::Location location) {
    ++report_.records;
    if (header.kind != wire::RecordKind::accepted && header.kind != wire::RecordKind::chosen) return;
    const auto entry = index_.entry_of(header.slot);
    if (!entry || entry->offset != location.offset) return;  // another copy of the slot is the one that counts
    if (entry->bytes != location.bytes || entry->checksum != header.body_checksum) {
      return say(true, fmt::format("slot {}: the index says {} bytes and checksum {:08x}, and the record at offset {} has {} and "
                                   "{:08x}",
                                   header.slot.value(), entry->bytes, entry->checksum.value(), location.offset, location.bytes,
                                   header.body_checksum.value()));
    }
    found_[page_of(header.slot)].set(place_of(header.slot));
  }

  void check_watermarks(const Watermarks& now, storage::Location location) {
    if (location.offset % storage::device_block_bytes != sizeof(storage::BlockHeader)) return;  // once a block
    if (progress_ && report_.records % 64 == 0) progress_(location.offset);
    const bool falls = now.promised < before_.promised || now.commit < before_.commit || now.highest < before_.highest ||
                       !std::ranges::equal(now.heard, before_.heard, std::ranges::greater_equal{});
    if (falls) {
      say(true, fmt::format("the block at offset {} has lower watermarks than one before it",
                            location.offset - sizeof(storage::BlockHeader)));
    }
    before_ = now;
  }

  void check_gap(const storage::Gap& gap) {
    const std::uint64_t from = index_.checkpoint() && index_.end() ? index_.end()->checkpoint.sequence : 0;
    const bool is_behind = !index_.checkpoint() || gap.next_sequence > from;
    say(is_behind, fmt::format("blocks {} to {} (offset {} up to {}) are damaged{}", gap.first_sequence, gap.next_sequence - 1,
                               gap.offset, gap.next_offset, is_behind ? ": only they say what they held" : ""));
  }

  [[nodiscard]] static std::uint64_t place_of(Slot slot) { return slot - first_of_page(page_of(slot)); }

  // `end`: behind the slot's LSNs.
  void check_entry(Slot slot, const IndexEntry& entry, Lsn end) {
    if (slot < report_.trim) return;
    ++report_.slots;
    const auto found = found_.find(page_of(slot));
    if (found != found_.end() && found->second.test(place_of(slot))) return;
    const auto record = entry.offset == 0 ? std::nullopt : index_.record_at(entry.offset, entry.bytes);
    if (record && record->header.slot == slot && record->header.body_checksum == entry.checksum) {
      ++outside_blocks_;
      return;
    }
    if (end <= index_.trim_lsn()) {
      ++trimmed_lost_;
      return;
    }
    say(true, entry.offset == 0 ? fmt::format("slot {}: its record is lost and was not repaired yet", slot.value())
                                : fmt::format("slot {}: its record at offset {} cannot be read", slot.value(), entry.offset));
  }

  // Where the next page begins, if it is there.
  [[nodiscard]] Lsn end_of_page(std::uint64_t number) const {
    const auto next = index_.directory().find(number + 1);
    return next == index_.directory().end() ? lsn_max : next->second.base;
  }

  void check_pages() {
    for (const auto& [number, at] : index_.directory()) {
      const Slot last = first_of_page(number + 1) - 1;
      if (last < report_.trim) continue;
      const auto page = index_.page(number);
      if (!page) {
        if (end_of_page(number) <= index_.trim_lsn()) {
          ++trimmed_lost_;
          continue;
        }
        say(true, fmt::format("the index page of slots {} to {} {}", first_of_page(number).value(), last.value(), page.error()));
        continue;
      }
      ++report_.pages;
      if (at.base < base_)
        say(true, fmt::format("the index page of slot {} begins below its predecessor", first_of_page(number).value()));
      // The entries are copied: looking at a record may load another page over this one.
      const std::vector<std::byte> bytes(page->begin(), page->end());
      for (std::uint64_t place = 0; place < index_page_slots; ++place) {
        const bool is_last = place + 1 == index_page_slots;
        check_entry(first_of_page(number) + place, entry_of_page(bytes, place),
                    is_last ? end_of_page(number) : entry_of_page(bytes, place + 1).base);
      }
      base_ = entry_of_page(bytes, index_page_slots - 1).base;
      covered_ = last;
    }
    if (!index_.checkpoint()) return;
    const std::uint64_t open = index_.first_page() + index_.checkpoint()->header.pages;
    if (index_.directory().contains(open)) return;
    for (std::size_t place = 0; place < index_.checkpoint()->entries.size(); ++place) {
      const Slot slot = first_of_page(open) + place;
      const auto& entries = index_.checkpoint()->entries;
      check_entry(slot, entries[place], place + 1 < entries.size() ? entries[place + 1].base : lsn_max);
      covered_ = std::max(covered_, slot);
    }
  }

  // What is committed and in no page yet: the journal must have a record of it.
  void check_slots_behind() {
    for (Slot slot = std::max(report_.trim, covered_ + 1); slot <= report_.commit; ++slot) {
      if (!index_.has_behind(slot))
        say(true, fmt::format("slot {}: it is committed, and the journal has no record of it", slot.value()));
    }
  }

  storage::DeviceRef stream_;
  storage::DeviceRef random_;
  Geometry geometry_;
  StoredIndex index_;
  const AuditProgress& progress_;
  AuditReport report_;
  Watermarks before_;
  std::unordered_map<std::uint64_t, std::bitset<index_page_slots>> found_;
  std::uint64_t outside_blocks_ = 0;
  std::uint64_t trimmed_lost_ = 0;
  Lsn base_;
  Slot covered_;
};

}  // namespace

Result<AuditReport> audit(storage::DeviceRef stream, storage::DeviceRef random, const AuditProgress& progress) {
  const auto superblock = read_superblock(random);
  if (!superblock) return std::unexpected(superblock.error());
  return Audit(stream, random, *superblock, progress).run();
}

}  // namespace synod::replica
