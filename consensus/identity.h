// Who the other members are (rule 5). A replica casts its first vote only after it has durably recorded the uuids of all initial
// members; from then on a voter with another uuid is refused, for ever. Until then uuids are collected by Hello messages.
//
// Why: a disk that was lost and formatted again has forgotten its votes. If it could vote under its old id, a chosen value could
// be lost (acceptor amnesia). It must join as a new member instead.
//
// A Hello teaches a uuid only as the answer to our own question, which carries a number of this very incarnation and gets it back
// as `probe`. Otherwise a packet that was meant for the disk which this one replaces could introduce us to a peer that has
// recorded the former disk: the new one would vote with another replica that has not heard of the former one either.
//
// Rule 2 needs the rest: a message of an older incarnation of a known disk is dropped, so nothing a process sent before it died
// can act for its successor.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/ids.h"
#include "consensus/fingerprint.h"
#include "consensus/quorum.h"
#include "wire/record.h"

namespace synod::consensus {

class Identity {
 public:
  Identity(const Configuration& configuration, std::size_t self, const Incarnation& incarnation,
           std::span<const wire::MemberUuid> recorded, std::uint64_t seed);

  // All members' uuids are on stable storage: this replica may vote.
  [[nodiscard]] bool recorded() const { return recorded_; }
  void set_recorded() { recorded_ = true; }
  [[nodiscard]] bool all_known() const;
  [[nodiscard]] bool is_known(std::size_t member) const { return !uuids_[member].is_none(); }

  // The number of this process that our Hellos ask with and their answers bring back. (Not only of this incarnation: an image of
  // a disk counts its opens again.)
  [[nodiscard]] Probe question() const { return question_; }
  // A Hello of a member, which answers our question or asks its own. False: it is refused.
  [[nodiscard]] bool hello(std::size_t member, const Incarnation& incarnation, bool is_answer, Probe probe);
  // Any other message of a member. False: it is dropped.
  [[nodiscard]] bool admit(std::size_t member, const Incarnation& incarnation);

  // A member's disk is known to have been opened so often.
  void opened(std::size_t member, std::uint64_t open_count);
  [[nodiscard]] std::uint64_t open_count(std::size_t member) const { return open_counts_[member]; }
  // A known disk that counts its opens lower than it did.
  [[nodiscard]] bool is_behind(std::size_t member, const Incarnation& incarnation) const;
  // From now on this process asks another question.
  void ask_again();

  // What the members record says.
  [[nodiscard]] FixedVector<wire::MemberUuid, members_max> uuids() const;

  void fingerprint(Fingerprint& print) const;

 private:
  Configuration configuration_;
  std::array<Uuid, members_max> uuids_{};
  std::array<std::uint64_t, members_max> open_counts_{};
  Probe question_;
  bool recorded_ = false;
};

}  // namespace synod::consensus
