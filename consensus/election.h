// The election: liveness only. Decides when to suspect the leader, when to campaign, when to give up, when to step down. Deleting
// it may stop progress and may never break agreement: nothing here touches a ballot or a value.
//
// Randomised timeouts keep two proposers from outbidding each other for ever (Lamport, "Paxos Made Simple", section 2.4; Ongaro
// and Ousterhout, "In Search of an Understandable Consensus Algorithm", section 5.2). A replica that has lost the leader first
// asks whether a phase-1 quorum has lost it too, so that one deaf or restarted replica raises no ballot.
//
// Silence alone may be noise, so it must last. Word that the leader's process is gone (its host refuses packets for it, or a
// fresh process answers in its place) is another matter: behind a short silence it counts as a long one. It may be false, or
// forged, and what comes of that is an election.
//
// Time is credited in ticks, each capped: a machine that was paused for a minute was not silent for a minute.
#pragma once

#include <array>
#include <cstdint>

#include "base/prng.h"
#include "consensus/effects.h"
#include "consensus/fingerprint.h"
#include "consensus/quorum.h"

namespace synod::consensus {

class Election {
 public:
  Election(const Timeouts& timeouts, std::uint64_t seed);

  // Time went by; returns the credited part.
  std::uint64_t elapse(std::uint64_t now_us);

  // The leader, or a candidate that we promised to, lives.
  void leader_heard();
  // Draws a new timeout, for the next try.
  void back_off();

  // Whether the leader is to be asked if it is there. asked() puts the next time off.
  [[nodiscard]] bool wants_to_ask() const { return silence_us_ >= next_ask_us_; }
  void asked() { next_ask_us_ = silence_us_ + timeouts_.heartbeat_us; }
  // Word has come that it is not. Counts behind a silence that made us ask.
  void leader_gone();

  [[nodiscard]] bool timed_out() const { return silence_us_ >= timeout_us_; }
  // What a Suspect is answered.
  [[nodiscard]] bool lost() const { return silence_us_ >= timeouts_.election_us_min; }

  // The poll of the others before a ballot is raised.
  void begin_suspecting(std::size_t self);
  [[nodiscard]] bool suspecting() const { return suspecting_; }
  void also_lost(std::size_t member) { lost_.add(member); }
  [[nodiscard]] MemberSet lost_members() const { return lost_; }
  void stop_suspecting() { suspecting_ = false; }

  // Again when Prepare leaves: the wait for our own disk is not the others'.
  void begin_campaign();
  // The next one gets twice the time: where disks or the network are slow, ballot after ballot would be raised for nothing, and
  // each is a record in every journal.
  void campaign_failed() {
    failed_campaigns_ = failed_campaigns_ < failed_campaigns_max ? failed_campaigns_ + 1 : failed_campaigns_;
  }
  [[nodiscard]] bool campaign_expired() const { return campaign_us_ >= campaign_timeout_us_; }

  // As a leader: who was heard, and for how long nobody was.
  void begin_leading();
  void peer_heard(std::size_t member) { peer_silence_us_[member] = 0; }
  // The members heard within the step-down time, with ourselves.
  [[nodiscard]] MemberSet heard_members(std::size_t self, std::size_t members) const;

  void fingerprint(Fingerprint& print) const;

 private:
  Timeouts timeouts_;
  Prng prng_;
  std::uint64_t last_us_ = 0;
  std::uint64_t silence_us_;
  std::uint64_t timeout_us_ = 0;
  std::uint64_t next_ask_us_;  // of silence
  bool gone_ = false;          // since the last leader was heard, word came that it is gone
  std::uint64_t campaign_us_ = 0;
  static constexpr std::uint32_t failed_campaigns_max = 8;

  std::uint64_t campaign_timeout_us_ = 0;
  std::uint32_t failed_campaigns_ = 0;  // since this replica led
  std::array<std::uint64_t, members_max> peer_silence_us_{};
  MemberSet lost_;
  bool suspecting_ = false;
};

}  // namespace synod::consensus
