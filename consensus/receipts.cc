#include "consensus/receipts.h"

#include "base/check.h"
#include "base/mutant.h"

namespace synod::consensus {

Slot Receipts::reached(wire::AckLevel level, const Proposer& proposer, const Configuration& configuration, std::size_t self) {
  CHECK(wire::is_early(level));
  if (mutant(Mutant::early_answer_at_once)) return proposer.next_slot() - 1;
  const auto holds = [&](Slot slot) {
    const MemberSet votes = proposer.proposed()[slot].votes;
    MemberSet holders = slots_[slot].members;
    for (std::size_t member = 0; member < configuration.size(); ++member) {
      if (votes.has(member) || member == self) holders.add(member);  // what we proposed we have staged
    }
    if (level == wire::AckLevel::memory) return configuration.is_phase2_quorum(holders);
    return votes.has(self) && (level == wire::AckLevel::leader || holders.size() > 1);
  };
  Slot& reached = reached_[static_cast<std::size_t>(level)];
  reached = std::max(reached, slots_.first() - 1);
  while (reached + 1 < proposer.next_slot() && holds(reached + 1)) ++reached;
  return reached;
}

void Receipts::fingerprint(Fingerprint& print, Slot next) const {
  for (Slot slot = slots_.first(); slot < next; ++slot) {
    print.add(static_cast<std::uint64_t>(slots_[slot].asks));
    if (slots_[slot].asks != wire::Asks::nothing) print.add(slots_[slot].members);
  }
}

}  // namespace synod::consensus
