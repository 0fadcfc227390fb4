// The clients: production sessions, and a note of everything that they were told, checked as it comes (after Jepsen's Kafka
// workload, and Herlihy and Wing's linearizability for a log, whose order is its own witness):
//
//   append   acknowledged at the position where the chosen log has it, exactly once, behind everything that was acknowledged
//            before it was asked for, and on a quorum of disks. What is "not appended" is never in the log
//   tail     covers everything acknowledged before the question, and nothing that is not chosen; never goes back
//   trim     as far as was asked, and no further than anybody ever asked; nothing above it goes
//   read     the entries of the chosen log from the asked position on, without a gap
//   early    an append that asked for less may be lost, or lie elsewhere than it was told, but only if another ballot has led
//   since session  its entries are in its order; its id is given once; evicted only when the table was full;
//            nothing of it comes behind a hole, whatever was answered early; it ends with `lost` only after early answers
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "client/session.h"
#include "tests/sim/cluster.h"

namespace synod::sim {

// What all clients together know.
struct Known {
  Lsn acknowledged;  // highest acknowledged position, plus one
  Lsn tail;          // highest tail answered
  Lsn trim_asked;    // highest trim that anybody asked for
  Lsn trim;          // highest trim answered
};

struct ClientCounters {
  std::uint64_t appended = 0;
  std::uint64_t unknown = 0;
  std::uint64_t not_appended = 0;
  std::uint64_t tails = 0;
  std::uint64_t reads = 0;
  std::uint64_t trims = 0;
  std::uint64_t trimmed_reads = 0;  // refused: below the trim
  std::uint64_t sessions = 0;
  std::uint64_t sessions_lost = 0;  // that ended because early answers were lost
  // By level: entries that were answered early, of those the lost ones, and (of `all`) the answered ones.
  std::array<std::uint64_t, wire::ack_levels> answered{};
  std::array<std::uint64_t, wire::ack_levels> early_lost{};
};

class Client {
 public:
  Client(Cluster& cluster, Network& network, Oracle& oracle, Known& known, std::size_t number, std::uint64_t append_timeout_us);

  std::uint64_t look_away_us = 0;  // it does not poll for so long

  // False: its window is full.
  bool append(std::string payload, wire::AckLevel level = wire::AckLevel::quorum);
  // Asks for the tail, trims or reads, if it is not waiting for an answer.
  void ask_tail(std::uint64_t timeout_us);
  void ask_trim(Lsn lsn, std::uint64_t timeout_us);
  void ask_read(Lsn from, Lsn to, std::optional<std::size_t> place, std::uint64_t timeout_us);
  void poll();

  // It does not wait for ever.
  [[nodiscard]] bool is_impatient() const { return is_impatient_; }
  [[nodiscard]] bool is_idle() { return session_.unfinished() == 0; }
  [[nodiscard]] bool is_waiting() { return session_.call().waiting(); }
  // Entries of the last read, in order from where it was asked.
  [[nodiscard]] std::size_t last_read() const { return last_read_; }
  // The tail of the replica that answered the last read, when it did.
  [[nodiscard]] Lsn last_read_tail() const { return last_read_tail_; }
  [[nodiscard]] bool last_was_trimmed() const { return last_was_trimmed_; }
  [[nodiscard]] SessionId session() const { return session_.id(); }
  [[nodiscard]] dataplane::Endpoint endpoint() const { return endpoint_; }
  [[nodiscard]] const ClientCounters& counters() const { return counters_; }
  // The whole history once more against the finished log.
  void check_history();

 private:
  struct Append {
    std::string payload;
    Lsn behind;  // acknowledged when it was asked for
    std::uint64_t session = 0;
    std::optional<client::Outcome> outcome;
    wire::AckLevel level = wire::AckLevel::quorum;
    client::Completion completion;
  };
  enum class Asked : std::uint8_t { nothing, tail, trim, read };

  void note_session();
  void take_completions();
  void take_answer();
  void check_appended(const Append& append, Lsn lsn);
  void check_level(const Append& append);
  void check_lost();
  void check_early(const Append& append, std::optional<Lsn> found);
  void check_tail(Lsn tail);
  void check_trim(Lsn first_kept);
  void check_trimmed_read(Lsn first_kept);
  void check_read(const client::Call& call);

  Cluster& cluster_;
  Network& network_;
  Oracle& oracle_;
  Known& known_;
  dataplane::Endpoint endpoint_;
  Port port_;
  dataplane::Messenger messenger_;
  client::Session session_;
  bool is_impatient_;
  std::vector<Append> appends_;
  std::size_t finished_ = 0;
  SessionId last_session_;
  std::set<SessionId> had_sessions_;
  Slot checked_slot_;  // on a quorum of disks
  Asked asked_ = Asked::nothing;
  Lsn least_tail_;
  Lsn least_trim_;
  Lsn read_from_;
  bool last_was_trimmed_ = false;
  std::size_t last_read_ = 0;
  Lsn last_read_tail_;
  ClientCounters counters_;
};

}  // namespace synod::sim
