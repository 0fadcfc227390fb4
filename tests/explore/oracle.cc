#include "tests/explore/oracle.h"

#include <fmt/format.h>

#include <set>

namespace synod::consensus::explore {

namespace {

struct Votes {
  Checksum value;
  std::size_t members = 0;
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
