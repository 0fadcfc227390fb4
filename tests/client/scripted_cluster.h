// A cluster to test clients against: real messages through real messengers over a network that loses, duplicates and reorders
// packets by seed; replicas that follow the real rules of sessions (a logged session, contiguous admission, LSNs remembered),
// with the consensus behind them replaced by one shared log. Not thread safe; time is a number.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/prng.h"
#include "client/leader.h"
#include "dataplane/messenger.h"
#include "tests/sim/network.h"
#include "wire/client.h"

namespace synod::test {

using sim::Network;
using sim::PacketFaults;
using sim::Port;

struct LoggedEntry {
  SessionId session;
  Sequence sequence;
  std::string payload;
};

// How the replicas behave; tests change it as they go.
struct Script {
  std::uint64_t commit_us = 100;    // from admission to the answer
  std::uint64_t busy_permille = 0;  // of appends
  bool no_space = false;
  bool too_large = false;
  ReplicaId lagging;                        // has nothing to read
  bool silent = false;                      // appends are admitted and committed, and never answered
  bool hints = true;                        // not_leader names the leader
  std::size_t pending_runs_max = 1U << 20;  // more is busy
  std::uint32_t credit = 0;                 // that answers give
};

class ScriptedCluster {
 public:
  ScriptedCluster(Network& network, std::size_t replicas, ReplicaId leader);

  [[nodiscard]] std::vector<client::Peer> peers() const;
  void poll();
  // The leader dies. A random prefix of what it had admitted is chosen all the same. `successor` leads after `election_us`.
  void kill_leader(ReplicaId successor, std::uint64_t election_us);
  // The leader goes on as a follower of `successor`, at once.
  void hand_over(ReplicaId successor);
  void evict_all_sessions() { table_.clear(); }

  Script script;
  std::vector<LoggedEntry> log;
  Lsn trim;
  std::uint64_t sessions_opened = 0;
  std::uint64_t append_messages = 0;
  std::uint64_t append_entries = 0;
  std::map<ReplicaId, std::uint64_t> appends_refused;  // with not_leader
  std::optional<wire::Refused> last_refused;

 private:
  struct Replica {
    ReplicaId id;
    std::unique_ptr<Port> port;
    std::unique_ptr<dataplane::Messenger> messenger;
    bool alive = true;
  };
  struct Run {
    SessionId session;
    Sequence first;
    std::vector<std::string> payloads;
    std::uint64_t commit_at_us = 0;
    dataplane::Route client;
  };

  void handle(Replica& replica, const dataplane::Message& message);
  void handle_append(Replica& replica, const dataplane::Message& message);
  void handle_read(Replica& replica, const dataplane::Message& message);
  void open_session(Replica& replica, const dataplane::Message& message);
  void commit(const Run& run, Replica* answering);
  void answer_known(Replica& replica, const dataplane::Route& to, SessionId session, Sequence first, std::uint32_t count);
  void refuse(Replica& replica, const dataplane::Message& to, wire::RefusalReason reason, std::uint64_t request,
              SessionId session, Sequence sequence);
  template <class Answer>
  void answer(Replica& replica, const dataplane::Route& to, wire::MessageType type, const Answer& body, Bytes entries = {});
  void abandon_pending();
  [[nodiscard]] Replica& replica_of(ReplicaId id) { return replicas_[id.value() - 1U]; }
  // The sequence that the session admits next.
  [[nodiscard]] Sequence next_admitted(SessionId session) const;

  Network& network_;
  std::vector<Replica> replicas_;
  ReplicaId leader_;    // who leads now; 0 during an election
  ReplicaId believed_;  // whom followers name
  ReplicaId successor_;
  std::uint64_t succeeds_at_us_ = 0;
  std::map<SessionId, std::vector<Lsn>> table_;  // of committed entries
  std::deque<Run> pending_;
};

}  // namespace synod::test
