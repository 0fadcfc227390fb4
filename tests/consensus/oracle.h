// What must be true of a cluster, tracked apart from its engines: from the records that became durable, the commits that were
// reported and the entries that were applied. The first thing that is not true is kept as `failure()`.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "consensus/effects.h"
#include "consensus/quorum.h"

namespace synod::consensus::testing {

class Oracle {
 public:
  explicit Oracle(const Configuration& configuration) : configuration_(configuration) {}

  void fail(const std::string& what) {
    if (failure_.empty()) failure_ = what;
  }
  [[nodiscard]] const std::string& failure() const { return failure_; }
  [[nodiscard]] bool failed() const { return !failure_.empty(); }

  // A vote is on stable storage at `member`: it may complete a quorum, and then its value is chosen for ever.
  void durable_vote(std::size_t member, Ballot ballot, Slot slot, Checksum checksum);
  // A disk lost a vote, and nothing on it bounds what it lost. If its value was not chosen by then, the lost vote makes it chosen
  // only if a leader counts it, and then a replica commits it; the voter will have asked everybody before it promises anything.
  void lost_vote(std::size_t member, Ballot ballot, Slot slot);
  // A replica says that the slot is committed with this value: it must be the chosen one.
  void committed(std::size_t member, Slot slot, Checksum checksum);
  // A replica applied the entry of a session at an LSN: everywhere the same.
  void applied(SessionId session, Sequence sequence, Lsn lsn);

  [[nodiscard]] std::size_t chosen_slots() const { return chosen_.size(); }
  [[nodiscard]] bool is_chosen(Slot slot) const { return chosen_.contains(slot); }

 private:
  struct Votes {
    Checksum checksum;
    MemberSet members;
    std::array<bool, members_max> is_lost{};
  };
  [[nodiscard]] bool is_quorum(const Votes& votes, bool with_lost) const;

  Configuration configuration_;
  std::map<std::pair<Slot, Ballot>, Votes> votes_;
  std::map<Slot, Checksum> chosen_;
  std::map<std::pair<SessionId, Sequence>, Lsn> lsns_;
  std::string failure_;
};

}  // namespace synod::consensus::testing
