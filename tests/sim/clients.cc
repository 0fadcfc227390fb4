#include "tests/sim/clients.h"

#include <fmt/format.h>

#include <algorithm>

#include "wire/body.h"
#include "wire/cluster.h"

namespace synod::sim {

namespace {

client::SessionOptions session_options(std::uint64_t append_timeout_us) {
  client::SessionOptions options;
  options.entries_in_flight_max = 64;
  options.bytes_in_flight_max = (1U << 20) + (64U << 10);
  options.append_timeout_us = append_timeout_us;
  options.leader.silence_us_max = 20'000;
  options.leader.probe_us_max = 10'000;
  options.leader.suspect_us = 20'000;
  return options;
}

dataplane::LocalIdentity identity(std::size_t number) {
  dataplane::LocalIdentity local{wire::cluster_id("sim"), GroupId{}, ReplicaId{}, {}};
  local.incarnation.disk.bytes[0] = std::byte{0xC1};
  local.incarnation.disk.bytes[1] = static_cast<std::byte>(number);
  local.incarnation.open_count = 1;
  return local;
}

}  // namespace

Client::Client(Cluster& cluster, Network& network, Oracle& oracle, Known& known, std::size_t number,
               std::uint64_t append_timeout_us)
    : cluster_(cluster),
      network_(network),
      oracle_(oracle),
      known_(known),
      endpoint_(client_endpoint(number)),
      port_(network, endpoint_),
      messenger_(identity(number), {}),
      session_(cluster.peers(), session_options(append_timeout_us), number % cluster.size()),
      is_impatient_(append_timeout_us > 0) {
  messenger_.add_port(dataplane::PortRef(port_));
}

bool Client::append(std::string payload, wire::AckLevel level) {
  if (!session_.try_append(std::as_bytes(std::span(payload)), network_.now_us, level)) return false;
  appends_.push_back({std::move(payload), known_.acknowledged, counters_.sessions, {}, level, {}});
  return true;
}

void Client::ask_tail(std::uint64_t timeout_us) {
  asked_ = Asked::tail;
  least_tail_ = std::max(known_.acknowledged, known_.tail);
  session_.call().start_tail(session_.next_request(), network_.now_us, timeout_us);
}

void Client::ask_trim(Lsn lsn, std::uint64_t timeout_us) {
  asked_ = Asked::trim;
  known_.trim_asked = std::max(known_.trim_asked, lsn);
  least_trim_ = std::min(lsn, known_.acknowledged);
  session_.call().start_trim(session_.next_request(), lsn, network_.now_us, timeout_us);
}

void Client::ask_read(Lsn from, Lsn to, std::optional<std::size_t> place, std::uint64_t timeout_us) {
  asked_ = Asked::read;
  read_from_ = from;
  last_read_ = 0;
  last_read_tail_ = Lsn(UINT64_MAX);
  last_was_trimmed_ = false;
  std::optional<client::Peer> peer;
  if (place) peer = cluster_.peers()[*place];
  session_.call().start_read(session_.next_request(), from, to, 16U << 10, peer, network_.now_us, timeout_us);
}

void Client::poll() {
  messenger_.poll([&](const dataplane::Message& message) { session_.on_message(message, network_.now_us); });
  for (const dataplane::Route& route : messenger_.refused()) session_.on_refused(route, network_.now_us);
  session_.on_tick(messenger_, network_.now_us);
  note_session();
  take_completions();
  take_answer();
}

void Client::note_session() {
  if (session_.id() == SessionId{} || session_.id() == last_session_) return;
  last_session_ = session_.id();
  if (had_sessions_.insert(last_session_).second) return;
  oracle_.fail("a session is opened once",
               fmt::format("client {} was given session {} a second time", endpoint_.port, last_session_.value()));
}

void Client::take_completions() {
  while (const auto completion = session_.poll_completion()) {
    Append& append = appends_[finished_++];
    append.outcome = completion->outcome;
    append.completion = *completion;
    switch (completion->outcome) {
      case client::Outcome::appended:
        ++counters_.appended;
        ++counters_.answered[static_cast<std::size_t>(completion->met)];
        check_level(append);
        if (!completion->is_early()) check_appended(append, completion->lsn);
        break;
      case client::Outcome::not_appended: ++counters_.not_appended; break;
      case client::Outcome::unknown: ++counters_.unknown; break;
    }
  }
  if (!session_.ended()) return;
  if (session_.end_reason() == client::EndReason::evicted && !oracle_.was_evicted(session_.id())) {
    oracle_.fail("sessions live on", fmt::format("session {} was called evicted, and it is in the table", session_.id().value()));
  }
  if (session_.end_reason() == client::EndReason::lost) check_lost();
  session_.reopen();
  last_session_ = SessionId{};
  ++counters_.sessions;
}

void Client::check_level(const Append& append) {
  if (wire::satisfies(append.completion.met, append.level)) return;
  oracle_.fail("an append gets its level", fmt::format("asked for {} and answered as {}: {}", wire::name(append.level),
                                                       wire::name(append.completion.met), append.payload.substr(0, 30)));
}

void Client::check_lost() {
  ++counters_.sessions_lost;
  const bool was_early = std::ranges::any_of(appends_, [&](const Append& append) {
    return append.session == counters_.sessions && append.completion.is_early() &&
           append.completion.sequence >= session_.lost_from();
  });
  if (was_early) return;
  oracle_.fail("only early answers are lost",
               fmt::format("session {} ended with lost, and nothing of it was answered early", session_.id().value()));
}

// Lost, or elsewhere than it was told.
void Client::check_early(const Append& append, std::optional<Lsn> found) {
  const client::Completion& told = append.completion;
  if (!found) ++counters_.early_lost[static_cast<std::size_t>(told.met)];
  if (found == told.lsn || cluster_.last_leader() > told.ballot) return;
  oracle_.fail("an early answer holds in its ballot",
               fmt::format("answered as {} at {} in ballot ({}, {}), which nobody has followed, and it is {}: {}",
                           wire::name(told.met), told.lsn.value(), told.ballot.round(), told.ballot.replica().value(),
                           found ? fmt::format("at {}", found->value()) : "lost", append.payload.substr(0, 30)));
}

void Client::check_appended(const Append& append, Lsn lsn) {
  const auto found = oracle_.lsn_of(append.payload);
  if (!found) {
    return oracle_.fail("acknowledged is chosen",
                        fmt::format("acknowledged at {} and not in the log: {}", lsn.value(), append.payload.substr(0, 30)));
  }
  if (*found != lsn) {
    return oracle_.fail("acknowledged where it is", fmt::format("acknowledged at {} and chosen at {}: {}", lsn.value(),
                                                                found->value(), append.payload.substr(0, 30)));
  }
  if (lsn < append.behind) {
    return oracle_.fail("order agrees with real time",
                        fmt::format("{} lies at {}, and {} entries were acknowledged before it was asked for",
                                    append.payload.substr(0, 30), lsn.value(), append.behind.value()));
  }
  known_.acknowledged = std::max(known_.acknowledged, lsn + 1);
  const Slot slot = oracle_.slot_of(lsn);
  if (slot <= checked_slot_) return;
  checked_slot_ = slot;
  // What was trimmed meanwhile may have been written over.
  if (lsn < oracle_.trim() || cluster_.is_on_a_quorum_of_disks(slot)) return;
  oracle_.fail("acknowledged is durable",
               fmt::format("acknowledged at {}, and slot {} is on no quorum of disks", lsn.value(), slot.value()));
}

void Client::take_answer() {
  client::Call& call = session_.call();
  if (asked_ == Asked::nothing || call.waiting()) return;
  if (call.state() == client::CallState::answered) {
    if (asked_ == Asked::tail) check_tail(call.tail());
    if (asked_ == Asked::trim) check_trim(call.trimmed_to());
    if (asked_ == Asked::read) check_read(call);
  }
  if (call.state() == client::CallState::refused && call.refusal() == wire::RefusalReason::trimmed) {
    check_trimmed_read(call.first_kept());
  }
  asked_ = Asked::nothing;
}

void Client::check_tail(Lsn tail) {
  ++counters_.tails;
  if (tail < least_tail_) {
    oracle_.fail("the tail is current",
                 fmt::format("a tail of {}, and {} was known before it was asked for", tail.value(), least_tail_.value()));
  }
  if (tail > oracle_.tail()) {
    oracle_.fail("the tail is chosen",
                 fmt::format("a tail of {}, and {} entries are chosen", tail.value(), oracle_.tail().value()));
  }
  known_.tail = std::max(known_.tail, tail);
}

void Client::check_trim(Lsn first_kept) {
  ++counters_.trims;
  known_.trim = std::max(known_.trim, first_kept);
  if (first_kept < least_trim_) {
    oracle_.fail("a trim goes as far as was asked",
                 fmt::format("kept from {} on, and {} was asked for", first_kept.value(), least_trim_.value()));
  }
  if (first_kept > oracle_.trim()) {
    oracle_.fail("a trim is chosen", fmt::format("answered with {}, and the chosen log is trimmed up to {}", first_kept.value(),
                                                 oracle_.trim().value()));
  }
}

// Nothing at or above any trim that was asked for may be refused.
void Client::check_trimmed_read(Lsn first_kept) {
  ++counters_.trimmed_reads;
  last_was_trimmed_ = true;
  if (asked_ == Asked::read && read_from_ < first_kept && first_kept <= known_.trim_asked && first_kept <= oracle_.trim()) return;
  oracle_.fail("only what was trimmed is refused",
               fmt::format("position {} is refused as below {}; the log is trimmed up to {}, and {} was the most asked for",
                           read_from_.value(), first_kept.value(), oracle_.trim().value(), known_.trim_asked.value()));
}

void Client::check_read(const client::Call& call) {
  ++counters_.reads;
  Bytes rest = call.entries();
  for (std::uint32_t i = 0; i < call.read().count; ++i) {
    const wire::EntrySplit split = wire::split_entry(rest);
    rest = split.rest;
    const std::string_view entry(reinterpret_cast<const char*>(split.payload.data()), split.payload.size());
    const std::uint64_t lsn = read_from_.value() + i;
    if (lsn < oracle_.entries().size() && oracle_.entries()[lsn] == entry) continue;
    return oracle_.fail("reads are the log", fmt::format("position {} was read as {}", lsn, entry.substr(0, 30)));
  }
  last_read_ = call.read().count;
  last_read_tail_ = call.read().tail;
}

void Client::check_history() {
  Lsn behind;  // the session's last entry, plus one
  bool has_hole = false;
  std::uint64_t session = 0;
  for (const Append& append : appends_) {
    const auto found = oracle_.lsn_of(append.payload);
    const bool is_early = append.outcome == client::Outcome::appended && append.completion.is_early();
    if (is_early) check_early(append, found);
    if (append.outcome == client::Outcome::appended && !is_early && !found) {
      oracle_.fail("acknowledged is kept", fmt::format("acknowledged and lost: {}", append.payload.substr(0, 30)));
    }
    if (append.outcome == client::Outcome::not_appended && found) {
      oracle_.fail("not appended is not in the log", fmt::format("client {}, its session {}: {}", endpoint_.port,
                                                                 append.session + 1, append.payload.substr(0, 30)));
    }
    if (append.session != session) {
      behind = Lsn{};
      has_hole = false;
    }
    session = append.session;
    has_hole = has_hole || !found;
    if (!found) continue;
    if (has_hole) oracle_.fail("nothing behind a hole", append.payload.substr(0, 30));
    if (*found < behind) oracle_.fail("a session's order", append.payload.substr(0, 30));
    behind = *found + 1;
  }
}

}  // namespace synod::sim
