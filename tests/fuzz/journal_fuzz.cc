// Opening a journal from a spoiled disk. It opens or it refuses. A disk that was only damaged shows what was written, in order,
// and says where something is missing that anything left on the disk knows as durable; it is not refused for what a power cut may
// do. A forged disk may say anything, and still: what opened once opens again with the same records, and what is appended then is
// found behind them.
//
// Input: see spoil.cc.
#include "base/check.h"
#include "storage/memory_device.h"
#include "tests/fuzz/disk.h"

namespace synod::fuzz {
namespace {

using namespace storage;

bool is_prefix(const std::vector<Written>& records, const std::vector<Written>& of) {
  return records.size() <= of.size() && std::equal(records.begin(), records.end(), of.begin());
}

bool is_part(const std::vector<Written>& records, const std::vector<Written>& of) {
  auto at = of.begin();
  for (const Written& record : records) {
    at = std::find(at, of.end(), record);
    if (at == of.end()) return false;
    ++at;
  }
  return true;
}

bool is_left_alone(Bytes image, const Example& as, std::size_t at, std::size_t bytes) {
  return at + bytes <= image.size() && std::ranges::equal(image.subspan(at, bytes), Bytes(as).subspan(at, bytes));
}

// The highest sequence number that anything which the damage left alone says is durable.
std::uint64_t known_durable(Bytes image) {
  std::uint64_t durable = 0;
  for (const Example* whole : {&disk().before, &disk().after}) {
    for (std::size_t at = 0; at < probe_offset; at += device_block_bytes) {
      if (!is_left_alone(image, *whole, at, sizeof(Superblock))) continue;
      durable = std::max(durable, load<Superblock>(image.subspan(at)).durable_sequence);
    }
    for (std::size_t at = segments_offset; at < whole->size(); at += device_block_bytes) {
      if (!is_left_alone(image, *whole, at, sizeof(BlockHeader))) continue;
      const auto header = load<BlockHeader>(image.subspan(at));
      if (header.magic == block_magic) durable = std::max(durable, header.durable_sequence);
    }
  }
  return durable;
}

// One copy of the superblock is enough, and the last block is a torn one if it is not there: that is no reason to refuse.
bool must_open(Bytes image) {
  bool has_superblock = false;
  for (std::size_t at = 0; at < probe_offset; at += device_block_bytes) {
    has_superblock = has_superblock || is_left_alone(image, disk().after, at, sizeof(Superblock));
  }
  return has_superblock && image.size() == disk().after.size() &&
         is_left_alone(image, disk().after, segments_offset, disk().last_block - segments_offset);
}

void check_damaged(const Opened& opened, Bytes image) {
  if (opened.journal) {
    const Recovered& recovered = opened.journal->recovered();
    const auto shows = recovered.gaps.empty() ? is_prefix : is_part;
    // (Of a disk that mixes blocks with an older superblock, discarded votes may show. It says that it is in doubt.)
    CHECK(recovered.tail_is_lost || shows(opened.records, disk().records_before) || shows(opened.records, disk().records_after));
    CHECK(recovered.tail_is_lost || recovered.sequence >= known_durable(image));
    std::uint64_t blocks = recovered.sequence;
    for (const Gap& gap : recovered.gaps) blocks -= gap.next_sequence - gap.first_sequence;
    CHECK_EQ(recovered.blocks, blocks);
  }
  if (must_open(image)) CHECK(opened.journal != nullptr);
}

// Each record can be read where it was said to lie, behind the one before it.
void check_locations(const Opened& opened) {
  // (Forged blocks may go round the ring.)
  for (std::size_t i = 0; i < opened.records.size(); ++i) {
    const Location location = opened.locations[i];
    CHECK(opened.journal->read(location, i));
    bool is_finished = false;
    while (!is_finished) {
      opened.journal->submit();
      opened.journal->poll([&](const ReadResult& result) {
        is_finished = true;
        CHECK(result.record.has_value());
        CHECK(Written(result.record->header, {result.record->body.begin(), result.record->body.end()}) == opened.records[i]);
      });
    }
  }
}

// What the first open found, with what was appended since.
void check_second_open(DeviceRef device, const Opened& first, const Recovered& recovered, std::size_t appended) {
  const Opened second = open_journal(device);
  // Where several places are damaged, and one of them shows a block that was discarded once, what lies within the gap may be
  // judged otherwise once the superblock speaks of a later open.
  const bool is_exact = recovered.gaps.empty();
  if (is_exact) CHECK(is_prefix(first.records, second.records));
  if (is_exact) CHECK_EQ(second.records.size(), first.records.size() + appended + (recovered.tail_is_lost ? 1 : 0));
  if (!second.journal) return;  // the journal is full
  CHECK_EQ(second.journal->recovered().identity.open_count, recovered.identity.open_count + 1);
  if (is_exact) CHECK_EQ(second.journal->recovered().blocks, recovered.blocks + 1 + appended);
  CHECK_GE(second.journal->recovered().watermarks.promised, recovered.watermarks.promised);
  CHECK_GE(second.journal->recovered().watermarks.commit, recovered.watermarks.commit);
}

}  // namespace

bool run(Bytes input) {
  Input in(input);
  Example image = disk().after;
  const Spoiled spoiled = spoil(in, image);
  MemoryDevice device{Bytes(image)};
  Opened opened = open_journal(DeviceRef(device));
  if (spoiled == Spoiled::by_damage) check_damaged(opened, image);
  if (!opened.journal) {
    // A refused disk is left as it is, but for one whose last page was taken by an earlier open.
    const bool is_full = opened.error.starts_with("the journal is full");
    CHECK(is_full || std::ranges::equal(image, device.contents()));
    return !opened.records.empty();
  }
  check_locations(opened);
  const Recovered recovered = opened.journal->recovered();
  const Written more[] = {vote(Slot(99), 9, 100, 0), vote(Slot(100), 9, 5000, 0)};
  const std::size_t appended = append(*opened.journal, more, {});
  opened.journal.reset();
  check_second_open(DeviceRef(device), opened, recovered, appended);
  return true;
}

std::vector<Example> examples() {
  return spoiling_examples();
}

}  // namespace synod::fuzz
