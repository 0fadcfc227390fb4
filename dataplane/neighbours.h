// Who is where on a link: IPv4 address to Ethernet address. A small fixed table, filled by ARP and by every valid packet.
//
// An unknown neighbour costs the packet that wanted it: the port asks (at most every `ask_interval_ns`) and whoever needs the
// message sends it again. A neighbour that was sent much and heard nothing of is asked for again while its old address stays in
// use: it may have moved to another interface. Thread: one.
#pragma once

#include <array>
#include <cstdint>

#include "dataplane/frame.h"

namespace synod::dataplane {

class Neighbours {
 public:
  static constexpr std::size_t capacity = 64;
  static constexpr std::uint64_t ask_interval_ns = 10'000'000;
  static constexpr std::uint32_t sends_before_doubt = 64;

  struct Answer {
    const Mac* mac = nullptr;  // null: unknown
    bool doubtful = false;     // unknown, or silent for long: ask if may_ask
  };

  // For one packet to `address`.
  [[nodiscard]] Answer find(std::uint32_t address) {
    Entry& entry = entry_of(address);
    entry.sends_since_heard += entry.sends_since_heard < sends_before_doubt ? 1 : 0;
    if (!entry.known) return {nullptr, true};
    return {&entry.mac, entry.sends_since_heard == sends_before_doubt};
  }

  // True at most once an interval for each address; then an ARP request is sent.
  [[nodiscard]] bool may_ask(std::uint32_t address, std::uint64_t now_ns) {
    Entry& entry = entry_of(address);
    if (entry.asked_ns != 0 && now_ns - entry.asked_ns < ask_interval_ns) return false;
    entry.asked_ns = now_ns;
    return true;
  }

  void learn(std::uint32_t address, const Mac& mac) {
    Entry& entry = entry_of(address);
    entry.known = true;
    entry.mac = mac;
    entry.sends_since_heard = 0;
  }

 private:
  struct Entry {
    std::uint32_t address = 0;
    std::uint32_t sends_since_heard = 0;
    std::uint64_t asked_ns = 0;
    Mac mac{};
    bool known = false;
  };

  // The entry of `address`; a new one takes the place of the oldest when the table is full.
  Entry& entry_of(std::uint32_t address) {
    if (entries_[last_].address == address) return entries_[last_];
    for (std::size_t i = 0; i < capacity; ++i) {
      if (entries_[i].address == address) return entries_[last_ = i];
    }
    last_ = next_;
    next_ = (next_ + 1) % capacity;
    entries_[last_] = Entry{};
    entries_[last_].address = address;
    return entries_[last_];
  }

  std::array<Entry, capacity> entries_{};
  std::size_t last_ = 0;
  std::size_t next_ = 0;
};

}  // namespace synod::dataplane
