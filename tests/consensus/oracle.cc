#include "tests/consensus/oracle.h"

#include <fmt/format.h>

namespace synod::consensus::testing {

void Oracle::durable_vote(std::size_t member, Ballot ballot, Slot slot, Checksum checksum) {
  const auto [vote, is_first] = votes_.try_emplace({slot, ballot}, Votes{checksum, MemberSet{}});
  if (vote->second.checksum != checksum) return fail(fmt::format("two values in one ballot at slot {}", slot.value()));
  vote->second.members.add(member);
  if (!configuration_.is_phase2_quorum(vote->second.members)) return;
  const auto [chosen, is_new] = chosen_.try_emplace(slot, checksum);
  if (chosen->second != checksum) {
    fail(fmt::format("slot {} was chosen as {:x} and again as {:x} in ballot ({}, {})", slot.value(), chosen->second.value(),
                     checksum.value(), ballot.round(), ballot.replica().value()));
  }
}

void Oracle::committed(std::size_t member, Slot slot, Checksum checksum) {
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
