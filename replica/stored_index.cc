// The index and the checkpoint, as offline tools find them.
#include <fmt/format.h>

#include "consensus/log_checkpoint.h"
#include "replica/audit.h"
#include "replica/trim_record.h"
#include "storage/block_reader.h"
#include "storage/journal_state.h"
#include "storage/superblock.h"

namespace synod::replica {

namespace {

constexpr std::size_t pages_loaded_max = 256;  // 8 MiB

}  // namespace

Result<storage::Superblock> read_superblock(storage::DeviceRef device) {
  constexpr std::uint64_t bytes = std::uint64_t{storage::superblock_copies} * storage::device_block_bytes;
  storage::AlignedBuffer copies(bytes);
  for (std::uint64_t at = 0; at < bytes; at += storage::device_block_bytes) {
    (void)storage::read_now(device, at, copies.bytes().subspan(at, storage::device_block_bytes));
  }
  auto superblock = storage::newest_superblock(copies.bytes());
  if (superblock && storage::geometry_of(*superblock).end() > device.info().size_bytes) {
    return fail(fmt::format("the journal has {} bytes and should have {}: it was cut off", device.info().size_bytes,
                            storage::geometry_of(*superblock).end()));
  }
  return superblock;
}

StoredIndex::StoredIndex(storage::DeviceRef stream, storage::DeviceRef random, const storage::Superblock& superblock)
    : random_(random),
      superblock_(superblock),
      survey_(storage::Survey::of(random, superblock)),
      end_(storage::ChainEnd{}),
      buffer_(storage::read_buffer_bytes) {
  take_checkpoint(stream);
  storage::Visitor visitor;
  visitor.record = [&](const wire::RecordHeader& header, storage::Location location, Bytes body, const storage::Watermarks&) {
    take_record(header, location, body);
  };
  storage::ChainScan scan(stream, superblock_, survey_, visitor);
  if (at_ && !scan.start_at(at_->offset, at_->sequence)) at_.reset();
  end_ = scan.run();
}

void StoredIndex::take_checkpoint(storage::DeviceRef stream) {
  for (const auto& at : survey_.checkpoints(stream, superblock_)) {
    auto bytes = storage::read_checkpoint(stream, superblock_, survey_, at);
    Result<CheckpointView> view = bytes ? decode_checkpoint(*bytes) : Result<CheckpointView>(fail("unreadable"));
    if (!view) {
      ++checkpoints_unusable_;
      continue;
    }
    at_ = at;
    checkpoint_bytes_ = *std::move(bytes);
    checkpoint_ = *std::move(view);
    break;
  }
  if (!checkpoint_) return;
  for (std::size_t i = 0; i < checkpoint_->pages.size(); ++i) pages_[first_page() + i] = checkpoint_->pages[i];
  for (const OpenSlot& open : checkpoint_->open) behind_.insert(open.slot.value());
  trim_ = std::max(trim_, checkpoint_->header.trim);
  if (const auto log = consensus::log_checkpoint_header(checkpoint_->log)) trim_lsn_ = std::max(trim_lsn_, log->trim);
}

void StoredIndex::take_record(const wire::RecordHeader& header, storage::Location location, Bytes body) {
  switch (header.kind) {
    case wire::RecordKind::accepted:
    case wire::RecordKind::chosen: behind_.insert(header.slot.value()); return;
    case wire::RecordKind::trim:
      trim_ = std::max(trim_, header.slot);
      if (const auto trim = decode_trim_record(body)) trim_lsn_ = std::max(trim_lsn_, trim->trimmed);
      return;
    case wire::RecordKind::index:
      if (header.slot == Slot{} || body.size() < sizeof(IndexPageHeader)) return;
      pages_[page_of(header.slot)] = {.base = load<IndexPageHeader>(body).base,
                                      .chain = load<IndexPageHeader>(body).chain,
                                      .offset = location.offset,
                                      .bytes = location.bytes};
      loaded_.erase(page_of(header.slot));
      return;
    default: return;
  }
}

std::optional<wire::RecordView> StoredIndex::record_at(std::uint64_t offset, std::uint32_t bytes) {
  const storage::Geometry geometry = storage::geometry_of(superblock_);
  if (offset < storage::segments_offset || offset >= geometry.end() || bytes < sizeof(wire::RecordHeader) ||
      bytes > storage::record_bytes_max || offset + bytes > geometry.end()) {
    return std::nullopt;
  }
  const std::uint64_t start = offset / storage::device_block_bytes * storage::device_block_bytes;
  const MutableBytes to = buffer_.bytes().first(align_up(offset + bytes, storage::device_block_bytes) - start);
  if (!storage::read_now(random_, start, to)) return std::nullopt;
  const auto record = wire::decode_record(to.subspan(offset - start, bytes));
  if (!record || record->bytes() != bytes) return std::nullopt;
  return *record;
}

std::expected<Bytes, std::string> StoredIndex::page(std::uint64_t number) {
  if (const auto loaded = loaded_.find(number); loaded != loaded_.end()) return Bytes(loaded->second);
  const auto at = pages_.find(number);
  if (at == pages_.end()) return std::unexpected("is missing");
  const auto record = record_at(at->second.offset, at->second.bytes);
  if (!record) return std::unexpected(fmt::format("cannot be read at offset {}", at->second.offset));
  const auto header = decode_index_page(record->body);
  if (record->header.kind != wire::RecordKind::index || !header) {
    return std::unexpected(fmt::format("at offset {} is none ({})", at->second.offset, header ? "kind" : name(header.error())));
  }
  if (header->first != first_of_page(number) || record->header.slot != header->first) {
    return std::unexpected(fmt::format("at offset {} is another one, of slot {}", at->second.offset, header->first.value()));
  }
  if (header->base != at->second.base || header->chain != at->second.chain) {
    return std::unexpected(fmt::format("at offset {} is not the one that the checkpoint means", at->second.offset));
  }
  if (loaded_.size() >= pages_loaded_max) loaded_.erase(loaded_.begin());
  std::vector<std::byte>& kept = loaded_[number];
  kept.assign(record->body.begin(), record->body.end());
  return Bytes(kept);
}

std::optional<IndexEntry> StoredIndex::entry_of(Slot slot) {
  if (slot == Slot{}) return std::nullopt;
  const std::uint64_t number = page_of(slot);
  const std::uint64_t place = (slot - first_of_page(number));
  if (const auto bytes = page(number)) return entry_of_page(*bytes, place);
  if (pages_.contains(number) || !checkpoint_) return std::nullopt;
  const bool is_open = number == first_page() + checkpoint_->header.pages && place < checkpoint_->entries.size();
  return is_open ? std::optional(checkpoint_->entries[place]) : std::nullopt;
}

}  // namespace synod::replica
