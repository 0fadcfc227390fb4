// The ways to spoil a disk. Input: how many, then one Change each, then the values that forgeries write.
#include <bit>

#include "base/crc32c.h"
#include "storage/layout.h"
#include "tests/fuzz/disk.h"
#include "wire/record.h"

namespace synod::fuzz {

using namespace storage;

namespace {

constexpr std::size_t sector = 512;
constexpr std::size_t changes_max = 12;
constexpr std::size_t flips_max = 3;  // in all: so many wrong bits a CRC32C finds for sure, in a block of any size

enum class Kind : std::uint8_t {
  flip_bit,
  lose_sectors,     // they read as zeros
  move_sectors,     // a misdirected write: `count` sectors from `from` come to `at`
  restore_sectors,  // a lost write: they are as they were before the power cut
  swap_pages,
  cut_off,           // the device ends at sector `at`
  forge_superblock,  // copies in the bits of `from`
  forge_header,      // of the block in page `at`
  forge_record,      // in the payload of the block in page `at`
  forge_bytes,       // anywhere, without repair
  count_
};

struct Change {
  Kind kind{};
  std::uint8_t count = 0;
  std::uint16_t at = 0;
  std::uint16_t from = 0;  // of a forgery: the field's place
  std::uint16_t length = 0;
  std::uint64_t value = 0;
};
static_assert(Format<Change> && sizeof(Change) == 16);

MutableBytes sectors(MutableBytes image, std::size_t first, std::size_t count) {
  const std::size_t all = image.size() / sector;
  if (all == 0) return {};
  first %= all;
  return image.subspan(first * sector, std::min(count, all - first) * sector);
}

MutableBytes page(MutableBytes image, std::size_t number) {
  const std::size_t all = image.size() / device_block_bytes;
  return all == 0 ? MutableBytes{} : image.subspan(number % all * device_block_bytes, device_block_bytes);
}

// Writes the low bytes of `value`, 1 to 8 of them, somewhere into `to`.
void write_value(MutableBytes to, const Change& change) {
  if (to.empty()) return;
  const std::size_t at = change.from % to.size();
  const std::size_t bytes = std::min<std::size_t>(1 + change.length % 8, to.size() - at);
  copy(to.subspan(at), bytes_of(change.value).first(bytes));
}

void forge_superblock(MutableBytes image, const Change& change) {
  for (std::uint32_t i = 0; i < superblock_copies; ++i) {
    const MutableBytes copy = page(image, i);
    if (copy.empty() || (change.count >> i & 1) == 0) continue;
    write_value(copy.first(sizeof(Superblock)), change);
    store(copy, seal(load<Superblock>(copy)));
  }
}

// The payload of the block in a page, as far as the device goes.
MutableBytes payload_at(MutableBytes image, std::size_t offset) {
  const auto header = load<BlockHeader>(image.subspan(offset));
  const MutableBytes rest = image.subspan(offset + sizeof(BlockHeader));
  return rest.first(std::min<std::size_t>(header.payload_bytes, rest.size()));
}

void seal_records(MutableBytes payload) {
  while (payload.size() >= sizeof(wire::RecordHeader)) {
    auto header = load<wire::RecordHeader>(payload);
    const MutableBytes rest = payload.subspan(sizeof(header));
    const std::size_t bytes = std::min<std::size_t>(header.body_bytes, rest.size());
    header.body_checksum = Checksum(crc32c(rest.first(bytes)));
    store(payload, wire::seal(header));
    payload = rest.subspan(std::min<std::size_t>(align_up(bytes, 8), rest.size()));
  }
}

// Makes the checksums of the block at `offset` right, and `previous` in all blocks that follow it.
void repair_chain(MutableBytes image, std::size_t offset) {
  auto header = load<BlockHeader>(image.subspan(offset));
  for (;;) {
    header.payload_checksum = crc32c(payload_at(image, offset));
    header = seal(header);
    store(image.subspan(offset), header);
    const std::uint64_t previous = chain_value(header);
    const std::uint64_t sequence = header.sequence + 1;
    // The next block may begin behind unused pages, at the next segment.
    do {
      offset += device_block_bytes;
      if (offset + device_block_bytes > image.size()) return;
      header = load<BlockHeader>(image.subspan(offset));
    } while (header.magic != block_magic || header.sequence != sequence);
    header.previous = previous;
  }
}

void forge_block(MutableBytes image, const Change& change) {
  const std::size_t pages = image.size() / device_block_bytes;
  const std::size_t first = segments_offset / device_block_bytes;
  if (pages <= first) return;
  const std::size_t offset = (first + change.at % (pages - first)) * device_block_bytes;
  const MutableBytes header = image.subspan(offset, sizeof(BlockHeader));
  if (change.kind == Kind::forge_header) {
    write_value(header, change);
  } else {
    const MutableBytes payload = payload_at(image, offset);
    write_value(payload, change);
    if (change.count % 2 == 0) seal_records(payload);
  }
  repair_chain(image, offset);
}

void damage(Example& image, const Change& change, std::size_t& flips) {
  switch (change.kind) {
    case Kind::flip_bit:
      if (!image.empty() && flips++ < flips_max)
        image[change.value % image.size()] ^= static_cast<std::byte>(1U << change.count % 8);
      break;
    case Kind::lose_sectors: std::ranges::fill(sectors(image, change.at, change.count), std::byte{0}); break;
    case Kind::move_sectors: {
      const MutableBytes from = sectors(image, change.from, change.count);
      const Example moved(from.begin(), from.end());
      const MutableBytes to = sectors(image, change.at, change.count);
      copy(to, Bytes(moved).first(std::min(to.size(), moved.size())));
      break;
    }
    case Kind::restore_sectors: {
      const MutableBytes to = sectors(image, change.at, change.count);
      if (!to.empty()) copy(to, Bytes(disk().before).subspan(static_cast<std::size_t>(to.data() - image.data()), to.size()));
      break;
    }
    case Kind::swap_pages: {
      const MutableBytes a = page(image, change.at);
      const MutableBytes b = page(image, change.from);
      if (a.data() != b.data()) std::ranges::swap_ranges(a, b);
      break;
    }
    default: image.resize(std::min<std::size_t>(image.size(), change.at * sector)); break;
  }
}

void forge(Input& input, Example& image, const Change& change) {
  switch (change.kind) {
    case Kind::forge_superblock: forge_superblock(image, change); break;
    case Kind::forge_header:
    case Kind::forge_record: forge_block(image, change); break;
    default: {
      const Bytes bytes = input.take_bytes(change.count);
      if (image.size() >= bytes.size())
        copy(MutableBytes(image).subspan(change.value % (image.size() - bytes.size() + 1)), bytes);
      break;
    }
  }
}

}  // namespace

Spoiled spoil(Input& input, Example& image) {
  Spoiled spoiled = Spoiled::by_damage;
  std::size_t flips = 0;
  for (std::size_t left = input.take<std::uint8_t>() % (changes_max + 1); left > 0 && !input.empty(); --left) {
    auto change = input.take<Change>();
    change.kind = static_cast<Kind>(static_cast<unsigned>(change.kind) % static_cast<unsigned>(Kind::count_));
    if (change.kind >= Kind::forge_superblock) {
      spoiled = Spoiled::by_forgery;
      forge(input, image, change);
    } else {
      damage(image, change, flips);
    }
  }
  return spoiled;
}

namespace {

Example spoiling(std::initializer_list<Change> changes) {
  Example example;
  put(example, static_cast<std::uint8_t>(changes.size()));
  for (const Change& change : changes) put(example, change);
  return example;
}

template <class Field, class Whole>
std::uint16_t place_of(Field Whole::* field) {
  const Whole whole{};
  return static_cast<std::uint16_t>(reinterpret_cast<const char*>(&(whole.*field)) - reinterpret_cast<const char*>(&whole));
}

}  // namespace

std::vector<Example> spoiling_examples() {
  constexpr std::uint16_t segments = segments_offset / sector;
  constexpr std::uint16_t u64 = 7;  // length - 1
  constexpr std::uint8_t all_copies = 15;
  std::vector<Example> all = {
      spoiling({}),
      spoiling({{.kind = Kind::flip_bit, .value = segments_offset + 3 * segment_bytes_min - 1}}),
      spoiling({{.kind = Kind::flip_bit, .value = 70}, {.kind = Kind::flip_bit, .value = 4096 + 70}}),
      spoiling({{.kind = Kind::lose_sectors, .count = 8, .at = segments + 370}}),
      spoiling({{.kind = Kind::move_sectors, .count = 8, .at = segments + 376, .from = segments}}),
      spoiling(
          {{.kind = Kind::restore_sectors, .count = 255, .at = 0}, {.kind = Kind::restore_sectors, .count = 255, .at = 255}}),
      spoiling({{.kind = Kind::lose_sectors, .count = 255, .at = segments + 40},
                {.kind = Kind::lose_sectors, .count = 255, .at = segments + 200}}),
      spoiling({{.kind = Kind::restore_sectors, .count = 8, .at = 0}}),
      spoiling({{.kind = Kind::swap_pages, .at = 62, .from = 63}}),
      spoiling({{.kind = Kind::forge_superblock,
                 .count = all_copies,
                 .from = place_of(&Superblock::open_count),
                 .length = u64,
                 .value = 9}}),
      spoiling({{.kind = Kind::forge_superblock,
                 .count = all_copies,
                 .from = place_of(&Superblock::number),
                 .length = u64,
                 .value = 9}}),
      spoiling(
          {{.kind = Kind::forge_header, .at = 4, .from = place_of(&BlockHeader::promised), .length = u64, .value = 1U << 20}}),
      spoiling({{.kind = Kind::forge_header, .at = 4, .from = place_of(&BlockHeader::commit), .length = u64, .value = 3}}),
      spoiling({{.kind = Kind::forge_record, .at = 3, .from = place_of(&wire::RecordHeader::slot), .length = u64, .value = 2}}),
      spoiling({{.kind = Kind::forge_record, .at = 3, .from = place_of(&wire::RecordHeader::kind), .length = 0, .value = 2}}),
      spoiling({{.kind = Kind::forge_record, .at = 4, .from = sizeof(wire::RecordHeader) + 24, .length = u64, .value = 77}}),
  };
  return all;
}

}  // namespace synod::fuzz
