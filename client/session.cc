#include "client/session.h"

#include <algorithm>

#include "base/check.h"

namespace synod::client {

const char* name(Outcome outcome) {
  switch (outcome) {
    case Outcome::appended: return "appended";
    case Outcome::not_appended: return "not appended";
    case Outcome::unknown: return "outcome unknown";
  }
  return "unknown";
}

const char* name(EndReason reason) {
  switch (reason) {
    case EndReason::none: return "none";
    case EndReason::deadline: return "deadline";
    case EndReason::evicted: return "evicted";
    case EndReason::refused: return "refused";
    case EndReason::lost: return "lost";
  }
  return "unknown";
}

Session::Session(std::span<const Peer> peers, const SessionOptions& options, std::size_t first_peer)
    : options_(options),
      leader_(peers, options.leader, first_peer),
      window_(options.entries_in_flight_max, options.bytes_in_flight_max),
      packets_in_flight_limit_(packets_in_flight_first),
      request_(options.first_request),
      message_id_(options.first_message) {
  CHECK_GT(options.entries_in_flight_max, 0U);
  CHECK_LE(options.entries_in_flight_max, entries_in_flight_limit);
  CHECK_GT(options.entries_per_packet_max, 0U);
}

std::optional<Sequence> Session::try_append(Bytes payload, std::uint64_t now_us, wire::AckLevel ack) {
  if (ended()) return std::nullopt;
  return window_.push(payload, now_us, ack);
}

std::optional<Completion> Session::poll_completion() {
  if (window_.empty()) return std::nullopt;
  const Sequence sequence = window_.front_sequence();
  const Entry& entry = window_.entry(sequence);
  Completion completion{
      .sequence = sequence, .lsn = entry.lsn, .outcome = Outcome::appended, .met = entry.met, .ballot = entry.ballot};
  const bool is_lost = end_ == EndReason::lost && sequence >= lost_from_ && completion.is_early();
  if (!entry.answered || is_lost) {
    if (!ended()) return std::nullopt;
    completion.outcome = sequence < unknown_to_ ? Outcome::unknown : Outcome::not_appended;
  }
  last_ballot_ = entry.ballot;
  window_.pop();
  return completion;
}

void Session::reopen() {
  CHECK(ended());
  window_.restart();
  session_ = SessionId{};
  end_ = EndReason::none;
  refusal_.reset();
  ballot_ = Ballot{};
  last_ballot_ = Ballot{};
  lost_from_ = Sequence{};
  open_.cancel();
  cursor_ = Sequence(1);
  sent_to_ = Sequence(1);
  unknown_to_ = Sequence{};
  gap_ = Sequence{};
  resume_us_ = 0;
  busy_pause_us_ = 0;
  timeouts_ = 0;
}

void Session::end(EndReason reason) {
  end_ = reason;
  open_.cancel();
  unknown_to_ = sent_to_;
  // In order or not at all: behind an entry that was certainly never proposed nothing is in the log.
  if (window_.ranges() > 0 && !window_.any_answered() && window_.range(0).certainly_not_proposed()) unknown_to_ = Sequence{};
}

bool Session::deadline_passed(std::uint64_t now_us) const {
  if (options_.append_timeout_us == 0 || window_.empty()) return false;
  const Entry& oldest = window_.entry(window_.front_sequence());
  return !oldest.answered && now_us >= oldest.submitted_us + options_.append_timeout_us;
}

bool Session::owed_an_answer(std::uint64_t now_us) const {
  if (!leader_.ready(now_us)) return false;
  if (open_.waiting() || (call_.waiting() && call_.asks_leader())) return true;
  return now_us >= resume_us_ && window_.ranges() > 0 && window_.range(0).attempts > 0;
}

void Session::on_tick(dataplane::Messenger& messenger, std::uint64_t now_us) {
  leader_.on_tick(now_us, owed_an_answer(now_us));
  call_.on_tick(messenger, leader_, now_us);
  if (ended()) return;
  if (deadline_passed(now_us)) return end(EndReason::deadline);
  if (session_ == SessionId{}) open(messenger, now_us);
  if (session_ != SessionId{} && !window_.empty()) transmit(messenger, now_us);
}

// The session is opened when the first entry wants to be sent.
void Session::open(dataplane::Messenger& messenger, std::uint64_t now_us) {
  if (open_.state() == CallState::idle && !window_.empty()) open_.start_open_session(next_request(), now_us, 0);
  open_.on_tick(messenger, leader_, now_us);
  if (open_.refusal()) refusal_ = open_.refusal();
  if (open_.state() == CallState::refused) return end(EndReason::refused);
  if (open_.state() != CallState::answered) return;
  session_ = open_.session();
  open_.cancel();
  if (session_ == SessionId{}) end(EndReason::refused);
}

void Session::transmit(dataplane::Messenger& messenger, std::uint64_t now_us) {
  if (moves_ != leader_.moves()) {
    // What the last leader had in flight may be lost with it: begin again at the front.
    moves_ = leader_.moves();
    probed_ = false;
    timeouts_ = 0;
    resume_us_ = 0;
    gap_ = Sequence{};
    credit_ = entries_in_flight_limit;
    if (window_.ranges() > 0) restart_at(window_.range(0).first);
  }
  if (!leader_.ready(now_us) || now_us < resume_us_) return;
  if (!leader_.settled()) return probe(messenger, now_us);
  transmit_late(messenger, now_us);
  transmit_next(messenger, now_us);
}

// Not the whole window goes to a replica that may not be the leader: its first range asks.
void Session::probe(dataplane::Messenger& messenger, std::uint64_t now_us) {
  if (window_.ranges() == 0) window_.pack(options_.entries_per_packet_max, options_.entry_bytes_per_packet_max);
  if (window_.ranges() == 0) return;
  Range& first = window_.range(0);
  if (probed_ && now_us < first.sent_us + retransmit_us()) return;
  if (probed_) ++timeouts_;
  probed_ = true;
  send(messenger, first, now_us);
}

// The oldest ranges again, when their answer is overdue. One clock for all, that of the oldest.
void Session::transmit_late(dataplane::Messenger& messenger, std::uint64_t now_us) {
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < std::min(window_.ranges(), late_ranges_max); ++i) {
    Range& range = window_.range(i);
    if (range.first >= cursor_ || range.attempts == 0) break;
    if (range.done()) continue;
    if (now_us < range.sent_us + retransmit_us()) {
      if (i == 0) return;
      continue;
    }
    bytes += send(messenger, range, now_us);
    if (bytes >= late_bytes_max) break;
  }
  if (bytes == 0) return;
  ++timeouts_;
  ++counters_.timeouts;
  narrow();
}

