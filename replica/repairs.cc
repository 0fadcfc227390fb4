#include "replica/repairs.h"

#include <algorithm>

#include "base/check.h"

namespace synod::replica {

namespace {

constexpr std::uint64_t ask_interval_us = 20'000;
constexpr std::uint64_t slots_at_once = 64;

}  // namespace

void Repairs::ask(Slot slot) {
  if (!wants(slot) && !slots_.full()) slots_.push_back(slot);
}

bool Repairs::ask_page(std::uint64_t page, Lsn base, wire::Chain chain) {
  if (page_) return page_->page == page;
  page_ = Building{page, first_of_page(page), base, chain};
  return true;
}

std::optional<Repairs::Question> Repairs::next_question(std::uint64_t now_us) {
  if (is_idle() || now_us - asked_us_ < ask_interval_us) return std::nullopt;
  asked_us_ = now_us;
  ++turn_;
  if (slots_.empty() || (page_ && turn_ % 4 == 0)) {
    const Slot last = first_of_page(page_->page) + (index_page_slots - 1);
    return Question{page_->next, std::min(last, page_->next + (slots_at_once - 1)), turn_};
  }
  // Neighbours are often damaged together.
  const Slot first = *std::ranges::min_element(slots_);
  Slot last = first;
  while (wants(last + 1)) ++last;
  return Question{first, last, turn_};
}

bool Repairs::wants(Slot slot) const {
  return std::ranges::find(slots_, slot) != slots_.end();
}

void Repairs::repaired(Slot slot) {
  auto* const found = std::ranges::find(slots_, slot);
  CHECK(found != slots_.end());
  *found = slots_[slots_.size() - 1];
  slots_.pop_back();
  ++counters_.records;
  asked_us_ = 0;  // the next one at once
}

void Repairs::add_to_page(const wire::RecordView& record, const wire::BodyView& body, const storage::Journal::Staged& staged) {
  CHECK(wants_for_page(record.header.slot));
  const std::uint64_t place = page_->next.value() - first_of_page(page_->page).value();
  page_slots_[place] = {page_->base, staged.location, record.header.body_checksum, staged.number};
  const bool is_void = !body.is_noop() && body.header().assumed_chain != page_->chain;
  if (!body.is_noop() && !is_void) page_->base = page_->base + body.header().entries;
  page_->chain = wire::extend(page_->chain, record.header.body_checksum);
  ++page_->next;
  ++counters_.records;
  if (place % slots_at_once == slots_at_once - 1) asked_us_ = 0;
}

std::optional<Repairs::Page> Repairs::finished_page() const {
  if (!page_ || page_->next < first_of_page(page_->page + 1)) return std::nullopt;
  return Page{page_->page, page_->base, page_->chain};
}

void Repairs::drop_page(bool is_repaired) {
  page_.reset();
  if (is_repaired) ++counters_.pages;
}

void Repairs::trim(Slot first) {
  for (std::size_t i = slots_.size(); i-- > 0;) {
    if (slots_[i] >= first) continue;
    slots_[i] = slots_[slots_.size() - 1];
    slots_.pop_back();
  }
  if (page_ && first_of_page(page_->page) < first) page_.reset();
}

void Repairs::forget() {
  slots_.clear();
  page_.reset();
}

}  // namespace synod::replica
