#include "tests/consensus/oracle.h"

#include <fmt/format.h>

namespace synod::consensus::testing {

void Oracle::durable_vote(std::size_t member, Ballot ballot, Slot slot, Checksum checksum) {
  const auto [vote, is_first] = votes_.try_emplace({slot, ballot}, Votes{checksum});
  if (vote->second.checksum != checksum) return fail(fmt::format("two values in one ballot at slot {}", slot.value()));
  vote->second.members.add(member);
  vote->second.is_lost[member] = false;
  if (!is_quorum(vote->second, false)) return;
  const auto [chosen, is_new] = chosen_.try_emplace(slot, checksum);
  if (chosen->second != checksum) {
    fail(fmt::format("slot {} was chosen as {:x} and again as {:x} in ballot ({}, {})", slot.value(), chosen->second.value(),
                     checksum.value(), ballot.round(), ballot.replica().value()));
  }
}

void Oracle::lost_vote(std::size_t member, Ballot ballot, Slot slot) {
  const auto vote = votes_.find({slot, ballot});
  if (vote != votes_.end()) vote->second.is_lost[member] = true;
}

bool Oracle::is_quorum(const Votes& votes, bool with_lost) const {
  MemberSet voters;
  for (std::size_t member = 0; member < members_max; ++member) {
    if (votes.members.has(member) && (with_lost || !votes.is_lost[member])) voters.add(member);
  }
  return configuration_.is_phase2_quorum(voters);
}

void Oracle::committed(std::size_t member, Slot slot, Checksum checksum) {
  for (auto vote = votes_.lower_bound({slot, Ballot{}}); vote != votes_.end() && vote->first.first == slot; ++vote) {
    if (vote->second.checksum == checksum && is_quorum(vote->second, true)) chosen_.try_emplace(slot, checksum);
  }
  const auto chosen = chosen_.find(slot);
  if (chosen == chosen_.end()) {
    return fail(fmt::format("member {} committed slot {}, which no durable quorum chose", member, slot.value()));
  }
  if (chosen->second != checksum) {
    fail(fmt::format("member {} committed {:x} in slot {}, chosen was {:x}", member, checksum.value(), slot.value(),
                     chosen->second.value()));
  }
}

void Oracle::applied(SessionId session, Sequence sequence, Lsn lsn) {
  const auto [known, is_new] = lsns_.try_emplace({session, sequence}, lsn);
  if (known->second != lsn) {
    fail(fmt::format("entry {} of session {:x} is at LSN {} and at LSN {}", sequence.value(), session.value(),
                     known->second.value(), lsn.value()));
  }
}

}  // namespace synod::consensus::testing
