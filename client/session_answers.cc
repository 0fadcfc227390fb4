// What a session does with the messages that come in.
#include <algorithm>

#include "client/session.h"

namespace synod::client {

void Session::on_message(const dataplane::Message& message, std::uint64_t now_us) {
  leader_.on_heard(message.header.source, now_us);
  note_credit(message);
  if (call_.on_message(message, &leader_, now_us)) return;
  if (open_.on_message(message, &leader_, now_us)) return;
  if (ended() || session_ == SessionId{}) return;
  if (message.header.type == wire::MessageType::appended) on_appended(message, now_us);
  if (message.header.type == wire::MessageType::refused) on_refused(message, now_us);
}

void Session::note_credit(const dataplane::Message& message) {
  if (message.header.credit == 0 || message.header.source != leader_.target().id) return;
  credit_ = std::max<std::size_t>(message.header.credit, packets_in_flight_least);
}

void Session::on_appended(const dataplane::Message& message, std::uint64_t now_us) {
  const auto appended = wire::decode_appended(message.payload);
  if (!appended || appended->session != session_) return;
  const Ballot ballot = message.header.ballot;
  // An early answer of a leader that we have left, or that another has replaced, is worth nothing any more.
  const bool is_current = message.header.source == leader_.target().id && ballot >= ballot_;
  if (wire::is_early(appended->ack) && !is_current) return;
  ballot_ = std::max(ballot_, ballot);
  leader_.on_leader(message.header.source, now_us);
  const std::size_t index = window_.find(appended->first);
  if (index != window_.ranges() && window_.range(index).attempts == 1) note_rtt(now_us - window_.range(index).sent_us);
  const std::size_t before = window_.ranges();
  if (!window_.answer(*appended, ballot)) return;
  const std::size_t finished = before - window_.ranges();
  if (finished == 0) return;
  refusal_.reset();
  timeouts_ = 0;
  busy_pause_us_ = 0;
  widen(finished);
}

// Slow start, congestion avoidance and the halving of Jacobson and Karels (1988), in packets.
void Session::widen(std::size_t finished) {
  if (packets_in_flight_limit_ < packets_in_flight_slow_) {
    packets_in_flight_limit_ += finished;
  } else {
    packets_finished_ += finished;
    while (packets_finished_ >= packets_in_flight_limit_) {
      packets_finished_ -= packets_in_flight_limit_;
      ++packets_in_flight_limit_;
    }
  }
  packets_in_flight_limit_ = std::min(packets_in_flight_limit_, entries_in_flight_limit);
}

void Session::narrow() {
  packets_in_flight_limit_ = std::max(packets_in_flight_limit_ / 2, packets_in_flight_least);
  packets_in_flight_slow_ = packets_in_flight_limit_;
  packets_finished_ = 0;
}

// Only ranges that were sent once are measured (Karn).
void Session::note_rtt(std::uint64_t rtt_us) {
  rtt_us = std::max<std::uint64_t>(rtt_us, 1);
  if (rtt_us_ == 0) {
    rtt_us_ = rtt_us;
    rtt_deviation_us_ = rtt_us / 2;
    return;
  }
  const std::uint64_t error = rtt_us > rtt_us_ ? rtt_us - rtt_us_ : rtt_us_ - rtt_us;
  rtt_deviation_us_ = (3 * rtt_deviation_us_ + error) / 4;
  rtt_us_ = std::max<std::uint64_t>((7 * rtt_us_ + rtt_us) / 8, 1);
}

void Session::on_refused(const dataplane::Message& message, std::uint64_t now_us) {
  const auto refused = wire::decode_client<wire::Refused>(message.payload);
  if (!refused || refused->session != session_) return;
  const ReplicaId from = message.header.source;
  const bool of_target = from == leader_.target().id;
  if (refused->reason == wire::RefusalReason::gap) {
    if (!of_target) return;
    leader_.on_leader(from, now_us);
    if (is_lost(refused->sequence, message.header.ballot)) {
      lost_from_ = refused->sequence;
      return end(EndReason::lost);
    }
    ballot_ = std::max(ballot_, message.header.ballot);
    return on_gap(refused->sequence, now_us);
  }
  const std::size_t index = window_.find(refused->sequence);
  if (index != window_.ranges()) {
    Range& range = window_.range(index);
    // The network may deliver the refusal of an earlier attempt a second time; each attempt after a refusal has another message
    // id.
    const bool of_last_attempt = range.sent_to == from && range.message_id == refused->request;
    if (of_last_attempt) range.outstanding = false;
  }
  if (!of_target) return;
  refusal_ = refused->reason;
  switch (refused->reason) {
    case wire::RefusalReason::not_leader: return leader_.on_not_leader(from, refused->leader, now_us);
    case wire::RefusalReason::busy: leader_.on_leader(from, now_us); return pause(refused->sequence, busy_pause_us_first, now_us);
    case wire::RefusalReason::no_space:
      leader_.on_leader(from, now_us);
      return pause(refused->sequence, no_space_pause_us_first, now_us);
    case wire::RefusalReason::evicted: return end(EndReason::evicted);
    case wire::RefusalReason::gap: return;
    case wire::RefusalReason::too_large:
    case wire::RefusalReason::malformed:
    case wire::RefusalReason::trimmed:
    case wire::RefusalReason::unsupported: return end(EndReason::refused);
  }
}

// A leader admits what it does not hold, so what it expects it does not hold. If that was answered in a lower ballot, it is lost.
// (In the same ballot the gap is an old one, which was filled since.)
bool Session::is_lost(Sequence next, Ballot ballot) const {
  if (next < window_.front_sequence()) return ballot > last_ballot_;
  return window_.holds(next) && window_.entry(next).answered && ballot > window_.entry(next).ballot;
}

// Something before what we sent is missing there. Every packet behind a loss brings the same refusal: one of them counts.
void Session::on_gap(Sequence next, std::uint64_t now_us) {
  if (window_.find(next) == window_.ranges() || next >= cursor_) return;
  if (next == gap_ && now_us < gap_echo_us_) return;
  gap_ = next;
  gap_echo_us_ = now_us + std::clamp(rtt_us_ + 2 * rtt_deviation_us_, gap_echo_us_min, retransmit_us_min);
  ++counters_.gaps;
  narrow();
  restart_at(next);
}

void Session::pause(Sequence from, std::uint64_t pause_us_min, std::uint64_t now_us) {
  if (window_.find(from) == window_.ranges()) return;
  restart_at(from);
  if (now_us < resume_us_) return;  // another packet of the same burst
  ++counters_.busy;
  busy_pause_us_ = std::clamp(busy_pause_us_ * 2, pause_us_min, busy_pause_us_max);
  resume_us_ = now_us + busy_pause_us_;
  narrow();
}

}  // namespace synod::client
