// What a fuzzer is: a function of bytes that CHECKs what must hold, and the examples that it starts from. libFuzzer drives it
// (`./dev.sh fuzz`), and so does an ordinary test, which tries the examples and random changes of them (test_main.cc).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/bytes.h"

namespace synod::fuzz {

using Example = std::vector<std::byte>;

// Each fuzzer defines these two. `run` takes any bytes. It returns whether they came behind the gateways that it tests: where all
// input is refused at the door, nothing is tested.
[[nodiscard]] bool run(Bytes input);
[[nodiscard]] std::vector<Example> examples();

// Takes values off the front of an input; behind its end all is zero.
class Input {
 public:
  explicit Input(Bytes bytes) : bytes_(bytes) {}

  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  [[nodiscard]] Bytes rest() const { return bytes_; }

  template <Format T>
  [[nodiscard]] T take() {
    T value{};
    const Bytes from = take_bytes(sizeof(T));
    if (!from.empty()) std::memcpy(&value, from.data(), from.size());
    return value;
  }
  // At most `count`.
  [[nodiscard]] Bytes take_bytes(std::size_t count) {
    const Bytes taken = bytes_.first(std::min(count, bytes_.size()));
    bytes_ = bytes_.subspan(taken.size());
    return taken;
  }

 private:
  Bytes bytes_;
};

// Puts values behind each other: what Input takes apart again.
template <Format... Values>
void put(Example& example, const Values&... values) {
  (example.insert(example.end(), bytes_of(values).begin(), bytes_of(values).end()), ...);
}

inline void put_bytes(Example& example, Bytes bytes) {
  example.insert(example.end(), bytes.begin(), bytes.end());
}

}  // namespace synod::fuzz
