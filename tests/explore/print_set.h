// The set of all states that were ever seen, as 128-bit fingerprints: open addressing, 16 bytes a place.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "consensus/fingerprint.h"

namespace synod::consensus::explore {

class PrintSet {
 public:
  PrintSet() : places_(std::size_t{1} << 16) {}

  // True if it was not in the set.
  bool insert(const Fingerprint::Value& print) {
    if ((size_ + 1) * 4 > places_.size() * 3) grow();
    if (!put(print)) return false;
    ++size_;
    return true;
  }
  [[nodiscard]] std::size_t size() const { return size_; }
  void prefetch(const Fingerprint::Value& print) const { __builtin_prefetch(&places_[print.low & (places_.size() - 1)]); }

 private:
  static constexpr Fingerprint::Value none{};  // no state has this one, but for once in 2^128

  bool put(const Fingerprint::Value& print) {
    std::size_t place = print.low & (places_.size() - 1);
    while (places_[place] != none) {
      if (places_[place] == print) return false;
      place = (place + 1) & (places_.size() - 1);
    }
    places_[place] = print;
    return true;
  }
  void grow() {
    std::vector<Fingerprint::Value> old(places_.size() * 2);
    old.swap(places_);
    for (const Fingerprint::Value& print : old) {
      if (print != none) put(print);
    }
  }

  std::vector<Fingerprint::Value> places_;
  std::size_t size_ = 0;
};

}  // namespace synod::consensus::explore
