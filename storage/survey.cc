// What lies at the start of each segment, and the checkpoint that a start begins from.
#include <sched.h>

#include <algorithm>
#include <array>

#include "storage/checkpoint_parts.h"
#include "storage/recovery.h"

namespace synod::storage {

namespace {

constexpr std::size_t reads_at_once = 32;

// A disk that fails once may not be what it is: what a head says is not lost for that.
constexpr int tries_max = 3;

void read_heads(DeviceRef device, const Superblock& superblock, std::uint32_t first, std::span<std::optional<BlockHeader>> heads,
                std::span<bool> is_blank, AlignedBuffer& buffer) {
  const Geometry geometry = geometry_of(superblock);
  std::size_t asked = 0;
  for (; asked < heads.size(); ++asked) {
    const std::uint64_t offset = geometry.start_of(first + static_cast<std::uint32_t>(asked));
    if (offset + device_block_bytes > device.ready_bytes()) break;
    device.read(offset, buffer.bytes().subspan(asked * device_block_bytes, device_block_bytes), asked);
  }
  std::array<Completion, reads_at_once> finished;
  for (std::size_t done = 0; done < asked;) {
    device.submit();
    const std::size_t count = device.poll(finished);
    if (count == 0) ::sched_yield();
    done += count;
    for (const Completion& completion : std::span(finished).first(count)) {
      if (completion.error != 0) continue;
      const std::uint64_t offset = geometry.start_of(first + static_cast<std::uint32_t>(completion.token));
      const Bytes bytes = Bytes(buffer.bytes()).subspan(completion.token * device_block_bytes, device_block_bytes);
      const auto header = decode_block_header(bytes, offset, superblock);
      if (header && !is_discarded(*header, superblock)) heads[completion.token] = *header;
      is_blank[completion.token] = !header && header.error() == BlockFault::blank;
    }
  }
}

}  // namespace

Survey Survey::of(DeviceRef device, const Superblock& superblock) {
  Survey survey;
  survey.heads_.resize(superblock.segments);
  AlignedBuffer buffer(reads_at_once * device_block_bytes);
  for (std::uint32_t first = 0; first < superblock.segments; first += reads_at_once) {
    const std::size_t count = std::min<std::size_t>(reads_at_once, superblock.segments - first);
    const auto heads = std::span(survey.heads_).subspan(first, count);
    std::array<bool, reads_at_once> is_blank{};
    read_heads(device, superblock, first, heads, is_blank, buffer);
    for (std::uint32_t i = 0; i < count; ++i) {
      for (int tries = 1; tries < tries_max && !heads[i] && !is_blank[i]; ++tries) {
        read_heads(device, superblock, first + i, heads.subspan(i, 1), std::span(is_blank).subspan(i, 1), buffer);
      }
    }
  }
  return survey;
}

std::vector<CheckpointAt> Survey::checkpoints(DeviceRef device, const Superblock& superblock) const {
  std::vector<CheckpointAt> found;
  const std::vector<BlockHeader> heads = newest_first();
  const auto newest = heads.empty() ? std::nullopt : named_in(heads.front(), device, superblock);
  if (newest) found.push_back(*newest);
  for (const auto& head : heads_) {
    if (head && head->checkpoint_sequence != 0) found.push_back(checkpoint_of(*head));
  }
  const auto newer = [](const CheckpointAt& a, const CheckpointAt& b) { return a.sequence > b.sequence; };
  std::ranges::sort(found, newer);
  const auto repeated = std::ranges::unique(found, {}, &CheckpointAt::sequence);
  found.erase(repeated.begin(), repeated.end());
  return found;
}

std::vector<BlockHeader> Survey::witnesses_of(std::uint64_t sequence) const {
  std::vector<BlockHeader> witnesses;
  for (const auto& head : heads_) {
    if (head && head->sequence > sequence && head->durable_sequence >= sequence) witnesses.push_back(*head);
  }
  std::ranges::sort(witnesses, {}, &BlockHeader::sequence);
  return witnesses;
}

std::optional<CheckpointAt> Survey::named_in(const BlockHeader& head, DeviceRef device, const Superblock& superblock) const {
  const Visitor nobody;
  ChainScan scan(device, superblock, *this, nobody);
  scan.start_at(head);
  for (auto stepped = scan.step(); stepped && *stepped && scan.reached().segment == head.segment; stepped = scan.step()) {
  }
  const ChainEnd& end = scan.reached();
  if (end.checkpoint.sequence == 0) return std::nullopt;
  return end.checkpoint;
}

std::vector<BlockHeader> Survey::newest_first() const {
  std::vector<BlockHeader> sorted;
  for (const auto& head : heads_) {
    if (head) sorted.push_back(*head);
  }
  std::ranges::sort(sorted, std::ranges::greater{}, &BlockHeader::sequence);
  return sorted;
}

void Survey::search_checkpoints(DeviceRef device, const Superblock& superblock,
                                const std::function<bool(CheckpointAt)>& use) const {
  for (const BlockHeader& head : newest_first()) {
    const auto at = named_in(head, device, superblock);
    if (at && use(*at)) return;
  }
}

std::optional<std::vector<std::byte>> read_checkpoint(DeviceRef device, const Superblock& superblock, const Survey& survey,
                                                      CheckpointAt at) {
  CheckpointParts parts;
  bool is_bad = false;
  Visitor visitor;
  visitor.record = [&](const wire::RecordHeader& header, Location, Bytes body, const Watermarks&) {
    if (header.kind != wire::RecordKind::checkpoint || parts.is_whole()) return;
    const bool is_added = parts.add(body);
    is_bad = is_bad || (!is_added && parts.is_begun());  // in front of the first part may lie the end of an older one
  };
  ChainScan scan(device, superblock, survey, visitor);
  if (!scan.start_at(at.offset, at.sequence)) return std::nullopt;
  while (!parts.is_whole()) {
    const auto stepped = scan.step();
    if (!stepped || !*stepped || is_bad || !parts.is_begun()) return std::nullopt;
  }
  return parts.bytes();
}

}  // namespace synod::storage
