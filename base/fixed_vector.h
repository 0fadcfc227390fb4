// A vector with its capacity in its type and its elements inside it: for effects, bursts and lists that have a limit.
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "base/check.h"

namespace synod {

template <class T, std::size_t capacity_>
class FixedVector {
 public:
  [[nodiscard]] static constexpr std::size_t capacity() { return capacity_; }
  [[nodiscard]] constexpr std::size_t size() const { return size_; }
  [[nodiscard]] constexpr std::size_t room() const { return capacity_ - size_; }
  [[nodiscard]] constexpr bool empty() const { return size_ == 0; }
  [[nodiscard]] constexpr bool full() const { return size_ == capacity_; }

  constexpr T& push_back(const T& item) {
    CHECK_LT(size_, capacity_);
    items_[size_] = item;
    return items_[size_++];
  }
  constexpr void pop_back() {
    CHECK_GT(size_, 0U);
    --size_;
  }
  constexpr void clear() { size_ = 0; }

  [[nodiscard]] constexpr T& operator[](std::size_t index) {
    CHECK_LT(index, size_);
    return items_[index];
  }
  [[nodiscard]] constexpr const T& operator[](std::size_t index) const {
    CHECK_LT(index, size_);
    return items_[index];
  }

  [[nodiscard]] constexpr T* begin() { return items_.data(); }
  [[nodiscard]] constexpr T* end() { return items_.data() + size_; }
  [[nodiscard]] constexpr const T* begin() const { return items_.data(); }
  [[nodiscard]] constexpr const T* end() const { return items_.data() + size_; }

 private:
  std::array<T, capacity_> items_{};
  std::size_t size_ = 0;
};

}  // namespace synod
