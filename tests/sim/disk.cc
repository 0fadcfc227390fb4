#include "tests/sim/disk.h"

#include <algorithm>
#include <cerrno>

#include "base/check.h"

namespace synod::sim {

using storage::Completion;
using storage::device_block_bytes;

Disk::Disk(std::uint64_t size_bytes, Prng prng)
    : memory_(size_bytes),
      info_{.block_bytes = device_block_bytes, .size_bytes = size_bytes, .stable = true, .description = "simulated"},
      prng_(prng) {
  memory_.prefer_huge_pages();
}

void Disk::write_durable(std::uint64_t offset, Bytes data, std::uint64_t token) {
  CHECK(offset % device_block_bytes == 0 && data.size() % device_block_bytes == 0);
  CHECK_LE(offset + data.size(), memory_.size());
  operations_.push_back({.token = token, .offset = offset, .data = data, .to = {}, .is_write = true});
  if (dead_) return;
  if (on_asked) on_asked(offset, data);
  if (!dies_after_writes) return;
  if (*dies_after_writes > 0) {
    --*dies_after_writes;
  } else {
    operations_.back().submitted = true;
    (void)cut_power();
  }
}

void Disk::read(std::uint64_t offset, MutableBytes to, std::uint64_t token) {
  CHECK_LE(offset + to.size(), memory_.size());
  operations_.push_back({.token = token, .offset = offset, .data = {}, .to = to});
}

void Disk::submit() {
  for (Operation& operation : operations_) {
    if (operation.submitted) continue;
    operation.submitted = true;
    operation.ready_us = now_us + prng_.between(conduct.latency_us_min, conduct.latency_us_max);
  }
}

bool Disk::has_writes_in_flight() const {
  return std::ranges::any_of(operations_, [](const Operation& operation) { return operation.is_write && operation.submitted; });
}

bool Disk::is_ready(const Operation& operation) const {
  if (dead_) return true;
  if (!operation.submitted) return false;
  return opening || (operation.ready_us <= now_us && conduct.stalled_until_us <= now_us);
}

std::size_t Disk::poll(std::span<Completion> out) {
  std::size_t count = 0;
  while (count < out.size()) {
    // The one that was ready first; so completions come in the order of the latencies that were drawn.
    auto first = operations_.end();
    for (auto at = operations_.begin(); at != operations_.end(); ++at) {
      if (is_ready(*at) && (first == operations_.end() || at->ready_us < first->ready_us)) first = at;
    }
    if (first == operations_.end()) break;
    const Operation operation = *first;
    operations_.erase(first);
    out[count++] = {.token = operation.token, .error = carry_out(operation)};
  }
  return count;
}

std::int32_t Disk::carry_out(const Operation& operation) {
  if (dead_) return EIO;
  return operation.is_write ? carry_out_write(operation) : carry_out_read(operation);
}

std::int32_t Disk::carry_out_write(const Operation& operation) {
  if (conduct.next_write_fails && !opening) {
    conduct.next_write_fails = false;
    ++counters_.write_errors;
    Cut ignored;
    tear(operation, ignored);
    return EIO;
  }
  const MutableBytes place = memory_.bytes().subspan(operation.offset, operation.data.size());
  if (conduct.misdirect_next_write_to && !opening) {
    const std::uint64_t target = *conduct.misdirect_next_write_to;
    conduct.misdirect_next_write_to.reset();
    const MutableBytes wrong = memory_.bytes().subspan(target, operation.data.size());
    if (target + operation.data.size() <= operation.offset) {
      ++counters_.misdirected;
      misdirected_.push_back(
          {operation.offset, {operation.data.begin(), operation.data.end()}, target, {wrong.begin(), wrong.end()}});
      copy(wrong, operation.data);
      if (on_landed) on_landed(operation.offset, operation.data);
      return 0;
    }
  }
  copy(place, operation.data);
  make_readable(operation.offset, operation.data.size());
  forget_misdirected(operation.offset, operation.data.size());
  if (on_landed) on_landed(operation.offset, operation.data);
  return 0;
}

bool Disk::is_readable(std::uint64_t offset, std::uint64_t bytes) const {
  const auto bad = unreadable_.lower_bound(offset / sector_bytes);
  return bad == unreadable_.end() || *bad * sector_bytes >= offset + bytes;
}

// A bad sector is replaced by another one when it is written.
void Disk::make_readable(std::uint64_t offset, std::uint64_t bytes) {
  unreadable_.erase(unreadable_.lower_bound(offset / sector_bytes), unreadable_.lower_bound((offset + bytes) / sector_bytes));
}

std::int32_t Disk::carry_out_read(const Operation& operation) {
  const std::uint64_t end = operation.offset + operation.to.size();
  if (!is_readable(operation.offset, operation.to.size())) return EIO;
  // Recovery reads the whole disk: at the same rate it would never get through.
  const std::uint64_t odds = opening ? 30'000 : 1'000;
  if (prng_.chance(conduct.read_error_permille, odds)) {
    ++counters_.read_errors;
    return EIO;
  }
  copy(operation.to, Bytes(memory_.bytes()).subspan(operation.offset, operation.to.size()));
  const std::uint64_t reach = opening ? std::min(end, conduct.misread_end) : end;
  if (reach <= operation.offset || !prng_.chance(conduct.misread_permille, odds)) return 0;
  ++counters_.misreads;
  const std::uint64_t blocks = (reach - operation.offset) / device_block_bytes;
  if (blocks == 0) return 0;
  const std::uint64_t block = prng_.below(blocks) * device_block_bytes;
  const MutableBytes victim = operation.to.subspan(block, device_block_bytes);
  if (prng_.chance(1, 2)) {
    victim[prng_.below(device_block_bytes)] ^= static_cast<std::byte>(1U << prng_.below(8));
  } else {
    const std::uint64_t other = prng_.below(reach / device_block_bytes) * device_block_bytes;
    copy(victim, Bytes(memory_.bytes()).subspan(other, device_block_bytes));
  }
  return 0;
}

void Disk::tear(const Operation& operation, Cut& cut) {
  const MutableBytes place = memory_.bytes().subspan(operation.offset, operation.data.size());
  const std::uint64_t fate = prng_.below(12);
  if (fate == 0) {
    ++cut.absent;
    return;
  }
  if (fate == 1) {
    ++cut.whole;
    copy(place, operation.data);
    return;
  }
  ++cut.torn;
  const std::uint64_t sectors = operation.data.size() / sector_bytes;
  const std::uint64_t garbage = prng_.chance(1, 8) ? prng_.below(sectors) : sectors;
  const std::uint64_t present_percent = prng_.between(1, 99);
  for (std::uint64_t sector = 0; sector < sectors; ++sector) {
    const MutableBytes to = place.subspan(sector * sector_bytes, sector_bytes);
    if (sector == garbage) {
      for (auto& byte : to) byte = static_cast<std::byte>(prng_.next());
    } else if (prng_.chance(present_percent, 100)) {
      copy(to, operation.data.subspan(sector * sector_bytes, sector_bytes));
    }
  }
}

Cut Disk::cut_power() {
  Cut cut;
  for (const Operation& operation : operations_) {
    if (operation.is_write && operation.submitted) tear(operation, cut);
  }
  dead_ = true;
  return cut;
}

void Disk::kill() {
  for (const Operation& operation : operations_) {
    if (operation.is_write && operation.submitted) {
      copy(memory_.bytes().subspan(operation.offset, operation.data.size()), operation.data);
    }
  }
  dead_ = true;
}

void Disk::revive() {
  CHECK(operations_.empty());
  dead_ = false;
  dies_after_writes.reset();
  conduct.next_write_fails = false;
  conduct.misdirect_next_write_to.reset();
}

// What lies here is written anew. Where that is the place that was meant, nothing is missing there any more; where it is the one
// that was hit, nothing is to be put back there, but what was meant for the other place is still missing.
void Disk::forget_misdirected(std::uint64_t offset, std::uint64_t bytes) {
  const auto overlaps = [&](std::uint64_t place, const Misdirected& each) {
    return place < offset + bytes && offset < place + each.data.size();
  };
  std::erase_if(misdirected_, [&](const Misdirected& each) { return overlaps(each.offset, each); });
  for (Misdirected& each : misdirected_) {
    if (overlaps(each.went_to, each)) each.overwrote.clear();
  }
}

std::size_t Disk::undo_misdirected(const std::function<bool(Bytes)>& can_be_noticed) {
  std::size_t undone = 0;
  for (auto at = misdirected_.begin(); at != misdirected_.end();) {
    if (can_be_noticed(at->data)) {
      ++at;
      continue;
    }
    copy(memory_.bytes().subspan(at->went_to, at->overwrote.size()), at->overwrote);
    copy(memory_.bytes().subspan(at->offset, at->data.size()), at->data);
    at = misdirected_.erase(at);
    ++undone;
  }
  return undone;
}

void Disk::flip_bits(std::uint64_t offset, std::size_t bytes) {
  for (std::uint64_t flips = prng_.between(1, 4); flips > 0; --flips) {
    memory_.bytes()[offset + prng_.below(bytes)] ^= static_cast<std::byte>(1U << prng_.below(8));
  }
}

void Disk::rot(std::uint64_t offset, std::uint64_t bytes) {
  for (auto& byte : memory_.bytes().subspan(offset, bytes)) byte = static_cast<std::byte>(prng_.next());
}

void Disk::put_back(Bytes sectors) {
  copy(memory_.bytes(), sectors);
  misdirected_.clear();
}

void format(Disk& disk, storage::NewJournal journal) {
  journal.capacity_bytes = disk.sectors().size() - storage::segments_offset;
  const auto superblock = storage::plan_superblock(journal);
  CHECK(superblock.has_value());
  for (std::size_t i = 0; i < storage::superblock_copies; ++i) {
    store(disk.sectors().subspan(i * device_block_bytes), storage::seal(*superblock));
  }
}

}  // namespace synod::sim
