// A first-in first-out queue whose capacity is set at construction; no heap afterwards. A value: copying copies the contents.
#pragma once

#include <cstddef>
#include <vector>

#include "base/check.h"

namespace synod {

template <class T>
class Ring {
 public:
  explicit Ring(std::size_t capacity) : items_(capacity) { CHECK_GT(capacity, 0U); }

  [[nodiscard]] std::size_t capacity() const { return items_.size(); }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] bool full() const { return size_ == items_.size(); }

  void push(const T& item) {
    CHECK(!full());
    items_[(head_ + size_) % items_.size()] = item;
    ++size_;
  }
  [[nodiscard]] T& front() {
    CHECK(!empty());
    return items_[head_];
  }
  [[nodiscard]] const T& front() const {
    CHECK(!empty());
    return items_[head_];
  }
  // The item `index` places behind the front.
  [[nodiscard]] T& operator[](std::size_t index) {
    CHECK_LT(index, size_);
    return items_[(head_ + index) % items_.size()];
  }
  [[nodiscard]] const T& operator[](std::size_t index) const {
    CHECK_LT(index, size_);
    return items_[(head_ + index) % items_.size()];
  }
  void pop() {
    CHECK(!empty());
    head_ = (head_ + 1) % items_.size();
    --size_;
  }
  void clear() {
    head_ = 0;
    size_ = 0;
  }

  // Logical equality: the same items in the same order, wherever they lie.
  [[nodiscard]] bool operator==(const Ring& other) const {
    if (size_ != other.size_) return false;
    for (std::size_t i = 0; i < size_; ++i) {
      if (!((*this)[i] == other[i])) return false;
    }
    return true;
  }

 private:
  std::vector<T> items_;
  std::size_t head_ = 0;
  std::size_t size_ = 0;
};

}  // namespace synod
