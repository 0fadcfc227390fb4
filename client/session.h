// The core of a client, without I/O: one session of appends and one other request at a time. Time and messages go in, messages
// go out through a Messenger.
//
// Exactly once. An append is named by (session, sequence); it is transmitted until it is answered, and a replica that knows the
// name never appends it again. Sequences are admitted in order, so an entry is in the log only behind all earlier ones of its
// session: completions come in sequence order, and when one entry is certainly not appended, no later one is.
//
// Batching without timers. `try_append` only queues; `on_tick` packs whatever waits into as few packets as it takes.
//
// Flow. At most entries_in_flight_max entries and bytes_in_flight_max bytes are unfinished; a full window is an empty optional.
// Within it, packets in flight are limited as TCP limits its own: the limit grows with answers and is halved by loss. It is never
// above what the leader's answers allow (replica/credits.h).
// Transmission goes in order, at a cursor: `gap` puts the cursor back to the sequence that it names, another leader to the front.
//
// Levels (rule 10). Each append says when it wants to be answered. An early answer completes it for the caller, who is told that
// it was early: its LSN is provisional, and a failover may lose it. A replica admits sequences without a hole; so when a leader
// of a higher ballot expects an entry that was answered early, that one and all after it are lost, and the session ends with
// `lost`: nothing of it comes behind the hole. A session learns this when it next sends; one that is idle, or gone, does not.
//
// End. A session ends when the deadline of its oldest entry passes, when it is evicted, when an entry is refused for good, or
// when entries that were answered early are lost. Then every unfinished entry completes as `not_appended` (no transmission of it,
// or of an earlier entry, can have been proposed: it was never sent, or each attempt was refused) or as `unknown`. A replica
// refuses a second copy of an attempt that it has refused (replica/refusals.h). The one assumption behind `not_appended` for an
// entry that was sent: the network does not keep such a copy for longer than the process lives that refused the first. Once all
// completions are taken, `reopen` starts a fresh session.
//
// Thread: one. No heap on the append path after construction.
#pragma once

#include <cstdint>
#include <optional>

#include "base/ids.h"
#include "client/call.h"
#include "client/leader.h"
#include "client/window.h"
#include "dataplane/messenger.h"
#include "wire/client.h"

namespace synod::client {

// What a replica's session table remembers: more could not be answered again after a retry.
inline constexpr std::size_t entries_in_flight_limit = 4096;

// Timing. Three replicas on two busy cores hold an answer back for some milliseconds without having lost anything.
inline constexpr std::uint64_t retransmit_us_first = 20'000;  // before a round trip was measured
inline constexpr std::uint64_t retransmit_us_min = 8'000;
inline constexpr std::uint64_t retransmit_us_max = 200'000;
inline constexpr std::uint64_t gap_echo_us_min = 200;
inline constexpr std::uint64_t busy_pause_us_first = 500;
inline constexpr std::uint64_t no_space_pause_us_first = 10'000;
inline constexpr std::uint64_t busy_pause_us_max = 50'000;
// How much one tick sends, and how much of it for the second time because an answer is late.
inline constexpr std::size_t tick_ranges_max = 64;
inline constexpr std::size_t tick_bytes_max = 256U << 10;
inline constexpr std::size_t late_ranges_max = 8;
inline constexpr std::size_t late_bytes_max = 64U << 10;
inline constexpr std::size_t packets_in_flight_first = 16;
inline constexpr std::size_t packets_in_flight_least = 2;

static_assert(busy_pause_us_max < LeaderSearchLimits{}.silence_us_max);

struct SessionOptions {
  std::size_t entries_in_flight_max = 1024;
  std::size_t bytes_in_flight_max = 8U << 20;
  std::size_t entries_per_packet_max = 4096;      // 1: one entry a packet
  std::size_t entry_bytes_per_packet_max = 1320;  // a packet's payload less both headers; larger entries are fragmented
  std::uint64_t append_timeout_us = 10'000'000;   // of one append, from try_append; 0: never
  // Requests are numbered from here. Random where a port outlives its client: an answer to a predecessor must not fit our
  // request.
  std::uint64_t first_request = 0;
  // Messages too, below 2^63. Sessions that share a messenger have ranges of their own, of both.
  std::uint64_t first_message = 0;
  LeaderSearchLimits leader;
};

enum class Outcome : std::uint8_t { appended, not_appended, unknown };
enum class EndReason : std::uint8_t { none, deadline, evicted, refused, lost };

[[nodiscard]] const char* name(Outcome outcome);
[[nodiscard]] const char* name(EndReason reason);

struct Completion {
  Sequence sequence;
  Lsn lsn;  // of an appended entry; provisional if it was answered early
  Outcome outcome{};
  wire::AckLevel met = wire::AckLevel::quorum;  // of an appended entry: at least the level that was asked for
  Ballot ballot;                                // of the leader that answered

  [[nodiscard]] bool is_early() const { return wire::is_early(met); }
};

struct SessionCounters {
  std::uint64_t messages_sent = 0;    // append messages
  std::uint64_t messages_resent = 0;  // of those, not for the first time
  std::uint64_t gaps = 0;
  std::uint64_t busy = 0;
  std::uint64_t timeouts = 0;
};

class Session {
 public:
  // `first_peer`: the index of the replica to ask first.
  Session(std::span<const Peer> peers, const SessionOptions& options, std::size_t first_peer = 0);