void Session::transmit_next(dataplane::Messenger& messenger, std::uint64_t now_us) {
  if (window_.ranges() > 0) cursor_ = std::max(cursor_, window_.range(0).first);
  std::size_t bytes = 0;
  for (std::size_t sent = 0; sent < tick_ranges_max && bytes < tick_bytes_max; ++sent) {
    if (cursor_ >= window_.next_unpacked()) {
      cursor_ = window_.next_unpacked();
      if (window_.ranges() >= packets_in_flight_max()) return;
      if (!window_.pack(options_.entries_per_packet_max, options_.entry_bytes_per_packet_max)) return;
    }
    const std::size_t index = window_.find(cursor_);
    if (index == window_.ranges()) {  // finished meanwhile
      ++cursor_;
      continue;
    }
    // A fragmented range (it has one entry) weighs as much as its packets; the first one goes in any case.
    const std::size_t range_bytes = window_.bytes_from(window_.range(index), window_.range(index).end() - 1).size();
    const std::size_t packets = 1 + range_bytes / options_.entry_bytes_per_packet_max;
    if (index * packets >= packets_in_flight_max()) return;
    bytes += send(messenger, window_.range(index), now_us);
    cursor_ = window_.range(index).end();
  }
}

std::size_t Session::send(dataplane::Messenger& messenger, Range& range, std::uint64_t now_us) {
  if (range.done()) return 0;
  std::uint32_t skipped = 0;
  while (range.first + skipped < window_.front_sequence() || window_.entry(range.first + skipped).answered) ++skipped;
  // The same message keeps its id, so that fragments of two attempts meet. A refused attempt left nothing to meet.
  if (range.attempts == 0 || !range.outstanding || skipped != range.skipped) range.message_id = ++message_id_;
  range.skipped = skipped;
  range.doubtful = range.doubtful || range.outstanding;
  range.outstanding = true;
  range.sent_us = now_us;
  range.sent_to = leader_.target().id;
  ++counters_.messages_sent;
  if (range.attempts++ > 0) ++counters_.messages_resent;
  sent_to_ = std::max(sent_to_, range.end());

  const Sequence first = range.first + skipped;
  const wire::Append append{
      .session = session_, .first = first, .count = range.count - skipped, .ack = window_.entry(first).ack, .zero = {}};
  wire::PacketHeader header;
  header.type = wire::MessageType::append;
  header.destination = leader_.target().id;
  header.message_id = range.message_id;
  const Bytes entries = window_.bytes_from(range, first);
  messenger.send(leader_.target().route, header, bytes_of(append), entries);
  return entries.size();
}

void Session::restart_at(Sequence sequence) {
  cursor_ = std::min(cursor_, sequence);
}

std::uint64_t Session::retransmit_us() const {
  const std::uint64_t measured = rtt_us_ == 0 ? retransmit_us_first : rtt_us_ + 4 * rtt_deviation_us_;
  const std::uint64_t base = std::clamp(measured, retransmit_us_min, retransmit_us_max);
  return std::min(base << std::min(timeouts_, 8U), retransmit_us_max);
}

}  // namespace synod::client
