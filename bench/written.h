// What a run wrote: the payload of every entry follows from its number, and where each lies is kept as stretches. So a million
// entries can be checked against what is read back, from a few words of memory.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/prng.h"

namespace synod::bench {

// Fills payloads and knows them again. `run` makes those of two runs different.
class Payloads {
 public:
  Payloads(std::uint64_t run, std::size_t bytes) : run_(run), buffer_(bytes) {}

  // The payload of entry `number`; valid until the next call.
  [[nodiscard]] Bytes make(std::uint64_t number) {
    std::uint64_t state = run_ ^ (number * 0xD1342543DE82EF95);
    for (std::size_t at = 0; at < buffer_.size(); at += sizeof(std::uint64_t)) {
      const std::uint64_t word = splitmix64(state);
      std::memcpy(buffer_.data() + at, &word, std::min(sizeof(word), buffer_.size() - at));
    }
    return buffer_;
  }
  [[nodiscard]] bool matches(std::uint64_t number, Bytes payload) {
    const Bytes expected = make(number);
    return payload.size() == expected.size() && std::memcmp(payload.data(), expected.data(), expected.size()) == 0;
  }

 private:
  std::uint64_t run_;
  std::vector<std::byte> buffer_;
};

// Entries number .. number + count - 1 lie at lsn .. lsn + count - 1.
struct Stretch {
  std::uint64_t number = 0;
  Lsn lsn;
  std::uint64_t count = 0;
};

class Written {
 public:
  Written() { stretches_.reserve(stretches_reserved); }

  // Numbers rise. False: this LSN is not above all earlier ones, so the log gave a place twice or out of order.
  [[nodiscard]] bool add(std::uint64_t number, Lsn lsn) {
    if (!stretches_.empty()) {
      Stretch& last = stretches_.back();
      const Lsn next = last.lsn + last.count;
      if (lsn < next) return false;
      if (lsn == next && number == last.number + last.count) {
        ++last.count;
        ++entries_;
        return true;
      }
    }
    stretches_.push_back({number, lsn, 1});
    ++entries_;
    return true;
  }

  [[nodiscard]] std::uint64_t entries() const { return entries_; }
  [[nodiscard]] const std::vector<Stretch>& stretches() const { return stretches_; }

 private:
  static constexpr std::size_t stretches_reserved = 1U << 16;
  std::vector<Stretch> stretches_;
  std::uint64_t entries_ = 0;
};

}  // namespace synod::bench
