// What an engine is, as 128 bits: two engines with the same fingerprint do the same from here on, as far as safety goes.
//
// It covers everything that decides what is promised, voted for, proposed, reported or committed. It leaves out what only decides
// when, or whom, something is asked: time, timeouts, the random numbers, counters, resends, who is thought to lead, how far each
// peer is known to be (that decides whom to ask for catch-up, and when `all` is answered), and the probes of tail reads. What is
// logically the same looks the same: persist numbers are counted from the durable one, slots and not places of a ring are named,
// a body stands for its value, and what a phase no longer looks at is not there.
//
// Members may be renamed on the way (`Labels`): states that differ only by swapping two acceptors can then be recognised.
#pragma once

#include <array>
#include <bit>
#include <compare>
#include <cstdint>

#include "base/ids.h"
#include "consensus/quorum.h"

namespace synod::consensus {

class Fingerprint {
 public:
  struct Value {
    std::uint64_t low = 0;
    std::uint64_t high = 0;

    // Sums do not depend on the order: for sets.
    constexpr Value& operator+=(const Value& other) {
      low += other.low;
      high += other.high;
      return *this;
    }
    constexpr Value& operator-=(const Value& other) {
      low -= other.low;
      high -= other.high;
      return *this;
    }
    constexpr auto operator<=>(const Value&) const = default;
  };

  // The new place of each member. Only for configurations whose member at place p is replica p + 1, but for the identity.
  using Labels = std::array<std::uint8_t, members_max>;
  static constexpr Labels own_labels{0, 1, 2, 3, 4, 5, 6};

  explicit Fingerprint(const Labels& labels = own_labels) : labels_(labels) {}

  void add(std::uint64_t word) {
    low_ = mixed(low_ ^ word);
    high_ = mixed(high_ + std::rotl(word, 32) + low_);
  }
  template <class Tag, class Rep>
  void add(StrongId<Tag, Rep> id) {
    add(std::uint64_t{id.value()});
  }
  void add(ReplicaId replica) { add(std::uint64_t{renamed(replica).value()}); }
  void add(Ballot ballot) { add(Ballot(ballot.round(), renamed(ballot.replica())).value()); }
  void add(MemberSet members) {
    std::uint64_t renamed_bits = 0;
    for (std::size_t member = 0; member < members_max; ++member) {
      if (members.has(member)) renamed_bits |= std::uint64_t{1} << labels_[member];
    }
    add(renamed_bits);
  }
  // For what is kept for each member: the member that has the new place `label`.
  [[nodiscard]] std::size_t member_at(std::size_t label) const {
    std::size_t member = 0;
    while (labels_[member] != label) ++member;
    return member;
  }

  [[nodiscard]] Value value() const { return {low_, high_}; }

 private:
  [[nodiscard]] static constexpr std::uint64_t mixed(std::uint64_t z) {
    z = (z + 0x9E3779B97F4A7C15) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 29)) * 0x94D049BB133111EB;
    return z ^ (z >> 32);
  }
  [[nodiscard]] ReplicaId renamed(ReplicaId replica) const {
    if (replica.value() == 0 || replica.value() > members_max) return replica;
    return ReplicaId(static_cast<std::uint16_t>(labels_[replica.value() - 1U] + 1U));
  }

  Labels labels_;
  std::uint64_t low_ = 0;
  std::uint64_t high_ = 0x5BD1E995;
};

}  // namespace synod::consensus
