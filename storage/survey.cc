// What lies at the start of each segment, and the checkpoint that a start begins from.
#include <sched.h>

#include <algorithm>
#include <array>

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

std::vector<Survey::CheckpointAt> Survey::checkpoints(DeviceRef device, const Superblock& superblock) const {
  std::vector<CheckpointAt> found;
  const std::vector<BlockHeader> heads = newest_first();
  const auto newest = heads.empty() ? std::nullopt : named_in(heads.front(), device, superblock);
  if (newest) found.push_back(*newest);
  for (const auto& head : heads_) {
    if (head && head->checkpoint_sequence != 0) found.push_back({head->checkpoint_sequence, head->checkpoint_offset});
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

std::optional<Survey::CheckpointAt> Survey::named_in(const BlockHeader& head, DeviceRef device,
                                                     const Superblock& superblock) const {
  const Visitor nobody;
  ChainScan scan(device, superblock, *this, nobody);
  if (!scan.start_at(head.offset, head.sequence)) return std::nullopt;
  for (auto stepped = scan.step(); stepped && *stepped && scan.reached().segment == head.segment; stepped = scan.step()) {
  }
  const ChainEnd& end = scan.reached();
  if (end.checkpoint_sequence == 0) return std::nullopt;
  return CheckpointAt{end.checkpoint_sequence, end.checkpoint_offset};
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
                                                      Survey::CheckpointAt at) {
  std::vector<std::byte> bytes;
  CheckpointPart expected;  // the next part
  bool is_bad = false;
  Visitor visitor;
  visitor.record = [&](const wire::RecordHeader& header, Location, Bytes body, const Watermarks&) {
    const bool is_begun = expected.parts != 0;
    const bool is_whole = is_begun && expected.part == expected.parts;
    if (header.kind != wire::RecordKind::checkpoint || is_whole || body.size() < sizeof(CheckpointPart)) return;
    const auto part = load<CheckpointPart>(body);
    if (!is_begun && part.part != 0) return;  // the end of an older one
    if (!is_begun) expected = part;
    const Bytes rest = body.subspan(sizeof(CheckpointPart));
    is_bad = is_bad || part.id != expected.id || part.part != expected.part || part.parts != expected.parts ||
             part.bytes != expected.bytes || part.bytes > checkpoint_bytes_max || rest.size() > part.bytes - bytes.size();
    if (is_bad) return;
    ++expected.part;
    bytes.insert(bytes.end(), rest.begin(), rest.end());
  };
  ChainScan scan(device, superblock, survey, visitor);
  if (!scan.start_at(at.offset, at.sequence)) return std::nullopt;
  while (!is_bad && (expected.parts == 0 || expected.part < expected.parts)) {
    const auto stepped = scan.step();
    if (!stepped || !*stepped) return std::nullopt;
    if (expected.parts == 0) return std::nullopt;  // its first block holds no first part
  }
  if (is_bad || bytes.size() != expected.bytes) return std::nullopt;
  return bytes;
}

}  // namespace synod::storage
