// What must be true of all replicas together, from the records on their disks and what they say is committed; apart from engines.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "tests/explore/bounds.h"
#include "tests/explore/replica.h"

namespace synod::consensus::explore {

struct Verdict {
  std::string failure;
  std::uint64_t slots_chosen = 0;
  std::uint64_t ballots_voted = 0;  // in which some vote is durable
  std::uint64_t commits = 0;        // of all replicas, added up
};

class Oracle {
 public:
  // For each replica, what it has: see Space::facts.
  using Facts = std::array<std::uint32_t, members_max>;

  explicit Oracle(const Bounds& bounds) : phase2_(bounds.members / 2 + 1U) {}

  // The replicas' facts decide, so each combination is judged once.
  [[nodiscard]] const Verdict& judge(std::span<const Replica* const> replicas, const Facts& facts);

 private:
  [[nodiscard]] Verdict judge(std::span<const Replica* const> replicas) const;

  std::size_t phase2_;
  std::map<Facts, Verdict> known_;
};

}  // namespace synod::consensus::explore
