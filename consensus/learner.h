// The learner: what is committed here, and what others know beyond it.
//
// Rule 3: a commit watermark sent in ballot b commits slot s here only if the record here was accepted in b: the leader of b
// proposes one value for s in b, and its watermark says that value is chosen. Anything else is fetched from a peer that knows.
//
// Invariant: `commit` never falls, and every slot up to it has a staged record here that holds the chosen value.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/ids.h"
#include "base/mutant.h"
#include "consensus/acceptor.h"
#include "consensus/fingerprint.h"
#include "wire/limits.h"

namespace synod::consensus {

class Learner {
 public:
  explicit Learner(Slot commit) : commit_(commit) {}

  [[nodiscard]] Slot commit() const { return commit_; }

  // What a peer says it has committed: a reason to catch up, never to commit.
  void heard(std::size_t member, Slot commit) { peer_commit_[member] = std::max(peer_commit_[member], commit); }
  [[nodiscard]] Slot peer_commit(std::size_t member) const { return peer_commit_[member]; }
  [[nodiscard]] Slot known_commit() const;

  // The leader of `ballot` says that everything up to `commit` is chosen.
  void leader_watermark(Ballot ballot, Slot commit);

  // Whether the first open slot is chosen, as far as we know.
  [[nodiscard]] bool next_is_chosen(const AcceptedSlot& next) const {
    const bool voted_with_leader = next.ballot == watermark_ballot_ || mutant(Mutant::commit_stale_record);
    return next.present() && (next.chosen || (voted_with_leader && commit_ < watermark_));
  }
  void advance() { ++commit_; }
  void install(Slot commit) { commit_ = commit; }

  void fingerprint(Fingerprint& print, Ballot promised) const;

  bool operator==(const Learner&) const = default;

 private:
  Slot commit_;
  Ballot watermark_ballot_;
  Slot watermark_;
  std::array<Slot, members_max> peer_commit_{};
};

}  // namespace synod::consensus
