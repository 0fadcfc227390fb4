// Sets of members and the quorum sizes of a configuration.
//
// Any phase-1 quorum meets any phase-2 quorum: q1 + q2 > n (Howard, Malkhi, Spiegelman, "Flexible Paxos", OPODIS 2016).
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <span>

#include "base/check.h"
#include "base/fixed_vector.h"
#include "base/ids.h"
#include "base/mutant.h"
#include "wire/limits.h"

namespace synod::consensus {

// A set of members, by their place in the configuration. Adding a member twice counts once.
class MemberSet {
 public:
  constexpr void add(std::size_t member) {
    CHECK_LT(member, members_max);
    bits_ = static_cast<std::uint8_t>(bits_ | (1U << member));
  }
  [[nodiscard]] constexpr bool has(std::size_t member) const { return (bits_ >> member & 1U) != 0; }
  [[nodiscard]] constexpr std::size_t size() const { return static_cast<std::size_t>(std::popcount(bits_)); }
  constexpr void clear() { bits_ = 0; }
  [[nodiscard]] constexpr std::uint8_t bits() const { return bits_; }
  constexpr bool operator==(const MemberSet&) const = default;

 private:
  std::uint8_t bits_ = 0;
};
static_assert(members_max <= 8);

// Who votes, and how many votes make a quorum. Members have places in the order of their ids.
class Configuration {
 public:
  // Majorities.
  explicit constexpr Configuration(std::span<const ReplicaId> members)
      : Configuration(members, members.size() / 2 + 1, members.size() / 2 + 1) {}

  constexpr Configuration(std::span<const ReplicaId> members, std::size_t phase1, std::size_t phase2)
      : phase1_(phase1), phase2_(phase2) {
    CHECK(!members.empty());
    CHECK_GT(phase1 + phase2, members.size());
    CHECK_LE(phase1, members.size());
    CHECK_LE(phase2, members.size());
    for (const ReplicaId member : members) {
      CHECK(member != ReplicaId{});
      members_.push_back(member);
    }
    // So that a place means the same member to everybody, however a configuration file lists them.
    std::ranges::sort(members_);
  }

  static constexpr std::size_t not_a_member = members_max;

  [[nodiscard]] constexpr std::size_t size() const { return members_.size(); }
  [[nodiscard]] constexpr ReplicaId member(std::size_t place) const { return members_[place]; }
  [[nodiscard]] constexpr std::size_t place_of(ReplicaId replica) const {
    for (std::size_t place = 0; place < members_.size(); ++place) {
      if (members_[place] == replica) return place;
    }
    return not_a_member;
  }

  [[nodiscard]] constexpr bool is_phase1_quorum(MemberSet set) const { return set.size() >= phase1_; }
  [[nodiscard]] bool is_phase2_quorum(MemberSet set) const {
    return set.size() + (mutant(Mutant::minority_is_quorum) ? 1 : 0) >= phase2_;
  }
  // Whether every phase-1 quorum has a member in `set`: nobody outside it can have been promised to behind its back.
  [[nodiscard]] constexpr bool meets_every_phase1_quorum(MemberSet set) const { return set.size() + phase1_ > size(); }
  [[nodiscard]] constexpr bool meets_every_phase2_quorum(MemberSet set) const { return set.size() + phase2_ > size(); }

 private:
  FixedVector<ReplicaId, members_max> members_;
  std::size_t phase1_;
  std::size_t phase2_;
};

}  // namespace synod::consensus
