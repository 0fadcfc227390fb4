// The proposer: the half of agreement that picks values. Phase 1 collects promises and what they report; phase 2 counts votes.
// Pure safety; when to campaign and when to send again is the election's and the engine's business.
//
// Source: Lamport, "Paxos Made Simple", section 2.2, P2c: in ballot b propose for a slot the value of the highest-numbered
// proposal that a phase-1 quorum reports for it; free choice only where none reports one. With several open slots, a slot without
// a report below one with a report is filled with a no-op (section 3).
//
// Rule 4: a promise from a peer whose commit watermark is above ours is not counted; the engine catches up first and asks again.
// So the reports that count speak of slots in (our commit, our commit + window] only, and one window holds them all.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/ids.h"
#include "consensus/effects.h"
#include "consensus/fingerprint.h"
#include "consensus/quorum.h"
#include "consensus/window.h"
#include "wire/message.h"

namespace synod::consensus {

enum class ProposerPhase : std::uint8_t {
  idle,         // a follower
  promising,    // our own promise is on its way to the disk; no prepare may leave (rule 2)
  preparing,    // phase 1
  reproposing,  // phase 1 is done: proposing again what it found, slot by slot
  leading,      // phase 2 over new slots
};

// The highest-ballot value that the promises reported for a slot.
struct FoundSlot {
  Ballot ballot;  // none: no report
  Checksum checksum;
  std::uint32_t body_bytes = 0;
  MemberSet reporters;           // who can be asked for the body
  BodyHandle fetched = no_body;  // the body, if it came from a peer

  [[nodiscard]] bool present() const { return !ballot.is_none(); }
};

struct ProposedSlot {
  bool present = false;
  MemberSet votes;            // durable ones only
  std::uint64_t sent_us = 0;  // when the accept last went out
  std::uint32_t resends = 0;
};

class Proposer {
 public:
  Proposer(const Configuration& configuration, std::size_t window_slots, Slot commit);

  [[nodiscard]] ProposerPhase phase() const { return phase_; }
  [[nodiscard]] Ballot ballot() const { return ballot_; }
  [[nodiscard]] Slot next_slot() const { return next_slot_; }
  [[nodiscard]] Slot last_found() const { return last_found_; }
  [[nodiscard]] const Window<FoundSlot>& found() const { return found_; }
  [[nodiscard]] Window<ProposedSlot>& proposed() { return proposed_; }
  [[nodiscard]] const Window<ProposedSlot>& proposed() const { return proposed_; }
  [[nodiscard]] MemberSet promises() const { return promises_; }

  void begin(Ballot ballot);
  // Our own promise is durable: prepares may leave now.
  void own_promise_durable();

  // One member's report. Reports false if it contradicts another one at the same ballot: a bug of somebody's.
  // A body that was fetched for an older value is released.
  [[nodiscard]] bool report(std::size_t member, const wire::PromisedSlot& slot, Effects& effects);
  // The member's whole promise was reported.
  void count_promise(std::size_t member);
  [[nodiscard]] bool has_promises() const { return configuration_.is_phase1_quorum(promises_); }
  void fetched(Slot slot, BodyHandle body);

  // Phase 1 is complete and every value is at hand: re-proposal starts at the first open slot.
  void start_reproposing(Slot commit);
  // Takes the body out of a found slot; the caller owns it now.
  [[nodiscard]] BodyHandle take_fetched(Slot slot);
  void start_leading();

  // A value goes out for next_slot().
  void propose(Slot slot, std::uint64_t now_us);
  // A durable vote; true if the slot is chosen now by this vote.
  [[nodiscard]] bool vote(std::size_t member, Slot slot);

  // The first open slot is committed and leaves the window. Its fetched body, if any, is released.
  void advance(Effects& effects);
  // Back to idle; fetched bodies are released. `commit` rebases the windows.
  void stop(Effects& effects);

  // Everything up to `commit` is committed; idle.
  void rebase(Slot commit);

  void check_now(Slot commit) const;
  void fingerprint(Fingerprint& print) const;

 private:
  Configuration configuration_;
  ProposerPhase phase_ = ProposerPhase::idle;
  Ballot ballot_;
  MemberSet promises_;
  Slot last_found_;
  Slot next_slot_;
  Window<FoundSlot> found_;
  Window<ProposedSlot> proposed_;
};

}  // namespace synod::consensus
