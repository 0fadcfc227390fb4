#include "consensus/election.h"

#include <algorithm>

namespace synod::consensus {

Election::Election(const Timeouts& timeouts, std::uint64_t seed)
    // A process that starts has lost the leader until it hears one: a fresh cluster elects without waiting.
    : timeouts_(timeouts), prng_(seed), silence_us_(timeouts.election_us_min), next_ask_us_(timeouts.ask_us) {
  back_off();
}

std::uint64_t Election::elapse(std::uint64_t now_us) {
  if (last_us_ == 0) last_us_ = now_us;
  const std::uint64_t passed = now_us > last_us_ ? now_us - last_us_ : 0;
  const std::uint64_t credited = std::min(passed, timeouts_.silence_us_per_tick_max);
  last_us_ = std::max(last_us_, now_us);
  silence_us_ += credited;
  campaign_us_ += credited;
  for (std::uint64_t& silence : peer_silence_us_) silence += credited;
  return credited;
}

void Election::leader_heard() {
  silence_us_ = 0;
  next_ask_us_ = timeouts_.ask_us;
  gone_ = false;
  suspecting_ = false;
}

void Election::leader_gone() {
  if (gone_ || silence_us_ < timeouts_.ask_us) return;
  gone_ = true;
  silence_us_ = std::max(silence_us_, timeouts_.election_us_min);
  back_off();
}

void Election::back_off() {
  // Where the leader is known to be gone there is nothing to wait for but another candidate.
  const std::uint64_t longest_us = gone_ ? timeouts_.election_us_min + timeouts_.heartbeat_us : timeouts_.election_us_max;
  timeout_us_ = prng_.between(timeouts_.election_us_min, longest_us);
  // The next try comes a random part of the timeout later, however long the silence has been.
  silence_us_ = std::min(silence_us_, timeouts_.election_us_min);
}

void Election::begin_suspecting(std::size_t self) {
  suspecting_ = true;
  lost_.clear();
  lost_.add(self);
}

void Election::begin_campaign() {
  suspecting_ = false;
  campaign_us_ = 0;
  const std::uint64_t longest_us = std::max(timeouts_.campaign_us, timeouts_.step_down_us);
  const std::uint64_t least_us = std::min(timeouts_.campaign_us << failed_campaigns_, longest_us);
  campaign_timeout_us_ = prng_.between(least_us, 2 * least_us);
}

void Election::begin_leading() {
  peer_silence_us_.fill(0);
  failed_campaigns_ = 0;
}

MemberSet Election::heard_members(std::size_t self, std::size_t members) const {
  MemberSet heard;
  for (std::size_t member = 0; member < members; ++member) {
    if (member == self || peer_silence_us_[member] < timeouts_.step_down_us) heard.add(member);
  }
  return heard;
}

}  // namespace synod::consensus
