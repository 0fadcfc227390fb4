#include "consensus/learner.h"

#include <algorithm>

namespace synod::consensus {

Slot Learner::known_commit() const {
  return std::max(commit_, *std::ranges::max_element(peer_commit_));
}

void Learner::leader_watermark(Ballot ballot, Slot commit) {
  // A delayed message of the same ballot does not take anything back; one of an older ballot is not interesting.
  if (ballot < watermark_ballot_) return;
  watermark_ = ballot == watermark_ballot_ ? std::max(watermark_, commit) : commit;
  watermark_ballot_ = ballot;
}

}  // namespace synod::consensus
