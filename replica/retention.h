// How much of the log is kept when nobody trims it: by size, by age, or both. Off unless configured.
//
// A policy of whole segments, the oldest first. Two promises to readers: the newest `bytes` of the journal are kept, and so is
// what was written within the last `age_s` seconds. When both are set, what either lets go goes: who has to bound the disk must
// not depend on the clock. At most a segment more than asked for is kept.
//
// Pure. The leader asks once a second and puts the answer through the log as a trim, so all replicas let go alike; a leader
// whose clock is wrong can at worst trim by age too early or too late, within the limits of its own segments.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/ids.h"

namespace synod::replica {

struct RetentionOptions {
  std::optional<std::uint64_t> bytes;
  std::optional<std::uint64_t> age_s;

  [[nodiscard]] bool is_on() const { return bytes.has_value() || age_s.has_value(); }
  bool operator==(const RetentionOptions&) const = default;
};

struct SegmentFacts {
  Lsn first;                  // the LSN that the first entry in this segment got, or a later entry would have got
  std::uint64_t begun_s = 0;  // when its first block was written, unix seconds
  std::uint64_t bytes = 0;    // used in it
};

// What the journal knows about itself.
struct RetentionFacts {
  std::uint64_t now_s = 0;                 // by the clock that wrote begun_s
  std::span<const SegmentFacts> segments;  // that hold anything, the oldest first, the one being written last
};

// The first LSN to keep, if that is above `trim`.
[[nodiscard]] std::optional<Lsn> trim_for_retention(const RetentionOptions& options, const RetentionFacts& facts, Lsn trim);

// "10GiB" (B, KiB, MiB, GiB, TiB), "7d" (s, m, h, d): a whole number and a unit, not zero.
[[nodiscard]] Result<std::uint64_t> parse_byte_count(std::string_view text);
[[nodiscard]] Result<std::uint64_t> parse_age_s(std::string_view text);
// What those read back, in the largest unit that is exact.
[[nodiscard]] std::string byte_count_text(std::uint64_t bytes);
[[nodiscard]] std::string age_text(std::uint64_t seconds);

}  // namespace synod::replica