  // Queues a copy of the payload (at most entry_bytes_max). Nothing: the window is full, or the session has ended.
  std::optional<Sequence> try_append(Bytes payload, std::uint64_t now_us, wire::AckLevel ack = wire::AckLevel::quorum);
  // The next finished append, in sequence order.
  std::optional<Completion> poll_completion();

  [[nodiscard]] bool ended() const { return end_ != EndReason::none; }
  [[nodiscard]] EndReason end_reason() const { return end_; }
  // Of a session that ended with `lost`: the first entry that is lost, though it was answered early.
  [[nodiscard]] Sequence lost_from() const { return lost_from_; }
  // The last refusal of an append or of the session, if nothing was answered since: why a deadline passed.
  [[nodiscard]] std::optional<wire::RefusalReason> refusal() const { return refusal_; }
  // Needs ended() and an empty window.
  void reopen();

  // The other request (tail, read, status). Start one when none is waiting; it proceeds with the session.
  [[nodiscard]] Call& call() { return call_; }
  [[nodiscard]] const Call& call() const { return call_; }
  [[nodiscard]] std::uint64_t next_request() { return ++request_; }

  void on_message(const dataplane::Message& message, std::uint64_t now_us);
  // Nobody listens at `route` (dataplane::Messenger::refused).
  void on_refused(const dataplane::Route& route, std::uint64_t now_us) { leader_.on_refused(route, now_us); }
  // Call after every poll of the messenger, and at least every millisecond while anything is unfinished.
  void on_tick(dataplane::Messenger& messenger, std::uint64_t now_us);

  [[nodiscard]] std::size_t unfinished() const { return window_.entries(); }
  [[nodiscard]] SessionId id() const { return session_; }
  [[nodiscard]] const LeaderSearch& leader() const { return leader_; }
  [[nodiscard]] const SessionCounters& counters() const { return counters_; }

 private:
  void on_appended(const dataplane::Message& message, std::uint64_t now_us);
  void on_refused(const dataplane::Message& message, std::uint64_t now_us);
  void on_gap(Sequence next, std::uint64_t now_us);
  [[nodiscard]] bool is_lost(Sequence next, Ballot ballot) const;
  void pause(Sequence from, std::uint64_t pause_us_min, std::uint64_t now_us);
  [[nodiscard]] std::size_t packets_in_flight_max() const { return std::min(packets_in_flight_limit_, credit_); }
  void note_credit(const dataplane::Message& message);
  void widen(std::size_t finished);
  void narrow();
  void note_rtt(std::uint64_t rtt_us);
  [[nodiscard]] std::uint64_t retransmit_us() const;

  void open(dataplane::Messenger& messenger, std::uint64_t now_us);
  void transmit(dataplane::Messenger& messenger, std::uint64_t now_us);
  void probe(dataplane::Messenger& messenger, std::uint64_t now_us);
  void transmit_late(dataplane::Messenger& messenger, std::uint64_t now_us);
  void transmit_next(dataplane::Messenger& messenger, std::uint64_t now_us);
  // Sends the unanswered part of a range; returns its bytes.
  std::size_t send(dataplane::Messenger& messenger, Range& range, std::uint64_t now_us);
  void restart_at(Sequence sequence);
  void end(EndReason reason);
  [[nodiscard]] bool deadline_passed(std::uint64_t now_us) const;
  [[nodiscard]] bool owed_an_answer(std::uint64_t now_us) const;

  SessionOptions options_;
  LeaderSearch leader_;
  AppendWindow window_;
  Call open_;
  Call call_;
  SessionId session_;
  EndReason end_ = EndReason::none;
  Sequence unknown_to_;  // of an ended session: unfinished entries below it are `unknown`
  std::optional<wire::RefusalReason> refusal_;
  Ballot ballot_;       // the highest in which a leader has answered this session
  Ballot last_ballot_;  // in which the last entry that was taken by poll_completion was answered
  Sequence lost_from_;

  Sequence cursor_{1};   // what is sent next
  Sequence sent_to_{1};  // everything below was sent at least once
  std::size_t packets_in_flight_limit_;
  std::size_t packets_in_flight_slow_ = entries_in_flight_limit;  // where growth by one a packet becomes one a window
  std::size_t packets_finished_ = 0;                              // since the limit last grew slowly
  std::size_t credit_ = entries_in_flight_limit;                  // packets, by the last word of the leader
  std::uint64_t moves_ = 0;      // of the leader search, when the cursor was put to the front for it
  bool probed_ = false;          // the present target, since then
  std::uint64_t resume_us_ = 0;  // nothing is sent before, because of `busy`
  std::uint64_t busy_pause_us_ = 0;
  Sequence gap_;  // the last one named, and until when the same one is an echo of the same loss
  std::uint64_t gap_echo_us_ = 0;
  std::uint32_t timeouts_ = 0;  // in a row
  std::uint64_t rtt_us_ = 0;    // smoothed; 0: not measured yet
  std::uint64_t rtt_deviation_us_ = 0;
  std::uint64_t request_;
  std::uint64_t message_id_;  // below 2^63: those that the messenger draws are above
  SessionCounters counters_;
};

}  // namespace synod::client
