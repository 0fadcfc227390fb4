// Journals of one-page blocks, whose bytes tests change.
#pragma once

#include <memory>

#include "storage/layout.h"
#include "storage/recovery.h"
#include "tests/storage/fixture.h"

namespace synod::storage::test {

inline constexpr std::uint64_t page = device_block_bytes;

// What is told to the block that holds the vote for `slot`.
inline Watermarks told(std::uint64_t slot) {
  return {.promised = Ballot(slot, ReplicaId(1)), .commit = Slot(slot - 1), .highest = Slot(slot)};
}

// One more block of one page, for each slot.
inline void append_votes(Journal& journal, std::uint64_t first, std::uint64_t last) {
  for (std::uint64_t slot = first; slot <= last; ++slot) {
    stage(journal, vote(slot, 1, 1000));
    drain(journal, told(slot));
  }
}

// A journal of `votes` blocks of one page each, behind the open's own block at the start of the first segment: block s holds slot
// s - 1. Segments of 64 KiB have 16 blocks.
inline std::unique_ptr<MemoryDevice> make_chain(std::uint64_t votes, std::uint64_t segments = 4,
                                                std::uint64_t segment_bytes = 256U << 10) {
  auto memory = make_memory(segments, segment_bytes);
  const auto opened = open(DeviceRef(*memory));
  EXPECT_TRUE(opened.journal) << opened.error;
  append_votes(*opened.journal, 1, votes);
  return memory;
}

// Block `sequence` of such a journal.
inline std::uint64_t offset_of(std::uint64_t sequence) {
  return segments_offset + (sequence - 1) * page;
}

inline MutableBytes block_at(MemoryDevice& memory, std::uint64_t sequence) {
  return memory.contents().subspan(offset_of(sequence), page);
}

inline BlockHeader header_at(MemoryDevice& memory, std::uint64_t sequence) {
  return load<BlockHeader>(block_at(memory, sequence));
}

inline void erase(MutableBytes bytes) {
  std::ranges::fill(bytes, std::byte{0});
}

inline void flip(MemoryDevice& memory, std::uint64_t sequence, std::size_t at = 600) {
  block_at(memory, sequence)[at] ^= std::byte{4};
}

// Seals a changed header of block `sequence` again.
template <class Change>
void change_header(MemoryDevice& memory, std::uint64_t sequence, Change&& change) {
  auto header = header_at(memory, sequence);
  change(header);
  store(block_at(memory, sequence), seal(header));
}

inline std::vector<std::uint64_t> slots_of(const Opened& opened) {
  std::vector<std::uint64_t> slots;
  for (const TestRecord& record : opened.records) {
    if (record.header.kind == wire::RecordKind::accepted) slots.push_back(record.header.slot.value());
  }
  return slots;
}

// first .. last, without those from `lost_first` to `lost_last`.
inline std::vector<std::uint64_t> slots_but(std::uint64_t last, std::uint64_t lost_first, std::uint64_t lost_last) {
  std::vector<std::uint64_t> slots;
  for (std::uint64_t slot = 1; slot <= last; ++slot) {
    if (slot < lost_first || slot > lost_last) slots.push_back(slot);
  }
  return slots;
}

inline void expect_refused(MemoryDevice& memory, const std::string& text) {
  const std::vector<std::byte> before(memory.contents().begin(), memory.contents().end());
  const auto opened = open(DeviceRef(memory));
  EXPECT_FALSE(opened.journal);
  EXPECT_NE(opened.error.find(text), std::string::npos) << opened.error;
  EXPECT_EQ(opened.error.find('\n'), std::string::npos);
  EXPECT_TRUE(std::ranges::equal(before, memory.contents())) << "a refused disk must not be touched";
}

// Some blocks of which cannot be read.
class BadSectors {
 public:
  explicit BadSectors(MemoryDevice& inner) : inner_(inner) {}

  void write_durable(std::uint64_t offset, Bytes data, std::uint64_t token) { inner_.write_durable(offset, data, token); }
  void read(std::uint64_t offset, MutableBytes to, std::uint64_t token) {
    for (const std::uint64_t bad : offsets) {
      if (bad >= offset && bad < offset + to.size()) {
        failed_.push_back({.token = token, .error = EIO});
        return;
      }
    }
    inner_.read(offset, to, token);
  }
  void submit() { inner_.submit(); }
  std::size_t poll(std::span<Completion> out) {
    if (failed_.empty()) return inner_.poll(out);
    out[0] = failed_.back();
    failed_.pop_back();
    return 1;
  }
  [[nodiscard]] const DeviceInfo& info() const { return inner_.info(); }
  [[nodiscard]] std::uint64_t ready_bytes() const { return info().size_bytes; }

  std::vector<std::uint64_t> offsets;

 private:
  MemoryDevice& inner_;
  std::vector<Completion> failed_;
};

}  // namespace synod::storage::test
