// Clients of the simulated cluster: production sessions, and a note of everything that they were told.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "client/session.h"
#include "tests/replica/harness.h"

namespace synod::replica::test {

// One append, from its submission to what became of it.
struct Appended {
  std::string payload;
  std::optional<client::Outcome> outcome;
  Lsn lsn;
  std::uint64_t session = 0;  // counts the client's own sessions
  wire::AckLevel met = wire::AckLevel::quorum;
};

class Client {
 public:
  Client(Cluster& cluster, std::uint16_t number, std::uint64_t append_timeout_us = 0);

  // False: its window is full.
  bool append(std::string payload, wire::AckLevel level = wire::AckLevel::quorum);
  void poll();
  [[nodiscard]] bool is_idle() { return session_.unfinished() == 0 && !session_.call().waiting(); }
  [[nodiscard]] const std::vector<Appended>& appends() const { return appends_; }
  [[nodiscard]] client::Session& session() { return session_; }
  [[nodiscard]] dataplane::Messenger& messenger() { return messenger_; }
  // Highest LSN acknowledged so far, plus one.
  [[nodiscard]] Lsn acknowledged() const { return acknowledged_; }
  // Why its last session ended.
  [[nodiscard]] client::EndReason last_end() const { return last_end_; }
  // Of the last append that was not acknowledged.
  [[nodiscard]] std::optional<wire::RefusalReason> refusal() const { return refusal_; }

 private:
  [[nodiscard]] static dataplane::LocalIdentity identity(std::uint16_t number);
  void take_completions();

  Cluster& cluster_;
  sim::Port port_;
  dataplane::Messenger messenger_;
  client::Session session_;
  std::vector<Appended> appends_;
  std::size_t finished_ = 0;
  std::uint64_t sessions_ = 0;
  client::EndReason last_end_ = client::EndReason::none;
  Lsn acknowledged_;
  std::optional<wire::RefusalReason> refusal_;
};

// A cluster, its clients and the clock.
class World {
 public:
  explicit World(const ClusterOptions& options) : cluster(options) {}

  Client& add_client(std::uint64_t append_timeout_us = 0);
  void step();
  // False: `done` did not come about within the limit.
  template <class Done>
  bool run_until(Done&& done, std::uint64_t limit_us = 20'000'000) {
    const std::uint64_t end_us = cluster.network.now_us + limit_us;
    while (!done()) {
      if (cluster.network.now_us >= end_us) return false;
      step();
    }
    return true;
  }
  void run_for(std::uint64_t span_us) {
    run_until([] { return false; }, span_us);
  }
  // Appends `payload` through a client and waits until it is acknowledged.
  void append_and_wait(Client& client, const std::string& payload);

  // The whole log up to the tail, through the client protocol, from the leader or from one replica.
  [[nodiscard]] std::vector<std::string> read_all(Client& reader, std::optional<std::size_t> place = {});
  [[nodiscard]] std::optional<Lsn> tail(Client& reader, std::uint64_t limit_us = 20'000'000);

  // Every acknowledged entry exactly once, at its LSN, in its session's order; nothing twice; nothing that was refused.
  void expect_one_story(const std::vector<std::string>& log);

  Cluster cluster;
  std::vector<std::unique_ptr<Client>> clients;
};

}  // namespace synod::replica::test
