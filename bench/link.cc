#include "bench/link.h"

#include <fmt/format.h>

#include "base/uuid.h"
#include "bench/verify.h"
#include "replica/stop.h"
#include "wire/cluster.h"

namespace synod::bench {

namespace {

constexpr std::uint32_t sessions_ended_max = 3;
constexpr unsigned range_bits = 40;  // of the request and message numbers of one client

dataplane::LocalIdentity identity_of(const Ways& ways) {
  return {.cluster = wire::cluster_id(ways.cluster), .group = ways.group, .self = ReplicaId{}, .incarnation = {draw_uuid(), 1}};
}

client::SessionOptions options_of(const Ways& ways, const LinkOptions& asked, std::size_t client) {
  client::SessionOptions options;
  options.entries_in_flight_max = asked.in_flight;
  options.bytes_in_flight_max = std::max<std::size_t>(2U << 20, 2 * asked.in_flight * (asked.payload_bytes + 64));
  if (asked.entries_per_packet_max > 0) options.entries_per_packet_max = asked.entries_per_packet_max;
  options.first_request = options.first_message = client << range_bits;
  // Entries share a packet as far as the narrowest port carries them.
  std::size_t payload_bytes = SIZE_MAX;
  for (const dataplane::PortRef& port : ways.ports) payload_bytes = std::min(payload_bytes, port.payload_bytes_max());
  options.entry_bytes_per_packet_max = payload_bytes - sizeof(wire::PacketHeader) - sizeof(wire::Append);
  return options;
}

}  // namespace

Link::Link(const Ways& ways, const LinkOptions& options)
    : ack_(options.ack), messenger_(identity_of(ways), {.ports_max = ways.ports.size()}), written_(options.clients) {
  for (const dataplane::PortRef& port : ways.ports) messenger_.add_port(port);
  for (std::size_t client = 0; client < options.clients; ++client) {
    ends_.push_back(std::make_unique<End>(ways, options_of(ways, options, client), options.in_flight));
  }
}

bool Link::try_append(std::size_t client, std::uint64_t number, Bytes payload, std::uint32_t tag, std::uint64_t now_ns) {
  End& end = *ends_[client];
  if (end.taken - end.finished == end.in_flight_max) return false;
  if (!end.session.try_append(payload, now_ns / 1000, ack_)) return false;
  end.at(end.taken++) = {number, tag};
  return true;
}

bool Link::turn(std::uint64_t now_ns) {
  const std::uint64_t now_us = now_ns / 1000;
  for (const auto& end : ends_) end->session.on_tick(messenger_, now_us);
  for (client::Call& call : calls_) {
    if (call.waiting()) call.on_tick(messenger_, session().leader(), now_us);
  }
  messenger_.flush();
  const std::size_t packets = messenger_.poll([&](const dataplane::Message& message) { deliver(message, now_us); });
  for (const dataplane::Route& route : messenger_.refused()) {
    for (const auto& end : ends_) end->session.on_refused(route, now_us);
  }
  return packets > 0;
}

void Link::deliver(const dataplane::Message& message, std::uint64_t now_us) {
  if (message.header.type == wire::MessageType::appended) {
    const auto appended = wire::decode_client<wire::Appended>(message.payload);
    if (!appended) return;
    for (const auto& end : ends_) {
      if (end->session.id() == appended->session) return end->session.on_message(message, now_us);
    }
    return;
  }
  for (client::Call& call : calls_) {
    if (call.waiting() && call.on_message(message, nullptr, now_us)) return;
  }
  for (const auto& end : ends_) end->session.on_message(message, now_us);
}

std::size_t Link::take_finished(std::span<Finished> out) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < ends_.size() && count < out.size(); ++i) {
    const std::size_t client = next_end_;
    End& end = *ends_[client];
    while (count < out.size()) {
      const auto completion = end.session.poll_completion();
      if (!completion) break;
      const Unfinished done = end.at(end.finished++);
      const bool is_appended = completion->outcome == client::Outcome::appended;
      if (is_appended && !written_.add({client, done.number}, completion->lsn)) ++misplaced_;
      out[count++] = {done.tag, completion->outcome, completion->lsn};
    }
    next_end_ = next_end_ + 1 == ends_.size() ? 0 : next_end_ + 1;
  }
  return count;
}

Result<> Link::End::renew() {
  if (!session.ended() || session.unfinished() > 0) return {};
  if (session.end_reason() == client::EndReason::refused || ++sessions_ended > sessions_ended_max) {
    const char* const why = session.refusal() ? wire::name(*session.refusal()) : "no answer";
    return fail(
        fmt::format("the cluster does not take appends ({}, {}): see 'synod status'", client::name(session.end_reason()), why));
  }
  session.reopen();
  return {};
}

std::uint64_t Link::in_flight() const {
  std::uint64_t count = 0;
  for (const auto& end : ends_) count += end->taken - end->finished;
  return count;
}

Result<Health> Link::health() {
  Health health = Health::good;
  for (const auto& end : ends_) {
    if (end->session.refusal() == wire::RefusalReason::no_space) health = Health::full;
    if (auto renewed = end->renew(); !renewed) return std::unexpected(renewed.error());
  }
  return health;
}

AppenderCounters Link::counters() const {
  AppenderCounters sum{.misplaced = misplaced_};
  for (const auto& end : ends_) {
    const client::SessionCounters& counters = end->session.counters();
    sum.messages += counters.messages_sent - counters.messages_resent;
    sum.resent += counters.messages_resent;
    sum.busy += counters.busy;
  }
  return sum;
}

Result<Verified> Link::verify(Payloads& payloads, Progress& progress) {
  auto verified = read_back(*this, written_, payloads, progress);
  written_.clear();
  return verified;
}

// Waits for the answer to the call that the leader was asked.
Result<> Link::finish_call(const char* what, std::uint64_t timeout_us) {
  client::Call& call = session().call();
  while (call.waiting() && !replica::stop_requested) turn(dataplane::now_ns());
  if (call.state() == client::CallState::answered) return {};
  call.cancel();
  if (replica::stop_requested) return fail("interrupted");
  const char* const why = call.refusal() ? wire::name(*call.refusal()) : "no answer";
  return fail(fmt::format("no leader {} within {:.0f} s ({}): check that most replicas run and reach each other", what,
                          static_cast<double>(timeout_us) / 1e6, why));
}

Result<Lsn> Link::tail(std::uint64_t timeout_us) {
  session().call().start_tail(next_request(), dataplane::now_us(), timeout_us);
  if (auto finished = finish_call("answers", timeout_us); !finished) return std::unexpected(finished.error());
  return session().call().tail();
}

Result<> Link::trim(Lsn lsn, std::uint64_t timeout_us) {
  session().call().start_trim(next_request(), lsn, dataplane::now_us(), timeout_us);
  return finish_call("trims", timeout_us);
}

std::vector<wire::StatusAnswer> Link::statuses(std::uint64_t timeout_us) {
  const std::span<const client::Peer> replicas = peers();
  for (std::size_t i = 0; i < replicas.size(); ++i) {
    calls_[i].start_status(next_request(), replicas[i], dataplane::now_us(), timeout_us);
  }
  const auto waiting = [](const client::Call& call) { return call.waiting(); };
  while (std::ranges::any_of(calls_, waiting)) turn(dataplane::now_ns());
  std::vector<wire::StatusAnswer> answers;
  for (std::size_t i = 0; i < replicas.size(); ++i) {
    if (calls_[i].state() == client::CallState::answered) answers.push_back(calls_[i].status());
    calls_[i].cancel();
  }
  return answers;
}

}  // namespace synod::bench
