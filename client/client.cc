#include "client/client.h"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>
#include <poll.h>

#include "base/check.h"
#include "base/uuid.h"
#include "client/address.h"
#include "wire/body.h"
#include "wire/cluster.h"

namespace synod::client {

namespace {

constexpr std::uint64_t spin_us = 30;
constexpr std::uint32_t read_bytes_max = 64U << 10;
constexpr std::uint64_t submits_per_turn = 32;

std::uint64_t monotonic_us() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

dataplane::LocalIdentity identity_of(const ClientOptions& options) {
  return {
      .cluster = wire::cluster_id(options.cluster), .group = options.group, .self = ReplicaId{}, .incarnation = {draw_uuid(), 1}};
}

SessionOptions session_options_of(const ClientOptions& options, const dataplane::UdpPort& port) {
  SessionOptions session = options.session;
  session.append_timeout_us = options.timeout_us;
  session.first_request = load<std::uint64_t>(draw_uuid().bytes) >> 1;
  session.entry_bytes_per_packet_max = port.payload_bytes_max() - sizeof(wire::PacketHeader) - sizeof(wire::Append);
  return session;
}

std::string entries_text(std::size_t count) {
  return count == 1 ? "1 entry" : fmt::format("{} entries", count);
}

}  // namespace

Result<std::unique_ptr<Client>> Client::connect(const ClientOptions& options) {
  auto peers = parse_cluster(options.addresses, options.group);
  if (!peers) return std::unexpected(peers.error());
  auto port = dataplane::UdpPort::open({});
  if (!port) return std::unexpected(port.error());
  return std::unique_ptr<Client>(new Client(options, std::move(*peers), std::move(*port)));
}

Client::Client(const ClientOptions& options, std::vector<Peer> peers, std::unique_ptr<dataplane::UdpPort> port)
    : options_(options),
      peers_(std::move(peers)),
      port_(std::move(port)),
      messenger_(identity_of(options), {.ports_max = 1}),
      session_(peers_, session_options_of(options, *port_)),
      status_calls_(peers_.size()) {
  messenger_.add_port(dataplane::PortRef(*port_));
}

bool Client::turn() {
  const std::size_t packets = messenger_.poll([&](const dataplane::Message& message) {
    const std::uint64_t now_us = monotonic_us();
    for (Call& call : status_calls_) {
      if (call.waiting() && call.on_message(message, nullptr, now_us)) return;
    }
    session_.on_message(message, now_us);
  });
  const std::uint64_t now_us = monotonic_us();
  for (const dataplane::Route& route : messenger_.refused()) session_.on_refused(route, now_us);
  session_.on_tick(messenger_, now_us);
  for (Call& call : status_calls_) call.on_tick(messenger_, session_.leader(), now_us);
  messenger_.flush();
  return packets > 0;
}

// A busy answer comes within the spin; a slow one must not cost a core.
template <class Done>
void Client::run_until(Done&& done) {
  std::uint64_t idle_since_us = monotonic_us();
  while (true) {
    const bool heard = turn();
    if (done()) return;
    const std::uint64_t now_us = monotonic_us();
    if (heard) idle_since_us = now_us;
    if (now_us - idle_since_us < spin_us) continue;
    pollfd socket{.fd = port_->descriptor(), .events = POLLIN, .revents = 0};
    (void)::poll(&socket, 1, 1);
  }
}

std::string Client::describe() const {
  if (session_.refusal()) return fmt::format("last refused: {}", wire::name(*session_.refusal()));
  return "no replica answered: check the addresses, the cluster's name and that a majority runs";
}

Result<> Client::take_completions() {
  std::size_t not_appended = 0;
  std::size_t unknown = 0;
  while (const auto completion = session_.poll_completion()) {
    if (completion->outcome == Outcome::appended && on_appended_) on_appended_(completion->lsn);
    if (completion->outcome == Outcome::not_appended) ++not_appended;
    if (completion->outcome == Outcome::unknown) ++unknown;
  }
  if (!session_.ended()) return {};
  std::string why =
      session_.end_reason() == EndReason::evicted ? "the session was evicted: read the log to see what is in it" : describe();
  if (session_.end_reason() == EndReason::lost) why = "a failover has lost entries that were answered early: read the log to see";
  if (session_.end_reason() == EndReason::deadline) why = "the deadline passed; " + why;
  session_.reopen();
  if (unknown == 0) return fail(fmt::format("not appended ({}): {}", entries_text(not_appended), why));
  const std::string more = not_appended == 0 ? "" : fmt::format(", {} more not appended", not_appended);
  return fail(fmt::format("outcome unknown ({}{}): {}", entries_text(unknown), more, why));
}

Result<> Client::submit(Bytes payload) {
  if (payload.size() > entry_bytes_max) {
    return fail(fmt::format("not appended: an entry of {} bytes is too large: the most is {}", payload.size(), entry_bytes_max));
  }
  while (!session_.try_append(payload, monotonic_us(), options_.ack)) {
    if (!session_.ended()) {
      const std::size_t before = session_.unfinished();
      Result<> taken;
      run_until([&] {
        taken = take_completions();
        return !taken || session_.unfinished() < before;
      });
      if (!taken) return taken;
    } else if (auto taken = take_completions(); !taken) {
      return taken;
    }
  }
  if (++submitted_ % submits_per_turn != 0) return {};
  (void)turn();
  return take_completions();
}

Result<> Client::wait_all() {
  Result<> taken;
  if (session_.unfinished() == 0) return taken;
  run_until([&] {
    taken = take_completions();
    return !taken || session_.unfinished() == 0;
  });
  return taken;
}

Result<> Client::progress(int descriptor, int wait_ms_max) {
  (void)turn();
  if (auto taken = take_completions(); !taken) return taken;
  pollfd descriptors[2] = {{.fd = port_->descriptor(), .events = POLLIN, .revents = 0},
                           {.fd = descriptor, .events = POLLIN, .revents = 0}};
  (void)::poll(descriptors, 2, session_.unfinished() > 0 ? 1 : wait_ms_max);
  return {};
}

Result<Lsn> Client::append(Bytes payload) {
  CHECK_EQ(session_.unfinished(), 0U);
  Lsn lsn;
  OnAppended kept = std::exchange(on_appended_, [&](Lsn at) { lsn = at; });
  Result<> done = submit(payload);
  if (done) done = wait_all();
  on_appended_ = std::move(kept);
  if (!done) return std::unexpected(done.error());
  return lsn;
}

Result<> Client::finish_call(const char* what) {
  const Call& call = session_.call();
  run_until([&] { return !call.waiting(); });
  if (call.state() == CallState::answered) return {};
  if (call.state() == CallState::refused) {
    if (call.refusal() == wire::RefusalReason::trimmed) {
      return fail(fmt::format("{} refused: the log is trimmed up to here; the first LSN that can be read is {}", what,
                              call.first_kept().value()));
    }
    return fail(fmt::format("{} refused: {}", what, wire::name(*call.refusal())));
  }
  if (call.refusal()) return fail(fmt::format("{}: the deadline passed; last refused: {}", what, wire::name(*call.refusal())));
  return fail(
      fmt::format("{}: no answer before the deadline: check the addresses, the cluster's name and that a majority runs", what));
}

Result<Lsn> Client::tail() {
  session_.call().start_tail(session_.next_request(), monotonic_us(), options_.timeout_us);
  if (auto done = finish_call("tail"); !done) return std::unexpected(done.error());
  return session_.call().tail();
}

Result<Lsn> Client::trim(Lsn lsn) {
  session_.call().start_trim(session_.next_request(), lsn, monotonic_us(), options_.timeout_us);
  if (auto done = finish_call("trim"); !done) return std::unexpected(done.error());
  return session_.call().trimmed_to();
}

std::optional<Peer> Client::peer_of(ReplicaId id) const {
  for (const Peer& peer : peers_) {
    if (peer.id == id) return peer;
  }
  return std::nullopt;
}

Result<Lsn> Client::read(Lsn from, Lsn to, const Visit& visit, std::optional<ReplicaId> replica) {
  std::optional<Peer> peer;
  if (replica) {
    peer = peer_of(*replica);
    if (!peer) return fail(fmt::format("replica {} has no address: name it in the list of addresses", replica->value()));
  }
  Call& call = session_.call();
  const auto ask = [&] {
    call.start_read(session_.next_request(), from, to, read_bytes_max, peer, monotonic_us(), options_.timeout_us);
  };
  if (from < to) ask();
  while (from < to) {
    call.renew_deadline(monotonic_us(), options_.timeout_us);  // visiting may have taken long
    if (auto done = finish_call("read"); !done) return std::unexpected(done.error());
    const std::uint32_t count = call.read().count;
    if (count == 0) break;
    // The next answer comes while this one is visited.
    call.swap_entries(entries_);
    Lsn lsn = from;
    from = from + count;
    if (from < to) ask();
    (void)turn();
    for (Bytes rest = entries_; lsn < from;) {
      const wire::EntrySplit split = wire::split_entry(rest);
      rest = split.rest;
      const bool more = visit(lsn, split.payload);
      ++lsn;
      if (more) continue;
      call.cancel();
      return lsn;
    }
  }
  return from;
}

std::optional<Lsn> Client::first_kept() const {
  const Call& call = session_.call();
  if (call.state() != CallState::refused || call.refusal() != wire::RefusalReason::trimmed) return std::nullopt;
  return call.first_kept();
}

std::vector<ReplicaStatus> Client::status(std::uint64_t timeout_us) {
  for (std::size_t i = 0; i < peers_.size(); ++i) {
    status_calls_[i].start_status(session_.next_request(), peers_[i], monotonic_us(), timeout_us);
  }
  run_until([&] { return std::ranges::none_of(status_calls_, &Call::waiting); });
  std::vector<ReplicaStatus> result;
  for (std::size_t i = 0; i < peers_.size(); ++i) {
    const Call& call = status_calls_[i];
    result.push_back({peers_[i], call.state() == CallState::answered ? std::optional(call.status()) : std::nullopt});
  }
  return result;
}

Result<wire::StatusAnswer> Client::status(ReplicaId replica) {
  const auto peer = peer_of(replica);
  if (!peer) return fail(fmt::format("replica {} has no address: name it in the list of addresses", replica.value()));
  session_.call().start_status(session_.next_request(), *peer, monotonic_us(), options_.timeout_us);
  if (auto done = finish_call("status"); !done) return std::unexpected(done.error());
  return session_.call().status();
}

}  // namespace synod::client
