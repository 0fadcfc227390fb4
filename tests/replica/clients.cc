#include "tests/replica/clients.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "wire/cluster.h"

namespace synod::replica::test {

namespace {

client::SessionOptions session_options(std::uint64_t append_timeout_us) {
  client::SessionOptions options;
  options.entries_in_flight_max = 64;
  options.bytes_in_flight_max = (1U << 20) + (64U << 10);
  options.append_timeout_us = append_timeout_us;
  options.leader.silence_us_max = 60'000;  // longer than a client pauses when it is told to
  options.leader.probe_us_max = 10'000;
  options.leader.suspect_us = 20'000;
  return options;
}

}  // namespace

dataplane::LocalIdentity Client::identity(std::uint16_t number) {
  dataplane::LocalIdentity local{wire::cluster_id("test"), GroupId{}, ReplicaId{}, {}};
  local.incarnation.disk.bytes[0] = std::byte{0xC1};
  local.incarnation.disk.bytes[1] = static_cast<std::byte>(number);
  local.incarnation.open_count = 1;
  return local;
}

Client::Client(Cluster& cluster, std::uint16_t number, std::uint64_t append_timeout_us)
    : cluster_(cluster),
      port_(cluster.network, {2, number}),
      messenger_(identity(number), {}),
      session_(cluster.peers(), session_options(append_timeout_us), number % cluster.size()) {
  messenger_.add_port(dataplane::PortRef(port_));
}

bool Client::append(std::string payload, wire::AckLevel level) {
  if (!session_.try_append(std::as_bytes(std::span(payload)), cluster_.network.now_us, level)) return false;
  appends_.push_back({.payload = std::move(payload), .outcome = {}, .lsn = {}, .session = sessions_});
  return true;
}

void Client::poll() {
  messenger_.poll([&](const dataplane::Message& message) { session_.on_message(message, cluster_.network.now_us); });
  session_.on_tick(messenger_, cluster_.network.now_us);
  take_completions();
}

void Client::take_completions() {
  while (const auto completion = session_.poll_completion()) {
    Appended& append = appends_[finished_++];
    append.outcome = completion->outcome;
    append.lsn = completion->lsn;
    append.met = completion->met;
    if (completion->is_early()) continue;
    if (completion->outcome == client::Outcome::appended) {
      acknowledged_ = std::max(acknowledged_, completion->lsn + 1);
    } else {
      refusal_ = session_.refusal();
    }
  }
  if (!session_.ended()) return;
  last_end_ = session_.end_reason();
  session_.reopen();
  ++sessions_;
}

Client& World::add_client(std::uint64_t append_timeout_us) {
  clients.push_back(std::make_unique<Client>(cluster, static_cast<std::uint16_t>(clients.size() + 1), append_timeout_us));
  return *clients.back();
}

void World::step() {
  cluster.network.now_us += 50;
  cluster.poll();
  for (const auto& client : clients) client->poll();
}

void World::append_and_wait(Client& client, const std::string& payload) {
  ASSERT_TRUE(run_until([&] { return client.append(payload); }));
  ASSERT_TRUE(run_until([&] { return client.is_idle(); })) << "no answer to an append";
  EXPECT_EQ(client.appends().back().outcome, client::Outcome::appended);
}

std::optional<Lsn> World::tail(Client& reader, std::uint64_t limit_us) {
  client::Call& call = reader.session().call();
  call.start_tail(reader.session().next_request(), cluster.network.now_us, limit_us);
  run_until([&] { return !call.waiting(); }, limit_us + 1'000'000);
  if (call.state() != client::CallState::answered) return std::nullopt;
  return call.tail();
}

std::vector<std::string> World::read_all(Client& reader, std::optional<std::size_t> place) {
  std::vector<std::string> log;
  const auto end = tail(reader);
  EXPECT_TRUE(end) << "no tail";
  if (!end) return log;
  std::optional<client::Peer> peer;
  if (place) peer = cluster.peers()[*place];
  client::Call& call = reader.session().call();
  for (int unanswered = 0; log.size() < end->value() && unanswered < 200;) {
    call.start_read(reader.session().next_request(), Lsn(log.size()), *end, 64U << 10, peer, cluster.network.now_us, 1'000'000);
    run_until([&] { return !call.waiting(); }, 2'000'000);
    const bool answered = call.state() == client::CallState::answered && call.read().count > 0;
    unanswered = answered ? 0 : unanswered + 1;
    if (!answered) continue;
    Bytes rest = call.entries();
    for (std::uint32_t i = 0; i < call.read().count; ++i) {
      const wire::EntrySplit split = wire::split_entry(rest);
      log.emplace_back(reinterpret_cast<const char*>(split.payload.data()), split.payload.size());
      rest = split.rest;
    }
  }
  EXPECT_EQ(log.size(), end->value()) << "entries could not be read back";
  return log;
}

void World::expect_one_story(const std::vector<std::string>& log) {
  std::map<std::string, std::uint64_t> place_of;
  for (std::size_t i = 0; i < log.size(); ++i) {
    EXPECT_TRUE(place_of.emplace(log[i], i).second) << "twice in the log: " << log[i].substr(0, 30);
  }
  std::size_t known = 0;
  for (const auto& client : clients) {
    std::optional<std::uint64_t> last;
    std::uint64_t session = 0;
    for (const Appended& append : client->appends()) {
      const auto found = place_of.find(append.payload);
      known += found != place_of.end() ? 1 : 0;
      if (append.outcome == client::Outcome::appended) {
        ASSERT_NE(found, place_of.end()) << "acknowledged at " << append.lsn.value()
                                         << " and lost: " << append.payload.substr(0, 30);
        EXPECT_EQ(found->second, append.lsn.value()) << append.payload.substr(0, 30);
      }
      if (append.outcome == client::Outcome::not_appended) {
        EXPECT_EQ(found, place_of.end()) << "said to be not appended: " << append.payload.substr(0, 30);
      }
      if (append.session != session) last.reset();
      session = append.session;
      if (found == place_of.end()) continue;
      if (last) {
        EXPECT_LT(*last, found->second) << "out of its session's order: " << append.payload.substr(0, 30);
      }
      last = found->second;
    }
  }
  EXPECT_EQ(known, log.size()) << "the log holds entries that nobody appended";
}

}  // namespace synod::replica::test
