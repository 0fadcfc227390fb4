#include "replica/slot_index.h"

#include <algorithm>

#include "wire/record.h"

namespace synod::replica {

namespace {

std::uint64_t place_of(Slot slot) {
  return (slot.value() - 1) % index_page_slots;
}

}  // namespace

SlotIndex::SlotIndex(std::uint64_t slots_max)
    : pages_max_(slots_max / index_page_slots + 3), directory_(pages_max_ * sizeof(Entry)), frames_(frames_max) {}

std::size_t SlotIndex::place_in_directory(std::uint64_t page) const {
  CHECK(page >= first_page_ && page <= open_page_);
  return page % pages_max_ * sizeof(Entry);
}

SlotIndex::Entry& SlotIndex::entry(std::uint64_t page) {
  return *reinterpret_cast<Entry*>(directory_.bytes().subspan(place_in_directory(page)).data());
}

SlotIndex::Entry SlotIndex::directory(std::uint64_t page) const {
  return *reinterpret_cast<const Entry*>(directory_.bytes().subspan(place_in_directory(page)).data());
}

std::size_t SlotIndex::place_of_frame(std::uint64_t page) const {
  for (std::size_t i = frames_[recent_].page == page ? recent_ : 0; i < frames_.size(); ++i) {
    if (frames_[i].page != page) continue;
    frames_[i].used = ++clock_;
    recent_ = i;
    return i;
  }
  return frames_.size();
}

const SlotIndex::Frame* SlotIndex::frame_of(std::uint64_t page) const {
  const std::size_t place = place_of_frame(page);
  return place == frames_.size() ? nullptr : &frames_[place];
}

SlotIndex::Frame* SlotIndex::frame_of(std::uint64_t page) {
  const std::size_t place = place_of_frame(page);
  return place == frames_.size() ? nullptr : &frames_[place];
}

// The frame that was used longest ago among those whose page can be read back.
SlotIndex::Frame& SlotIndex::take_frame(std::uint64_t page) {
  Frame* oldest = nullptr;
  for (Frame& frame : frames_) {
    const bool is_needed = frame.page != no_page && (frame.page == open_page_ || frame.is_dirty || frame.number > durable_);
    if (!is_needed && (oldest == nullptr || frame.page == no_page || (oldest->page != no_page && frame.used < oldest->used))) {
      oldest = &frame;
    }
  }
  CHECK(oldest != nullptr);  // far fewer than frames_max wait for the journal
  mark(*oldest, false);
  oldest->page = page;
  oldest->number = {};
  oldest->used = ++clock_;
  return *oldest;
}

void SlotIndex::append(Slot slot, Lsn base, wire::Chain chain, Checksum checksum, const storage::Journal::Staged& record) {
  CHECK_EQ(slot, commit_ + 1);
  CHECK(!full());
  const std::uint64_t place = place_of(slot);
  if (place == 0) {
    open_page_ = page_of(slot);
    entry(open_page_) = {base, chain, {}};
  }
  Frame* frame = frame_of(open_page_);
  if (frame == nullptr) frame = &take_frame(open_page_);
  frame->slots[place] = {base, record.location, checksum, record.number};
  commit_ = slot;
  if (place + 1 < index_page_slots) return;
  mark(*frame, true);
  ++open_page_;
  entry(open_page_) = {};
}

IndexedSlot SlotIndex::operator[](Slot slot) const {
  CHECK(slot >= first_ && slot <= commit_);
  const Frame* frame = frame_of(page_of(slot));
  CHECK(frame != nullptr);
  return frame->slots[place_of(slot)];
}

std::uint64_t SlotIndex::page_with(Lsn lsn) const {
  CHECK(commit_ >= first_);
  std::uint64_t low = page_of(first_);  // its base <= lsn
  std::uint64_t high = page_of(commit_) + 1;
  while (high - low > 1) {
    const std::uint64_t middle = low + (high - low) / 2;
    (directory(middle).base <= lsn ? low : high) = middle;
  }
  return low;
}

std::optional<Slot> SlotIndex::find(Lsn lsn) const {
  const std::uint64_t page = page_with(lsn);
  const Frame* frame = frame_of(page);
  if (frame == nullptr) return std::nullopt;
  const Slot last = std::min(commit_, first_of_page(page) + (index_page_slots - 1));
  std::uint64_t low = page == page_of(first_) ? place_of(first_) : 0;  // slots[low].base <= lsn
  std::uint64_t high = place_of(last) + 1;
  while (high - low > 1) {
    const std::uint64_t middle = low + (high - low) / 2;
    (frame->slots[middle].base <= lsn ? low : high) = middle;
  }
  return first_of_page(page) + low;
}

std::optional<std::uint64_t> SlotIndex::page_to_stage() const {
  if (dirty_ == 0) return std::nullopt;
  std::optional<std::uint64_t> oldest;
  for (const Frame& frame : frames_) {
    if (frame.is_dirty) oldest = std::min(oldest.value_or(no_page), frame.page);
  }
  return oldest;
}

void SlotIndex::write_page(std::uint64_t page, MutableBytes to) const {
  const Frame* frame = frame_of(page);
  CHECK(frame != nullptr);
  store(to, IndexPageHeader{.first = first_of_page(page), .base = frame->slots[0].base, .chain = directory(page).chain});
  for (std::uint64_t place = 0; place < index_page_slots; ++place) {
    const IndexedSlot& slot = frame->slots[place];
    store(to.subspan(sizeof(IndexPageHeader) + place * sizeof(IndexEntry)),
          IndexEntry{.base = slot.base, .offset = slot.location.offset, .bytes = slot.location.bytes, .checksum = slot.checksum});
  }
}

void SlotIndex::staged(std::uint64_t page, const storage::Journal::Staged& record) {
  Frame* frame = frame_of(page);
  CHECK(frame != nullptr);
  mark(*frame, false);
  frame->number = record.number;
  entry(page).location = record.location;
}

bool SlotIndex::loaded(std::uint64_t page, Bytes body) {
  if (page < first_page_ || page >= open_page_) return false;  // trimmed meanwhile
  if (is_resident(page)) return true;
  const auto header = decode_index_page(body);
  if (!header || header->first != first_of_page(page) || header->base != entry(page).base) return false;
  Frame& frame = take_frame(page);
  for (std::uint64_t place = 0; place < index_page_slots; ++place) {
    const IndexEntry from = entry_of_page(body, place);
    frame.slots[place] = {from.base, {from.offset, from.bytes}, from.checksum, PersistNumber{}};
  }
  return true;
}

void SlotIndex::lies_at(std::uint64_t page, storage::Location location) {
  if (page < first_page_ || page >= open_page_) return;
  entry(page).location = location;
  Frame* frame = frame_of(page);
  if (frame == nullptr) return;
  // What was put together here may be older than what the page says: a record may have been repaired.
  forget(*frame);
}

void SlotIndex::forget(Frame& frame) {
  frame.page = no_page;
  mark(frame, false);
}

void SlotIndex::mark(Frame& frame, bool is_dirty) {
  if (frame.is_dirty) --dirty_;
  if (is_dirty) ++dirty_;
  frame.is_dirty = is_dirty;
}

void SlotIndex::moved(Slot slot, const storage::Journal::Staged& record) {
  Frame* frame = frame_of(page_of(slot));
  CHECK(frame != nullptr);
  frame->slots[place_of(slot)].location = record.location;
  frame->slots[place_of(slot)].number = record.number;
  if (page_of(slot) < open_page_) mark(*frame, true);
}

void SlotIndex::restage(std::uint64_t page) {
  Frame* frame = frame_of(page);
  CHECK(frame != nullptr && page < open_page_);
  mark(*frame, true);
}

void SlotIndex::rebuilt(std::uint64_t page, std::span<const IndexedSlot> slots) {
  CHECK(page >= first_page_ && page < open_page_ && slots.size() == index_page_slots);
  Frame& frame = take_frame(page);
  std::ranges::copy(slots, frame.slots.begin());
  mark(frame, true);
}

void SlotIndex::trim(Slot first) {
  if (first <= first_) return;
  first_ = std::min(first, commit_ + 1);
  const std::uint64_t page = std::min(page_of(first_), open_page_);
  for (; first_page_ < page; ++first_page_) {
    Frame* frame = frame_of(first_page_);
    if (frame != nullptr) forget(*frame);
  }
}

void SlotIndex::reset(std::uint64_t first_page, Slot first) {
  for (Frame& frame : frames_) forget(frame);
  first_page_ = open_page_ = first_page;
  first_ = first;
  commit_ = Slot(first_page * index_page_slots);
  entry(open_page_) = {};
}

void SlotIndex::add_page(const Entry& added) {
  CHECK(!full());
  entry(open_page_) = added;
  ++open_page_;
  entry(open_page_) = {};
  commit_ = Slot(open_page_ * index_page_slots);
}

void SlotIndex::reset_behind(Slot commit, Lsn tail, wire::Chain chain) {
  const std::uint64_t page = page_of(commit + 1);
  reset(page, commit + 1);
  Frame& frame = take_frame(page);
  std::ranges::fill(frame.slots, IndexedSlot{.base = tail, .location = {}, .checksum = {}, .number = {}});
  entry(page) = {tail, chain, {}};
  commit_ = commit;
}

}  // namespace synod::replica
