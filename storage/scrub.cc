#include "storage/scrub.h"

#include <algorithm>

#include "base/crc32c.h"
#include "storage/journal_state.h"

namespace synod::storage {

namespace {

constexpr std::uint64_t chunk_bytes = 256U << 10;
constexpr std::uint32_t tries_max = 3;

}  // namespace

Scrub::Scrub(Journal& journal, const ScrubOptions& options) : journal_(journal), options_(options) {}

void Scrub::begin_pass() {
  is_running_ = true;
  segment_ = journal_.first_segment();
  value_ = 0;
  sequence_ = 0;
  open_count_ = 0;
  progress_.segments_done = 0;
  begin_segment();
  // What lies before the oldest segment that is needed nobody knows any more; before the first block of the disk lies nothing.
  const bool is_beginning = segment_ == 0 && journal_.segments()[0].generation == 1;
  if (is_beginning) value_ = chain_start(journal_.state_->superblock.disk);
}

void Scrub::begin_segment() {
  offset_ = journal_.state_->geometry.start_of(segment_);
  bytes_wanted_ = 0;
  tries_ = 0;
  const SegmentInfo& info = journal_.segments()[segment_];
  if (sequence_ == 0 && info.first_sequence != 0) sequence_ = info.first_sequence - 1;
}

// Of the blocks that lie in the segment, as far as they are durable.
std::uint64_t Scrub::last_of_segment() const {
  if (segment_ == journal_.current_segment()) return journal_.durable_sequence();
  const SegmentInfo& next = journal_.segments()[journal_.state_->geometry.next(segment_)];
  return next.first_sequence == 0 ? journal_.durable_sequence() : std::min(next.first_sequence - 1, journal_.durable_sequence());
}

std::optional<Gap> Scrub::step(std::uint64_t now_us) {
  if (const auto read = journal_.take_blocks(Journal::Asker::scrub)) {
    // What was read in a segment that was released meanwhile may be anything.
    const bool is_stale =
        read->offset != offset_ || journal_.state_->age_of(segment_) > journal_.state_->age_of(journal_.current_segment());
    if (is_stale) {
      is_running_ = is_searching_ = false;
    } else if (read->bytes.empty() && asked_bytes_ > device_block_bytes && bytes_wanted_ != asked_bytes_) {
      is_narrow_ = true;
    } else if (is_searching_) {
      judge_search(read->bytes);
    } else {
      judge(read->bytes);
    }
  }
  if (is_found_) return finish_search();
  if (now_us >= next_us_ && options_.bytes_per_s > 0) ask(now_us);
  return std::nullopt;
}

void Scrub::ask(std::uint64_t now_us) {
  if (!is_running_) begin_pass();
  const Geometry& geometry = journal_.state_->geometry;
  while (is_running_ && !is_searching_ && sequence_ >= last_of_segment()) next_segment();
  if (!is_running_) {
    next_us_ = now_us + options_.pause_us;
    return;
  }
  if (is_searching_ && offset_ + device_block_bytes > geometry.end_of(segment_)) {
    if (segment_ == journal_.current_segment()) {
      // No later block says that it was durable, so a start could not tell that it is lost. Once there is one, this is a gap.
      if (journal_.idle()) journal_.want_checkpoint();
      is_running_ = is_searching_ = false;
      next_us_ = now_us + options_.pause_us;
      return;
    }
    ++progress_.segments_done;
    segment_ = geometry.next(segment_);
    offset_ = geometry.start_of(segment_);
  }
  const std::uint64_t wanted =
      is_narrow_ ? std::max<std::uint64_t>(bytes_wanted_, device_block_bytes) : std::max(bytes_wanted_, chunk_bytes);
  const std::uint64_t bytes = std::min(wanted, geometry.end_of(segment_) - offset_);
  if (!journal_.read_blocks(Journal::Asker::scrub, offset_, bytes)) return;
  asked_bytes_ = bytes;
  next_us_ = now_us + bytes * 1'000'000 / options_.bytes_per_s;
}

bool Scrub::is_next(const BlockHeader& header) const {
  const bool follows = header.sequence == sequence_ + 1 || (header.kind != BlockKind::normal && header.sequence > sequence_);
  return (sequence_ == 0 || follows) && (value_ == 0 || header.previous == value_);
}

void Scrub::take(const BlockHeader& header) {
  const std::uint64_t length = journal_.state_->geometry.block_bytes(header.payload_bytes);
  sequence_ = header.sequence;
  value_ = chain_value(header);
  open_count_ = header.open_count;
  offset_ = header.offset + length;
  ++progress_.blocks_checked;
  progress_.bytes_checked += length;
  bytes_wanted_ = 0;
  tries_ = 0;
  is_narrow_ = false;
}

Scrub::Block Scrub::look_at(Bytes bytes) const {
  if (bytes.size() < device_block_bytes) return {};
  const auto header = decode_block_header(bytes, offset_, journal_.state_->superblock);
  if (!header || !is_next(*header)) return {};
  if (header->kind == BlockKind::healed) return {.verdict = Block::Verdict::good, .header = *header};
  if (journal_.state_->geometry.block_bytes(header->payload_bytes) > bytes.size())
    return {.verdict = Block::Verdict::cut, .header = *header};
  const bool is_good = crc32c(bytes.subspan(sizeof(BlockHeader), header->payload_bytes)) == header->payload_checksum;
  return {.verdict = is_good ? Block::Verdict::good : Block::Verdict::bad, .header = *header};
}

// As many blocks as these bytes hold whole. What is not good is read once more, by itself, before it is called bad.
void Scrub::judge(Bytes bytes) {
  const Geometry& geometry = journal_.state_->geometry;
  const std::uint64_t start = offset_;
  bool has_taken = false;
  while (sequence_ < last_of_segment()) {
    const Block block = look_at(bytes.subspan(std::min<std::uint64_t>(offset_ - start, bytes.size())));
    if (block.verdict == Block::Verdict::good) {
      take(block.header);
      has_taken = true;
      if (block.header.kind != BlockKind::healed) continue;
      healed_ = {block.header.offset, static_cast<std::uint32_t>(geometry.block_bytes(block.header.payload_bytes))};
      return;
    }
    const std::uint64_t length = geometry.block_bytes(block.header.payload_bytes);
    if (block.verdict == Block::Verdict::cut && (has_taken || length > bytes_wanted_)) {
      bytes_wanted_ = std::min<std::uint64_t>(length, block_bytes_limit);
    } else if (!has_taken && ++tries_ >= tries_max) {
      begin_search();
    }
    return;
  }
}

void Scrub::next_segment() {
  ++progress_.segments_done;
  if (segment_ == journal_.current_segment()) {
    ++progress_.passes;
    is_running_ = false;
    return;
  }
  segment_ = journal_.state_->geometry.next(segment_);
  begin_segment();
}

void Scrub::begin_search() {
  is_searching_ = true;
  candidates_.clear();
  gap_ = {.first_sequence = sequence_ + 1, .segment = segment_, .open_count = open_count_, .offset = offset_, .previous = value_};
  bytes_wanted_ = 0;
  tries_ = 0;
}

// The chain goes on at the start of this segment: nothing is lost. (Where its first blocks were lost and healed, the journal may
// not know from where on the numbers lie here.)
bool Scrub::is_next_segment(Bytes bytes) const {
  if (offset_ != journal_.state_->geometry.start_of(segment_) || segment_ == gap_.segment) return false;
  const auto header = decode_block_header(bytes, offset_, journal_.state_->superblock);
  return header && is_next(*header);
}

void Scrub::judge_search(Bytes bytes) {
  const Superblock& superblock = journal_.state_->superblock;
  const Geometry& geometry = journal_.state_->geometry;
  if (is_next_segment(bytes)) {
    is_searching_ = false;
    return;
  }
  std::uint64_t at = 0;
  for (; at + device_block_bytes <= bytes.size(); at += geometry.unit_bytes) {
    const auto header = decode_block_header(bytes.subspan(at), offset_ + at, superblock);
    if (!header || header->sequence <= gap_.first_sequence || header->sequence > journal_.durable_sequence()) continue;
    if (header->open_count < open_count_) continue;
    const std::uint64_t length = geometry.block_bytes(header->payload_bytes);
    if (length > bytes.size() - at) {
      if (at > 0) break;  // read on from there
      if (asked_bytes_ < length && bytes_wanted_ < length) {
        bytes_wanted_ = length;
        return;
      }
    }
    candidates_.push_back(*header);
    if (header->durable_sequence < gap_.first_sequence) continue;
    const bool is_good = length <= bytes.size() - at &&
                         crc32c(bytes.subspan(at + sizeof(BlockHeader), header->payload_bytes)) == header->payload_checksum;
    if (!is_good) continue;
    is_found_ = true;
    return;
  }
  // What cannot be read is passed over, a device block at a time.
  if (at == 0) at = device_block_bytes;
  offset_ += at;
  bytes_wanted_ = 0;
}

// The last candidate is on the chain for sure, and those before it as far as its chain values link to them.
std::optional<Gap> Scrub::finish_search() {
  BlockHeader next = candidates_.back();
  for (auto before = candidates_.rbegin() + 1; before != candidates_.rend(); ++before) {
    if (before->sequence + 1 == next.sequence && chain_value(*before) == next.previous) next = *before;
  }
  gap_.next_sequence = next.sequence;
  gap_.next_offset = next.offset;
  gap_.next_generation = next.generation;
  gap_.is_unbounded = next.unbounded != 0;
  gap_.next_previous = next.previous;
  gap_.bound = {
      .promised = next.promised, .commit = next.commit, .highest = next.highest, .tail = next.tail, .heard = next.heard};
  progress_.blocks_bad += gap_.next_sequence - gap_.first_sequence;
  is_searching_ = is_found_ = false;
  segment_ = next.segment;
  offset_ = next.offset;
  sequence_ = next.sequence - 1;
  value_ = next.previous;
  bytes_wanted_ = 0;
  return gap_;
}

}  // namespace synod::storage
