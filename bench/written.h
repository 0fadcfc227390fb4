// Where a run's entries lie, kept as stretches: a million entries can be checked against what is read back, from a few words of
// memory where they lie in order.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "bench/payloads.h"

namespace synod::bench {

// A client's entries from key.number on lie at lsn .. lsn + count - 1.
struct Stretch {
  EntryKey key;
  Lsn lsn;
  std::uint64_t count = 0;
};

class Written {
 public:
  explicit Written(std::size_t clients) : last_(clients) { stretches_.reserve(stretches_reserved); }

  // Of one client, numbers rise. False: its place is not behind that of the client's entries before it.
  [[nodiscard]] bool add(EntryKey key, Lsn lsn) {
    Last& last = last_[key.client];
    if (last.any && lsn <= last.lsn) return false;
    const bool goes_on = last.is_open && lsn == last.lsn + 1 && key.number == last.number + 1;
    last.lsn = lsn;
    last.number = key.number;
    ++entries_;
    if (goes_on) {
      ++stretches_[last.stretch].count;
      return true;
    }
    last.any = last.is_open = true;
    last.stretch = stretches_.size();
    stretches_.push_back({key, lsn, 1});
    return true;
  }

  [[nodiscard]] std::uint64_t entries() const { return entries_; }

  // In the order of the log. Nothing may be added afterwards.
  [[nodiscard]] const std::vector<Stretch>& sorted() {
    std::ranges::sort(stretches_, {}, &Stretch::lsn);
    return stretches_;
  }
  // Forgets where they lie, not what comes after what.
  void clear() {
    stretches_.clear();
    entries_ = 0;
    for (Last& last : last_) last.is_open = false;
  }
  // How many entries were given a place that another one has. Of what is sorted.
  [[nodiscard]] std::uint64_t overlaps() const {
    std::uint64_t count = 0;
    for (std::size_t i = 1; i < stretches_.size(); ++i) {
      const Lsn end = stretches_[i - 1].lsn + stretches_[i - 1].count;
      if (stretches_[i].lsn < end) count += end - stretches_[i].lsn;
    }
    return count;
  }

 private:
  struct Last {
    bool any = false;
    bool is_open = false;  // its last stretch is kept here
    Lsn lsn;
    std::uint64_t number = 0;
    std::size_t stretch = 0;
  };

  static constexpr std::size_t stretches_reserved = 1U << 16;
  std::vector<Stretch> stretches_;
  std::vector<Last> last_;  // by client
  std::uint64_t entries_ = 0;
};

}  // namespace synod::bench
