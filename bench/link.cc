#include "bench/link.h"

#include <fmt/format.h>

#include "base/uuid.h"
#include "replica/stop.h"
#include "wire/cluster.h"

namespace synod::bench {

namespace {

dataplane::LocalIdentity identity_of(const Ways& ways) {
  return {.cluster = wire::cluster_id(ways.cluster), .group = GroupId{}, .self = ReplicaId{}, .incarnation = {draw_uuid(), 1}};
}

// Entries share a packet as far as the narrowest port carries them.
client::SessionOptions fit(client::SessionOptions options, const Ways& ways) {
  std::size_t payload_bytes = SIZE_MAX;
  for (const dataplane::PortRef& port : ways.ports) payload_bytes = std::min(payload_bytes, port.payload_bytes_max());
  options.entry_bytes_per_packet_max = payload_bytes - sizeof(wire::PacketHeader) - sizeof(wire::Append);
  return options;
}

}  // namespace

Link::Link(const Ways& ways, const client::SessionOptions& options)
    : messenger_(identity_of(ways), {.ports_max = ways.ports.size()}), session_(ways.peers, fit(options, ways)) {
  for (const dataplane::PortRef& port : ways.ports) messenger_.add_port(port);
}

bool Link::turn(std::uint64_t now_ns) {
  const std::uint64_t now_us = now_ns / 1000;
  session_.on_tick(messenger_, now_us);
  for (client::Call& call : calls_) {
    if (call.waiting()) call.on_tick(messenger_, session_.leader(), now_us);
  }
  messenger_.flush();
  const std::size_t packets = messenger_.poll([&](const dataplane::Message& message) {
    if (message.header.type != wire::MessageType::appended) {
      for (client::Call& call : calls_) {
        if (call.waiting() && call.on_message(message, nullptr, now_us)) return;
      }
    }
    session_.on_message(message, now_us);
  });
  return packets > 0;
}

Result<Lsn> Link::tail(std::uint64_t timeout_us) {
  client::Call& call = session_.call();
  call.start_tail(session_.next_request(), dataplane::now_us(), timeout_us);
  while (call.waiting() && !replica::stop_requested) turn(dataplane::now_ns());
  if (call.state() == client::CallState::answered) return call.tail();
  call.cancel();
  if (replica::stop_requested) return fail("interrupted");
  const char* const why = call.refusal() ? wire::name(*call.refusal()) : "no answer";
  return fail(fmt::format("no leader answers within {:.0f} s ({}): check that most replicas run and reach each other",
                          static_cast<double>(timeout_us) / 1e6, why));
}

std::vector<wire::StatusAnswer> Link::statuses(std::uint64_t timeout_us) {
  const std::span<const client::Peer> replicas = peers();
  for (std::size_t i = 0; i < replicas.size(); ++i) {
    calls_[i].start_status(session_.next_request(), replicas[i], dataplane::now_us(), timeout_us);
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
