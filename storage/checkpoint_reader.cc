#include "storage/checkpoint_reader.h"

#include <algorithm>

#include "base/crc32c.h"
#include "storage/journal_state.h"

namespace synod::storage {

namespace {

constexpr std::uint64_t chunk_bytes = 256U << 10;

}  // namespace

void CheckpointReader::begin(CheckpointAt at) {
  at_ = at;
  parts_.clear();
  sequence_ = at.sequence;
  offset_ = at.offset;
  previous_ = 0;
  bytes_wanted_ = chunk_bytes;
  is_next_segment_ = false;
}

std::optional<Bytes> CheckpointReader::step() {
  if (const auto blocks = journal_.take_blocks(Journal::Asker::checkpoint)) {
    is_asked_ = false;
    // (What was asked for before the last begin is of no use.)
    if (is_reading() && blocks->offset == offset_) take(blocks->bytes);
  }
  if (parts_.is_whole() && is_reading()) {
    read_ = std::exchange(at_, {});
    return Bytes(parts_.bytes());
  }
  if (is_reading() && !is_asked_) ask();
  return std::nullopt;
}

void CheckpointReader::ask() {
  const Geometry& geometry = journal_.state_->geometry;
  const std::uint64_t end = geometry.end_of(geometry.segment_of(offset_));
  is_asked_ = journal_.read_blocks(Journal::Asker::checkpoint, offset_, std::min(bytes_wanted_, end - offset_));
}

void CheckpointReader::take(Bytes bytes) {
  while (is_reading() && !parts_.is_whole()) {
    const std::uint64_t before = offset_;
    if (!take_block(bytes)) return;
    // The next one was not read yet, or not as much of it as is looked at.
    if (offset_ <= before || offset_ - before + device_block_bytes > bytes.size()) return;
    bytes = bytes.subspan(offset_ - before);
  }
}

bool CheckpointReader::take_block(Bytes rest) {
  const Journal::State& state = *journal_.state_;
  const Geometry& geometry = state.geometry;
  const std::uint32_t segment = geometry.segment_of(offset_);
  const auto header = rest.size() < device_block_bytes ? std::unexpected(BlockFault::blank)
                                                       : decode_block_header(rest, offset_, state.superblock);
  const bool is_next = header && header->sequence == sequence_ && header->kind != BlockKind::healed &&
                       (previous_ == 0 || header->previous == previous_);
  if (!is_next && previous_ != 0 && !is_next_segment_) {
    // It did not fit behind the one before it.
    is_next_segment_ = true;
    offset_ = geometry.start_of(geometry.next(segment));
    bytes_wanted_ = chunk_bytes;
    return false;
  }
  const std::uint64_t length = is_next ? geometry.block_bytes(header->payload_bytes) : 0;
  if (is_next && length > rest.size() && bytes_wanted_ < length) {
    bytes_wanted_ = length;
    return false;
  }
  const bool is_good = is_next && length <= rest.size() &&
                       crc32c(rest.subspan(sizeof(BlockHeader), header->payload_bytes)) == header->payload_checksum;
  if (!is_good || !take_records(rest.subspan(sizeof(BlockHeader), header->payload_bytes), header->record_count)) {
    at_ = {};
    return false;
  }
  ++sequence_;
  previous_ = chain_value(*header);
  offset_ += length;
  bytes_wanted_ = chunk_bytes;
  is_next_segment_ = false;
  if (offset_ + device_block_bytes <= geometry.end_of(segment)) return true;
  is_next_segment_ = true;
  offset_ = geometry.start_of(geometry.next(segment));
  return true;
}

bool CheckpointReader::take_records(Bytes payload, std::uint32_t count) {
  for (std::uint32_t i = 0; i < count && !parts_.is_whole(); ++i) {
    const auto record = wire::decode_record(payload);
    if (!record) return false;
    const bool is_part = record->header.kind == wire::RecordKind::checkpoint;
    if (is_part && !parts_.add(record->body) && parts_.is_begun()) return false;
    payload = payload.subspan(std::min<std::uint64_t>(align_up(record->bytes(), 8), payload.size()));
  }
  return parts_.is_begun();
}

}  // namespace synod::storage
