// The scrub: reads every block of the journal that is needed, one after the other and again and again, slowly, and says which
// cannot be read any more. Damage is found before a start or a reader meets it, while the peers still have what was lost.
//
// A healed block is passed over, and told of: whatever still points there is lost, too.
// A block is judged bad when three reads in a row say so. What it was followed by is found as in recovery: a later block that was
// written when the bad one was known as durable, and those that its chain values link to.
//
// Thread: the journal's. One read in flight, of at most a block. No heap but for a gap's candidates.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "storage/journal.h"
#include "storage/layout.h"

namespace synod::storage {

struct ScrubProgress {
  std::uint64_t passes = 0;  // over the whole journal
  std::uint64_t blocks_checked = 0;
  std::uint64_t bytes_checked = 0;
  std::uint64_t blocks_bad = 0;
  std::uint32_t segments_done = 0;  // of this pass
};

struct ScrubOptions {
  std::uint64_t bytes_per_s = 8U << 20;  // 0: no scrub
  std::uint64_t pause_us = 1'000'000;    // between passes
};

class Scrub {
 public:
  Scrub(Journal& journal, const ScrubOptions& options);

  // Takes what was read and asks for more if it is time. Returns a gap when the end of one was found.
  [[nodiscard]] std::optional<Gap> step(std::uint64_t now_us);
  // Where a healed block was passed over since this was asked last.
  [[nodiscard]] std::optional<Location> take_healed() { return std::exchange(healed_, std::nullopt); }
  [[nodiscard]] const ScrubProgress& progress() const { return progress_; }

 private:
  void begin_pass();
  void begin_segment();
  void ask(std::uint64_t now_us);
  // What the bytes at offset_ begin with. `cut`: a block that is longer than they are.
  struct Block {
    enum class Verdict : std::uint8_t { bad, cut, good };
    Verdict verdict = Verdict::bad;
    BlockHeader header{};
  };
  [[nodiscard]] Block look_at(Bytes bytes) const;
  void judge(Bytes bytes);
  [[nodiscard]] bool is_next_segment(Bytes bytes) const;
  void judge_search(Bytes bytes);
  [[nodiscard]] bool is_next(const BlockHeader& header) const;
  [[nodiscard]] std::uint64_t last_of_segment() const;
  void take(const BlockHeader& header);
  void next_segment();
  void begin_search();
  [[nodiscard]] std::optional<Gap> finish_search();

  Journal& journal_;
  ScrubOptions options_;
  ScrubProgress progress_;
  bool is_running_ = false;
  std::uint64_t next_us_ = 0;

  std::uint32_t segment_ = 0;
  std::uint64_t offset_ = 0;    // of the next block
  std::uint64_t sequence_ = 0;  // of the last good one
  std::uint64_t value_ = 0;     // its chain value; 0: any will do
  std::uint64_t open_count_ = 0;
  std::uint64_t bytes_wanted_ = 0;  // 0: a chunk
  std::uint32_t tries_ = 0;
  std::uint64_t asked_bytes_ = 0;
  std::optional<Location> healed_;
  bool is_narrow_ = false;  // a large read failed: one device block at a time, so that what is blamed is what cannot be read

  // While the end of a gap is searched for.
  bool is_searching_ = false;
  bool is_found_ = false;
  Gap gap_;
  std::vector<BlockHeader> candidates_;
};

}  // namespace synod::storage
