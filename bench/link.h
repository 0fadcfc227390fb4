// Clients' ends of a cluster, for measuring: a session each, and calls beside them, over any ports. Polls and never sleeps.
//
// All sessions share one messenger, so one incarnation: each has a range of request and message numbers of its own.
// Thread: one. The ports outlive it.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/error.h"
#include "bench/appender.h"
#include "bench/written.h"
#include "client/call.h"
#include "client/session.h"
#include "dataplane/clock.h"
#include "dataplane/messenger.h"

namespace synod::bench {

inline constexpr std::size_t clients_max = 64;

// The way to a cluster: our ports, and its replicas behind them.
struct Ways {
  std::string cluster;
  GroupId group;
  std::vector<dataplane::PortRef> ports;
  std::vector<client::Peer> peers;
};

struct LinkOptions {
  std::size_t clients = 1;
  std::size_t in_flight = 1;  // of each
  std::size_t payload_bytes = 128;
  wire::AckLevel ack = wire::AckLevel::quorum;
  std::size_t entries_per_packet_max = 0;  // 0: as many as fit
};

class Link final : public Appender {
 public:
  static constexpr std::size_t calls_max = 16;

  Link(const Ways& ways, const LinkOptions& options);
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  ~Link() override = default;

  [[nodiscard]] std::size_t clients() const override { return ends_.size(); }
  bool try_append(std::size_t client, std::uint64_t number, Bytes payload, std::uint32_t tag, std::uint64_t now_ns) override;
  bool turn(std::uint64_t now_ns) override;
  std::size_t take_finished(std::span<Finished> out) override;
  [[nodiscard]] Result<Health> health() override;
  [[nodiscard]] AppenderCounters counters() const override;
  // From the journal of the replica that leads now, and compares every byte.
  [[nodiscard]] Result<Verified> verify(Payloads& payloads, Progress& progress) override;

  [[nodiscard]] std::span<const client::Peer> peers() const { return session().leader().peers(); }
  // The replica that led when it was last heard.
  [[nodiscard]] const client::Peer& leader() const { return session().leader().target(); }
  // Appends that were taken and did not end yet.
  [[nodiscard]] std::uint64_t in_flight() const;
  [[nodiscard]] std::uint64_t entries_written() const { return written_.entries(); }
  // Calls to given replicas, beside the sessions' own, and numbers for them.
  [[nodiscard]] std::span<client::Call> calls() { return calls_; }
  [[nodiscard]] std::uint64_t next_request() { return ends_.front()->session.next_request(); }

  // The LSN of the next entry. Waits for a leader.
  [[nodiscard]] Result<Lsn> tail(std::uint64_t timeout_us);
  [[nodiscard]] Result<> trim(Lsn lsn, std::uint64_t timeout_us);
  // One answer for each peer that gives one in time.
  [[nodiscard]] std::vector<wire::StatusAnswer> statuses(std::uint64_t timeout_us);

 private:
  struct Unfinished {
    std::uint64_t number = 0;
    std::uint32_t tag = 0;
  };
  // One client. Its appends end in the order in which they were taken.
  struct End {
    End(const Ways& ways, const client::SessionOptions& options, std::size_t in_flight)
        : session(ways.peers, options), unfinished(std::bit_ceil(in_flight)), in_flight_max(in_flight) {}
    [[nodiscard]] Unfinished& at(std::uint64_t count) { return unfinished[count & (unfinished.size() - 1)]; }

    client::Session session;
    std::vector<Unfinished> unfinished;  // a ring
    std::size_t in_flight_max;
    std::uint64_t taken = 0;
    std::uint64_t finished = 0;
    std::uint32_t sessions_ended = 0;

    // An ended session is replaced, a few times.
    [[nodiscard]] Result<> renew();
  };

  [[nodiscard]] client::Session& session() { return ends_.front()->session; }
  [[nodiscard]] const client::Session& session() const { return ends_.front()->session; }
  [[nodiscard]] Result<> finish_call(const char* what, std::uint64_t timeout_us);
  void deliver(const dataplane::Message& message, std::uint64_t now_us);

  wire::AckLevel ack_;
  dataplane::Messenger messenger_;
  std::vector<std::unique_ptr<End>> ends_;
  std::array<client::Call, calls_max> calls_;
  Written written_;
  std::uint64_t misplaced_ = 0;
  std::size_t next_end_ = 0;  // whose finished appends are taken first
};

}  // namespace synod::bench
