#include "tests/explore/oracle.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace synod::consensus::explore {

namespace {

struct Votes {
  Checksum value;
  std::size_t members = 0;
  std::size_t lost = 0;  // by so many more, on disks that lost them without a bound
};

}  // namespace

const Verdict& Oracle::judge(std::span<const Replica* const> replicas, const Facts& facts) {
  const auto [known, is_new] = known_.try_emplace(facts);
  if (is_new) known->second = judge(replicas);
  return known->second;
}

Verdict Oracle::judge(std::span<const Replica* const> replicas) const {
  Verdict verdict;
  std::map<std::pair<Slot, Ballot>, Votes> votes;
  std::map<Slot, Checksum> chosen;
  std::set<Ballot> ballots;
  for (const Replica* replica : replicas) {
    for (const DiskRecord& record : replica->disk().history) {
      if (record.kind != wire::RecordKind::accepted) continue;
      ballots.insert(record.ballot);
      Votes& same = votes.try_emplace({record.slot, record.ballot}, Votes{record.checksum}).first->second;
      if (same.value != record.checksum) {
        verdict.failure = fmt::format("two values in ballot {} at slot {}", describe(record.ballot), record.slot.value());
      }
      if (++same.members < phase2_) continue;
      const auto [first, is_new] = chosen.try_emplace(record.slot, record.checksum);
      if (first->second != record.checksum) {
        verdict.failure = fmt::format("slot {} was chosen twice: {} and {}", record.slot.value(), describe(first->second),
                                      describe(record.checksum));
      }
    }
  }
  for (const Replica* replica : replicas) {
    for (const DiskRecord& record : replica->disk().lost) {
      const auto same = votes.try_emplace({record.slot, record.ballot}, Votes{record.checksum}).first;
      if (same->second.value == record.checksum) ++same->second.lost;
    }
  }
  // A vote that was lost makes a value chosen if somebody counted it, and then it is committed.
  for (const Replica* replica : replicas) {
    Slot slot;
    for (const Checksum value : replica->ever_committed()) {
      ++slot;
      const bool was_chosen = std::ranges::any_of(votes, [&](const auto& vote) {
        return vote.first.first == slot && vote.second.value == value && vote.second.members + vote.second.lost >= phase2_;
      });
      const auto [first, is_new] = chosen.try_emplace(slot, value);
      if (was_chosen && first->second == value) continue;
      verdict.failure =
          was_chosen ? fmt::format("slot {} was chosen twice: {} and {}", slot.value(), describe(first->second), describe(value))
                     : fmt::format("{} is committed in slot {}, and is not chosen there", describe(value), slot.value());
    }
  }
  for (const Replica* replica : replicas) {
    Slot slot;
    for (const Checksum value : replica->committed()) {
      const auto first = chosen.find(++slot);
      if (first != chosen.end() && first->second == value) continue;
      verdict.failure = fmt::format("{} is committed in slot {}, and is not chosen there", describe(value), slot.value());
    }
    verdict.commits += replica->committed().size();
  }
  verdict.slots_chosen = chosen.size();
  verdict.ballots_voted = ballots.size();
  return verdict;
}

}  // namespace synod::consensus::explore
