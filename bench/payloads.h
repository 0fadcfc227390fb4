// What entries contain: bytes that follow from the entry's client and number, and sizes that are all the same or follow a list
// again and again. So nothing that was written needs to be kept to know it again.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/prng.h"

namespace synod::bench {

// An entry of a run: a client's entries are numbered from 0.
struct EntryKey {
  std::uint64_t client = 0;
  std::uint64_t number = 0;
};

class Payloads {
 public:
  // `run` makes the bytes of two runs different. `sizes`: of entry 0, 1, ...; then from the first again. Not empty.
  Payloads(std::uint64_t run, std::vector<std::uint32_t> sizes) : run_(run), sizes_(std::move(sizes)) {
    CHECK(!sizes_.empty());
    buffer_.resize(bytes_max());
  }

  [[nodiscard]] std::size_t bytes_max() const { return *std::ranges::max_element(sizes_); }

  // The payload of an entry; valid until the next call.
  [[nodiscard]] Bytes make(EntryKey key) {
    const std::size_t bytes = sizes_.size() == 1 ? sizes_[0] : sizes_[key.number % sizes_.size()];  // a division costs
    std::uint64_t state = run_ ^ (key.client * 0x9E3779B97F4A7C15) ^ (key.number * 0xD1342543DE82EF95);
    for (std::size_t at = 0; at < bytes; at += sizeof(std::uint64_t)) {
      const std::uint64_t word = splitmix64(state);
      std::memcpy(buffer_.data() + at, &word, std::min(sizeof(word), bytes - at));
    }
    return Bytes(buffer_).first(bytes);
  }
  [[nodiscard]] bool matches(EntryKey key, Bytes payload) {
    const Bytes expected = make(key);
    return payload.size() == expected.size() && std::memcmp(payload.data(), expected.data(), expected.size()) == 0;
  }

 private:
  std::uint64_t run_;
  std::vector<std::uint32_t> sizes_;
  std::vector<std::byte> buffer_;
};

}  // namespace synod::bench
