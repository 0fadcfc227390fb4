// One client session and one scripted cluster on one network, and the check that the log and the completions tell one story.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "client/session.h"
#include "tests/client/scripted_cluster.h"
#include "wire/cluster.h"

namespace synod::test {

struct WorldOptions {
  std::uint64_t seed = 1;
  PacketFaults faults;
  std::size_t replicas = 3;
  ReplicaId leader{1};
  client::SessionOptions session;
  std::size_t first_peer = 0;
};

class World {
 public:
  explicit World(const WorldOptions& options)
      : network(Prng(options.seed)),
        cluster(network, options.replicas, options.leader),
        session(cluster.peers(), options.session, options.first_peer),
        port_(network, {2, 1}),
        messenger_(identity(), {}) {
    network.faults = options.faults;
    messenger_.add_port(dataplane::PortRef(port_));
  }

  std::optional<Sequence> append(std::string payload, wire::AckLevel level = wire::AckLevel::quorum) {
    const auto sequence = session.try_append(bytes_of(payload), network.now_us, level);
    if (sequence) submitted.push_back(std::move(payload));
    return sequence;
  }

  void step() {
    network.now_us += 20;
    cluster.poll();
    messenger_.poll([&](const dataplane::Message& message) { session.on_message(message, network.now_us); });
    for (const dataplane::Route& route : messenger_.refused()) session.on_refused(route, network.now_us);
    session.on_tick(messenger_, network.now_us);
    while (const auto completion = session.poll_completion()) completions.push_back(*completion);
  }

  template <class Done>
  bool run_until(Done&& done, std::uint64_t limit_us = 30'000'000) {
    const std::uint64_t end_us = network.now_us + limit_us;
    while (!done()) {
      if (network.now_us >= end_us) return false;
      step();
    }
    return true;
  }
  // The call that the session has begun.
  [[nodiscard]] bool run_until_answered() {
    return run_until([&] { return !session.call().waiting(); }) && session.call().state() == client::CallState::answered;
  }
  bool run_until_finished(std::uint64_t limit_us = 30'000'000) {
    return run_until([&] { return completions.size() == submitted.size(); }, limit_us);
  }
  void run_for(std::uint64_t span_us) {
    run_until([] { return false; }, span_us);
  }

  // Payloads are unique within a test. Sequences restart with each session, so this looks at one session's world only.
  void expect_one_story() const {
    std::map<std::string, std::size_t> times;
    for (const LoggedEntry& entry : cluster.log)
      EXPECT_EQ(++times[entry.payload], 1U) << "appended twice: " << entry.payload.substr(0, 20);
    std::optional<Lsn> last;
    for (std::size_t i = 0; i < completions.size(); ++i) {
      const client::Completion& completion = completions[i];
      ASSERT_EQ(completion.sequence, Sequence(i + 1)) << "completions out of order";
      if (completion.outcome == client::Outcome::not_appended) {
        EXPECT_FALSE(times.contains(submitted[i])) << "it is in the log";
      }
      if (completion.outcome != client::Outcome::appended) continue;
      ASSERT_LT(completion.lsn.value(), cluster.log.size());
      EXPECT_EQ(cluster.log[completion.lsn.value()].payload, submitted[i]);
      if (last) {
        EXPECT_GT(completion.lsn, *last);
      }
      last = completion.lsn;
    }
  }
  [[nodiscard]] std::size_t count(client::Outcome outcome) const {
    std::size_t result = 0;
    for (const auto& completion : completions) result += completion.outcome == outcome ? 1 : 0;
    return result;
  }

  Network network;
  ScriptedCluster cluster;
  client::Session session;
  std::vector<std::string> submitted;
  std::vector<client::Completion> completions;

  dataplane::Messenger& messenger() { return messenger_; }

 private:
  static dataplane::LocalIdentity identity() {
    dataplane::LocalIdentity local{wire::cluster_id("test"), GroupId{}, ReplicaId{}, {}};
    local.incarnation.disk.bytes[0] = std::byte{0xFF};
    local.incarnation.open_count = 1;
    return local;
  }

  Port port_;
  dataplane::Messenger messenger_;
};

}  // namespace synod::test
