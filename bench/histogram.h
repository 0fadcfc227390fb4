// A log-linear histogram of durations in nanoseconds, from 1 ns to an hour and a bit, with three significant digits.
//
// Values below `linear` have a bucket each; above, every power of two is cut into `linear` / 2 equal buckets, so a bucket is
// never wider than a thousandth of its values. What is longer than `highest` is counted in the last bucket, and `max` still knows
// it. Thread: one. Memory is fixed and allocated (and touched) at construction. The idea is HdrHistogram's (Gil Tene).
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace synod::bench {

class Histogram {
 public:
  static constexpr std::uint64_t highest = (std::uint64_t{1} << 42) - 1;  // 73 minutes in nanoseconds

  Histogram() : counts_(index_of(highest) + 1) {}

  void record(std::uint64_t value_ns, std::uint64_t count = 1) {
    counts_[index_of(std::min(value_ns, highest))] += count;
    count_ += count;
    max_ = std::max(max_, value_ns);
    min_ = std::min(min_, value_ns);
  }

  void merge(const Histogram& other) {
    for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
    count_ += other.count_;
    max_ = std::max(max_, other.max_);
    min_ = std::min(min_, other.min_);
  }

  void clear() {
    std::ranges::fill(counts_, 0);
    count_ = 0;
    max_ = 0;
    min_ = std::numeric_limits<std::uint64_t>::max();
  }

  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] std::uint64_t max() const { return max_; }
  [[nodiscard]] std::uint64_t min() const { return count_ == 0 ? 0 : min_; }

  // Values from `lowest` to `highest`, which are told apart no further.
  struct Bucket {
    std::uint64_t lowest = 0;
    std::uint64_t highest = 0;
    std::uint64_t count = 0;
  };

  // Calls visit(Bucket) for each bucket that holds something, from the lowest.
  template <class Visit>
  void for_each_bucket(Visit visit) const {
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      if (counts_[i] > 0) visit(Bucket{i == 0 ? 0 : highest_of(i - 1) + 1, highest_of(i), counts_[i]});
    }
  }

  // The smallest value that at least `percent` of all values do not exceed, as the highest value of its bucket (never beyond
  // the largest one recorded). 0 when nothing was recorded.
  [[nodiscard]] std::uint64_t percentile(double percent) const {
    if (count_ == 0) return 0;
    // 99.9 % of 1,000 is 999, whatever binary fractions make of it.
    const double exact = std::ceil(std::clamp(percent, 0.0, 100.0) / 100 * static_cast<double>(count_) - 1e-6);
    const std::uint64_t wanted = std::clamp<std::uint64_t>(static_cast<std::uint64_t>(exact), 1, count_);
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen >= wanted) return i + 1 == counts_.size() ? max_ : std::clamp(highest_of(i), min_, max_);
    }
    return max_;
  }

  // How values are cut, as HdrHistogram counts it: one linear bucket and one for each power of two above.
  static constexpr unsigned bucket_count = 32;
  static constexpr unsigned sub_bucket_count = 2048;

 private:
  static constexpr unsigned linear_bits = 11;  // 2,048 buckets of 1 ns, then 1,024 for each power of two
  static constexpr std::uint64_t linear = std::uint64_t{1} << linear_bits;

  // How far a value is shifted so that its leading bits number its bucket.
  [[nodiscard]] static constexpr unsigned shift_of(std::uint64_t value) {
    return static_cast<unsigned>(std::bit_width(value | (linear - 1))) - linear_bits;
  }
  [[nodiscard]] static constexpr std::size_t index_of(std::uint64_t value) {
    const unsigned shift = shift_of(value);
    return shift * (linear / 2) + (value >> shift);
  }
  [[nodiscard]] static constexpr std::uint64_t highest_of(std::size_t index) {
    if (index < linear) return index;
    const std::size_t shift = index / (linear / 2) - 1;
    const std::uint64_t leading = index - shift * (linear / 2);
    return ((leading + 1) << shift) - 1;
  }

  std::vector<std::uint64_t> counts_;
  std::uint64_t count_ = 0;
  std::uint64_t max_ = 0;
  std::uint64_t min_ = std::numeric_limits<std::uint64_t>::max();
};

}  // namespace synod::bench
