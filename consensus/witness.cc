#include "consensus/witness.h"

#include <algorithm>

#include "base/mutant.h"

namespace synod::consensus {

Witness::Witness(const Configuration& configuration, std::size_t self, std::uint64_t open_count, const Position& claim,
                 const wire::HeardTable& heard)
    : configuration_(configuration), self_(self), open_count_(open_count), claim_(claim), heard_(heard) {
  answered_.add(self_);
  confirm(PersistNumber{});
}

void Witness::heard(std::size_t member, const Position& position) {
  heard_[member] = std::max(heard_[member], position);
}

void Witness::heard(const wire::HeardTable& gossip) {
  for (std::size_t member = 0; member < configuration_.size(); ++member) {
    if (member != self_) heard(member, gossip[member]);
  }
}

bool Witness::contradicts(const Position& heard) const {
  if (mutant(Mutant::stale_image_votes)) return false;
  // Of earlier opens the claim must account for everything, whatever this one has announced since.
  return heard.open_count < open_count_ ? heard > claim_ : heard > std::max(claim_, Position{open_count_, announced()});
}

void Witness::contradicted(const Position& heard) {
  distrust();
  // A position of this very open count, of which we announced nothing, is another process's that counted the same.
  if (heard.open_count >= open_count_) floor_ = std::max(floor_, heard.open_count + 1);
}

void Witness::raise_open_count(std::uint64_t open_count) {
  CHECK_GT(open_count, open_count_);
  open_count_ = open_count;
  answered_.clear();
  answered_.add(self_);
  certain_.clear();
}

void Witness::answered(std::size_t member, const wire::Hello& answer) {
  answered_.add(member);
  if (answer.is_certain != 0) certain_.add(member);
  highest_ballot_ = std::max(highest_ballot_, answer.highest_ballot);
  highest_slot_ = std::max(highest_slot_, answer.highest_slot);
}

bool Witness::everybody_answered() const {
  return answered_.size() == configuration_.size() && configuration_.meets_every_phase1_quorum(certain_) &&
         configuration_.meets_every_phase2_quorum(certain_);
}

void Witness::repaired(PersistNumber staged) {
  claim_ = std::max(claim_, Position{open_count_, 0});
  confirmed_ = true;
  confirmed_at_ = staged;
  announced_ = 0;
}

void Witness::confirm(PersistNumber staged) {
  if (confirmed_) return;
  const bool is_quorum = configuration_.is_phase1_quorum(answered_) && configuration_.is_phase2_quorum(answered_);
  if (!is_quorum && !mutant(Mutant::stale_image_votes)) return;
  confirmed_ = true;
  confirmed_at_ = staged;
  announced_ = 0;
}

void Witness::durable(PersistNumber durable, std::uint64_t sequence) {
  if (confirmed_ && durable > confirmed_at_) announced_ = std::max(announced_, sequence);
}

}  // namespace synod::consensus
