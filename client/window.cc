#include "client/window.h"

#include <algorithm>

#include "base/check.h"
#include "wire/body.h"
#include "wire/limits.h"

namespace synod::client {

AppendWindow::AppendWindow(std::size_t entries_max, std::size_t bytes_max)
    : memory_(bytes_max), entries_(entries_max), ranges_(entries_max) {
  CHECK_GE(bytes_max, entry_bytes_max + wire::entry_header_bytes);
  CHECK_LE(bytes_max, std::size_t{1} << 31);
}

void AppendWindow::restart() {
  CHECK(entries_.empty());
  ranges_.clear();
  front_ = Sequence(1);
  next_unpacked_ = Sequence(1);
}

std::optional<std::uint32_t> AppendWindow::place_for(std::size_t bytes) const {
  if (entries_.empty()) return bytes <= memory_.size() ? std::optional<std::uint32_t>(0) : std::nullopt;
  const std::size_t head = entries_[0].offset;
  const Entry& last = entries_[entries_.size() - 1];
  const std::size_t tail = last.offset + last.bytes;
  if (tail <= head) return bytes <= head - tail ? std::optional(static_cast<std::uint32_t>(tail)) : std::nullopt;
  if (bytes <= memory_.size() - tail) return static_cast<std::uint32_t>(tail);
  return bytes <= head ? std::optional<std::uint32_t>(0) : std::nullopt;
}

std::optional<Sequence> AppendWindow::push(Bytes payload, std::uint64_t now_us, wire::AckLevel ack) {
  CHECK_LE(payload.size(), entry_bytes_max);
  if (entries_.full()) return std::nullopt;
  const std::size_t bytes = payload.size() + wire::entry_header_bytes;
  const auto offset = place_for(bytes);
  if (!offset) return std::nullopt;
  const MutableBytes to = MutableBytes(memory_).subspan(*offset, bytes);
  store(to, static_cast<std::uint32_t>(payload.size()));
  copy(to.subspan(wire::entry_header_bytes), payload);
  const Sequence sequence = end();
  entries_.push({.offset = *offset, .bytes = static_cast<std::uint32_t>(bytes), .submitted_us = now_us, .ack = ack});
  bytes_used_ += bytes;
  return sequence;
}

void AppendWindow::pop() {
  if (entries_.front().answered) --answered_;
  bytes_used_ -= entries_.front().bytes;
  entries_.pop();
  ++front_;
  next_unpacked_ = std::max(next_unpacked_, front_);
  while (!ranges_.empty() && ranges_.front().end() <= front_) ranges_.pop();
}

bool AppendWindow::pack(std::size_t entries_max, std::size_t bytes_max) {
  if (next_unpacked_ == end()) return false;
  Range range;
  range.first = next_unpacked_;
  std::size_t bytes = 0;
  while (next_unpacked_ != end() && range.count < entries_max) {
    const Entry& next = entry(next_unpacked_);
    const bool adjacent = range.count == 0 || next.offset == entry(range.first).offset + bytes;
    if (range.count > 0 && (!adjacent || bytes + next.bytes > bytes_max || next.ack != entry(range.first).ack)) break;
    bytes += next.bytes;
    ++range.count;
    ++next_unpacked_;
  }
  ranges_.push(range);
  return true;
}

std::size_t AppendWindow::find(Sequence sequence) const {
  std::size_t low = 0;
  std::size_t high = ranges_.size();
  while (low < high) {
    const std::size_t middle = (low + high) / 2;
    if (ranges_[middle].end() <= sequence) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < ranges_.size() && ranges_[low].first <= sequence ? low : ranges_.size();
}

Bytes AppendWindow::bytes_from(const Range& range, Sequence from) const {
  const Entry& first = entry(from);
  const Entry& last = entry(range.end() - 1);
  return Bytes(memory_).subspan(first.offset, last.offset + last.bytes - first.offset);
}

bool AppendWindow::answer(const wire::Appended& appended, Ballot ballot) {
  const Sequence first = appended.first;
  if (first.value() > next_unpacked_.value()) return false;  // also keeps the sum below from overflowing
  const Sequence to = std::min(first + appended.count, next_unpacked_);
  const Sequence from = std::max(first, front_);
  bool news = false;
  for (Sequence sequence = from; sequence < to;) {
    const std::size_t index = find(sequence);
    if (index == ranges_.size()) {  // of a range that is finished
      ++sequence;
      continue;
    }
    Range& range = ranges_[index];
    for (; sequence < std::min(range.end(), to); ++sequence) {
      Entry& entry = entries_[sequence - front_];
      if (entry.answered || !wire::satisfies(appended.ack, entry.ack)) continue;
      entry.answered = true;
      entry.met = appended.ack;
      entry.ballot = ballot;
      entry.lsn = appended.first_lsn + (sequence - first);
      ++range.answered;
      ++answered_;
      news = true;
    }
    if (range.done()) range.outstanding = false;
  }
  while (!ranges_.empty() && ranges_.front().done()) ranges_.pop();
  return news;
}

}  // namespace synod::client
