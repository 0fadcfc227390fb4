#include "replica/recovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/mutant.h"
#include "consensus/log_checkpoint.h"
#include "replica/trim_record.h"
#include "storage/layout.h"
#include "wire/body.h"

namespace synod::replica {

namespace {

constexpr std::size_t beside_bytes_max = 256U << 20;

Error cannot_be_applied(Slot slot, const char* why) {
  return {
      fmt::format("slot {} of the journal cannot be applied ({}): do not start this replica; keep its directory and report it",
                  slot.value(), why)};
}

}  // namespace

Recovery::Recovery(consensus::LogState& log, SlotIndex& index, storage::DeviceRef device)
    : log_(log), index_(index), device_(device) {}

storage::Visitor Recovery::visitor() {
  return {.checkpoint = [this](Bytes bytes) { return load(bytes); },
          .record = [this](const wire::RecordHeader& header, storage::Location location, Bytes body,
                           const storage::Watermarks& watermarks) { visit(header, location, body, watermarks); },
          .gap = [this](const storage::Gap& gap) { visit_gap(gap); },
          .healed =
              [this] {
                is_healed_ = true;
                visit_lost();
              }};
}

Result<> Recovery::load(Bytes checkpoint) {
  const auto view = decode_checkpoint(checkpoint);
  if (!view) return std::unexpected(view.error());
  const CheckpointHeader& header = view->header;
  if (const auto loaded = consensus::decode_log_checkpoint(view->log, log_); !loaded) {
    return fail(fmt::format("a checkpoint's log state cannot be used ({})", consensus::name(loaded.error())));
  }
  if (log_.applied() != header.applied || log_.tail() != header.tail || log_.chain() != header.chain) {
    return fail("a checkpoint contradicts itself");
  }
  if (auto loaded = load_index(*view); !loaded) return loaded;
  members_ = view->members;
  if (!mutant(Mutant::promise_lost_in_recycle)) promised_ = header.promised;
  trim_ = header.trim;
  trimmed_ = log_.trim();
  first_lsn_ = header.first_lsn;
  watermark_ = header.applied;
  doubt_ = {
      .kind = static_cast<consensus::Doubt::Kind>(header.doubt_kind), .bound = header.doubt_bound, .last = header.doubt_last};
  load_open(*view);
  return {};
}

Result<> Recovery::load_index(const CheckpointView& view) {
  const CheckpointHeader& header = view.header;
  index_.reset(header.first_page, std::max(Slot(1), header.trim));
  for (const PageAt& page : view.pages) {
    if (index_.full()) return fail("a checkpoint's index is larger than this journal can hold");
    index_.add_page({page.base, page.chain, {page.offset, page.bytes}});
  }
  for (const IndexEntry& entry : view.entries) {
    index_.append(index_.commit() + 1, entry.base, header.page_chain, entry.checksum,
                  {PersistNumber{}, {entry.offset, entry.bytes}});
  }
  return {};
}

// The bodies of the open slots lie where they were journalled, before the checkpoint. A vote that cannot be read is in doubt.
void Recovery::load_open(const CheckpointView& view) {
  open_.clear();
  storage::BlockReader reader(device_, device_.ready_bytes(), storage::device_block_bytes);
  for (const OpenSlot& open : view.open) {
    OpenRecord record{.header = {.slot = open.slot,
                                 .ballot = open.ballot,
                                 .body_bytes = open.bytes - static_cast<std::uint32_t>(sizeof(wire::RecordHeader)),
                                 .body_checksum = open.checksum,
                                 .kind = static_cast<wire::RecordKind>(open.kind)},
                      .location = {open.offset, open.bytes},
                      .body = {}};
    auto body = read_body(reader, open);
    // A disk that fails once does not make a vote doubtful.
    for (int tries = 1; tries < 3 && !body; ++tries) {
      reader.forget(storage::device_block_bytes);
      body = read_body(reader, open);
    }
    if (!body) {
      has_lost_ = true;
      continue;
    }
    record.body = std::move(*body);
    open_[open.slot] = std::move(record);
  }
}

std::optional<std::vector<std::byte>> Recovery::read_body(storage::BlockReader& reader, const OpenSlot& open) const {
  const std::uint64_t first = open.offset / storage::device_block_bytes * storage::device_block_bytes;
  const std::uint64_t bytes = align_up(open.offset + open.bytes, storage::device_block_bytes) - first;
  const bool possible = open.offset >= storage::segments_offset && first + bytes <= device_.ready_bytes() &&
                        open.bytes >= sizeof(wire::RecordHeader) && bytes <= storage::BlockReader::view_bytes_max;
  if (!possible) return std::nullopt;
  const auto record = wire::decode_record(reader.view(first, bytes).subspan(open.offset - first, open.bytes));
  if (!record || record->header.slot != open.slot || record->header.body_checksum != open.checksum) return std::nullopt;
  return std::vector<std::byte>(record->body.begin(), record->body.end());
}

void Recovery::visit(const wire::RecordHeader& header, storage::Location location, Bytes body,
                     const storage::Watermarks& watermarks) {
  if (gathers_ && header.kind != wire::RecordKind::checkpoint) keep_beside(header, location, body, watermarks);
  enter_block(watermarks);
  if (header.kind == wire::RecordKind::checkpoint) return visit_checkpoint_part(body);
  visit_record(header, location, body);
}

void Recovery::enter_block(const storage::Watermarks& watermarks) {
  // A new block: what the one before it knew as committed was complete when it was written.
  if (watermarks.commit > watermark_) {
    apply_up_to(watermark_);
    watermark_ = watermarks.commit;
  }
  if (!mutant(Mutant::promise_lost_in_recycle)) promised_ = std::max(promised_, watermarks.promised);
}

void Recovery::visit_record(const wire::RecordHeader& header, storage::Location location, Bytes body) {
  switch (header.kind) {
    case wire::RecordKind::promise: promised_ = std::max(promised_, header.ballot); break;
    case wire::RecordKind::members:
      members_.clear();
      for (Bytes rest = body; rest.size() >= sizeof(wire::MemberUuid); rest = rest.subspan(sizeof(wire::MemberUuid))) {
        members_.push_back(synod::load<wire::MemberUuid>(rest));
      }
      break;
    case wire::RecordKind::accepted:
      promised_ = std::max(promised_, header.ballot);  // a vote implies the promise
      [[fallthrough]];
    case wire::RecordKind::chosen:
      if (header.slot <= log_.applied()) {
        move(header, location);
        break;
      }
      open_[header.slot] = {header, location, {body.begin(), body.end()}, false};
      // A repair has journalled it again, behind where it was lost.
      if (header.slot == log_.applied() + 1) is_stuck_ = false;
      break;
    case wire::RecordKind::index: {
      const std::uint64_t page = page_of(header.slot);
      if (page >= index_.open_page()) pages_[page] = location;
      index_.lies_at(page, location);
      break;
    }
    case wire::RecordKind::trim: visit_trim(header.slot, body); break;
    case wire::RecordKind::repair:
      doubt_ = header.ballot.is_none() ? consensus::Doubt::without_bound() : consensus::Doubt::below(header.ballot, header.slot);
      promised_ = std::max(promised_, header.ballot);
      break;
    case wire::RecordKind::checkpoint: break;  // see visit
  }
}

void Recovery::visit_trim(Slot first_kept, Bytes body) {
  trim_ = std::max(trim_, first_kept);
  const auto record = decode_trim_record(body);
  if (!record) return;
  trimmed_ = std::max(trimmed_, record->trimmed);
  if (first_kept == trim_) trim_base_ = {record->base_sequence, record->base_offset, first_kept - 1};
}

// A repair has journalled again what the checkpoint knows at a place that was lost. (Where its page of the index is not here, the
// page was journalled again, too.)
void Recovery::move(const wire::RecordHeader& header, storage::Location location) {
  const bool is_known = header.slot >= index_.first() && index_.is_resident(page_of(header.slot)) &&
                        index_[header.slot].checksum == header.body_checksum;
  if (is_known) index_.moved(header.slot, {PersistNumber{}, location});
}

void Recovery::visit_checkpoint_part(Bytes body) {
  const bool is_first = body.size() >= sizeof(storage::CheckpointPart) && synod::load<storage::CheckpointPart>(body).part == 0;
  if (is_first) {
    parts_.clear();
    beside_.clear();
    beside_bytes_ = 0;
    gathers_ = true;
  }
  if (!gathers_ || !parts_.add(body) || !parts_.is_whole()) return;
  gathers_ = false;
  const auto view = decode_checkpoint(parts_.bytes());
  if (!view) return;
  // Whatever it covers was applied before it was begun. If we cannot get there, blocks were lost, and it leads beyond them.
  if (view->header.is_installed == 0) apply_up_to(view->header.applied);
  if (view->header.applied <= log_.applied()) return;
  const Ballot promised = promised_;
  const Slot trim = trim_;
  if (const auto loaded = load(parts_.bytes()); !loaded) error_ = loaded.error();
  promised_ = std::max(promised_, promised);
  trim_ = std::max(trim_, trim);
  is_stuck_ = false;
  for (const Visited& each : std::exchange(beside_, {})) {
    enter_block(each.watermarks);
    visit_record(each.header, each.location, each.body);
  }
}

// What lies between the parts of a checkpoint counts behind it.
void Recovery::keep_beside(const wire::RecordHeader& header, storage::Location location, Bytes body,
                           const storage::Watermarks& watermarks) {
  beside_bytes_ += body.size();
  gathers_ = beside_bytes_ <= beside_bytes_max;  // else this checkpoint is of no use
  if (gathers_) beside_.push_back({header, location, {body.begin(), body.end()}, watermarks});
}

// Blocks were lost here. What lies before them may have been overruled by what they held, also where they were healed since: then
// the value that was chosen was journalled again, behind blocks that know its slot as committed.
void Recovery::visit_lost() {
  apply_up_to(watermark_);
  for (auto& [slot, record] : open_) record.is_before_gap = true;
}

void Recovery::visit_gap(const storage::Gap& gap) {
  visit_lost();
  watermark_ = std::max(watermark_, gap.bound.commit);
  promised_ = std::max(promised_, gap.bound.promised);
  has_lost_ = true;
  if (gap.is_unbounded) doubt_ = consensus::Doubt::without_bound();
}

void Recovery::append_to_index(Slot slot, Lsn base, wire::Chain chain, const OpenRecord& record) {
  index_.append(slot, base, chain, record.header.body_checksum, {PersistNumber{}, record.location});
  const auto page = pages_.find(page_of(slot));
  if (page == pages_.end() || page->first >= index_.open_page()) return;
  index_.lies_at(page->first, page->second);
  pages_.erase(page);
}

void Recovery::apply_up_to(Slot commit) {
  while (log_.applied() < commit && !error_ && !is_stuck_) {
    const Slot slot = log_.applied() + 1;
    const auto record = open_.find(slot);
    if (record == open_.end() || record->second.is_before_gap) {
      is_stuck_ = true;
      return;
    }
    const auto body = wire::BodyView::decode(record->second.body);
    if (!body || index_.full() || index_.unstaged() + 2 >= SlotIndex::frames_max) {
      error_ = cannot_be_applied(slot, body ? "the index is full" : wire::name(body.error()));
      return;
    }
    const Lsn base = log_.tail();
    const wire::Chain chain = log_.chain();
    log_.apply(slot, record->second.header.body_checksum, *body, [](const consensus::AppliedRun&) {});
    append_to_index(slot, base, chain, record->second);
    open_.erase(record);
  }
}

Result<> Recovery::finish(const storage::Recovered& recovered) {
  if (!mutant(Mutant::promise_lost_in_recycle)) promised_ = std::max(promised_, recovered.watermarks.promised);
  apply_up_to(std::max(watermark_, recovered.watermarks.commit));
  // Behind a healed place without the repair of what it needs: the checkpoint behind it, which made closing it right, is lost
  // too. The place counts as a gap again.
  if (is_stuck_ && is_healed_) has_lost_ = true;
  if (is_stuck_ && !has_lost_ && !recovered.tail_is_lost && !error_) {
    error_ =
        Error{fmt::format("the journal says that slot {} is committed but holds no record of it: do not start this replica; "
                          "keep its directory and report it",
                          (log_.applied() + 1).value())};
  }
  // Votes that may be committed later: what goes on from here takes their bodies for valid.
  for (const auto& [slot, record] : open_) {
    const auto body = wire::BodyView::decode(record.body);
    if (!body && !error_) error_ = cannot_be_applied(slot, wire::name(body.error()));
  }
  if (error_) return std::unexpected(*error_);
  // A gap may hide how far the log was applied when the trim was recorded. It is found again when the log has come so far.
  trim_ = std::min(trim_, log_.applied() + 1);
  if (trim_base_.applied + 1 != trim_) trim_base_ = {};
  index_.trim(trim_);
  if (recovered.tail_is_lost) {
    doubt_ = consensus::Doubt::without_bound();
  } else if (has_lost_ && !doubt_.is_unbounded()) {
    // Everything that was promised and touched by the end of the chain: no less than what the block behind the gap says.
    doubt_ = consensus::Doubt::below(promised_, std::max(doubt_.last, recovered.watermarks.highest));
  }
  return {};
}

}  // namespace synod::replica
