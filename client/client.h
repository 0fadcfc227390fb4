// The blocking client over kernel UDP: what programs and the command line use.
//
//   auto client = Client::connect({.addresses = "127.0.0.1:7401,127.0.0.1:7402,127.0.0.1:7403"});
//   Result<Lsn> lsn = (*client)->append(bytes_of("hello"));
//
// Ownership: the client owns its socket. Thread: one at a time. Waiting: a short spin, then poll(2) on the socket.
// Errors: one line that says whether the entry was certainly not appended, or its outcome is unknown.
// A session that ended (deadline, evicted) is replaced by a fresh one at the next append.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "client/session.h"
#include "dataplane/udp_port.h"

namespace synod::client {

struct ClientOptions {
  std::string addresses;                        // see client/address.h
  std::string cluster = "synod";                // the cluster's name
  GroupId group;                                // the addresses are group 0's, and those of the others follow (replica/config.h)
  std::uint64_t timeout_us = 10'000'000;        // of each operation. 0: for ever
  wire::AckLevel ack = wire::AckLevel::quorum;  // of every append
  SessionOptions session;                       // append_timeout_us is taken from timeout_us
};

// One replica's answer to status, or nothing when it did not answer in time.
struct ReplicaStatus {
  Peer peer;
  std::optional<wire::StatusAnswer> answer;
};

class Client {
 public:
  // Resolves the addresses and opens a socket. Talks to nobody yet: an unreachable cluster shows at the first operation.
  [[nodiscard]] static Result<std::unique_ptr<Client>> connect(const ClientOptions& options);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() = default;

  // Appends one entry and waits. Nothing submitted may be unfinished.
  [[nodiscard]] Result<Lsn> append(Bytes payload);

  // Pipelined: queues an entry, waiting for room in the window if need be. Completions are reported in order to
  // `on_appended` during submit, progress and wait_all. After an error everything unfinished is given up, see the error.
  using OnAppended = std::function<void(Lsn)>;
  void on_appended(OnAppended use) { on_appended_ = std::move(use); }
  [[nodiscard]] Result<> submit(Bytes payload);
  [[nodiscard]] Result<> wait_all();
  [[nodiscard]] std::size_t unfinished() const { return session_.unfinished(); }
  // Keeps what is in flight going until `descriptor` (-1: none) can be read or some time (at most) has passed.
  [[nodiscard]] Result<> progress(int descriptor, int wait_ms_max);

  // The LSN of the next entry: everything acknowledged before this call lies below it.
  [[nodiscard]] Result<Lsn> tail();

  // Everything below `lsn` may go, for all readers and for ever. Returns the first LSN that is kept: `lsn`, or more if the log
  // was trimmed further before, or the tail if it lies below. May be repeated.
  [[nodiscard]] Result<Lsn> trim(Lsn lsn);

  // Visits committed entries [from, to) in order until `visit` returns false; returns the LSN behind the last entry visited. A
  // given replica ends it early where it has no more. Without one, replicas are asked until one has what comes next: `to` must
  // not lie behind the tail. An error if `from` is trimmed, or the log is trimmed past the reader on its way: then first_kept()
  // says where reading can go on. Entries between were not visited. `visit` must not use this client: the next read is under way.
  using Visit = std::function<bool(Lsn, Bytes)>;
  [[nodiscard]] Result<Lsn> read(Lsn from, Lsn to, const Visit& visit, std::optional<ReplicaId> replica = {});

  [[nodiscard]] std::optional<Lsn> first_kept() const;

  // Asks all replicas at once, each itself.
  [[nodiscard]] std::vector<ReplicaStatus> status(std::uint64_t timeout_us);
  [[nodiscard]] Result<wire::StatusAnswer> status(ReplicaId replica);

  [[nodiscard]] const SessionCounters& counters() const { return session_.counters(); }

 private:
  Client(const ClientOptions& options, std::vector<Peer> peers, std::unique_ptr<dataplane::UdpPort> port);

  // One turn: receive, tick, send. Whether anything came in.
  bool turn();
  // Turns until `done()`.
  template <class Done>
  void run_until(Done&& done);
  [[nodiscard]] Result<> take_completions();
  [[nodiscard]] Result<> finish_call(const char* what);
  [[nodiscard]] std::optional<Peer> peer_of(ReplicaId id) const;
  [[nodiscard]] std::string describe() const;

  ClientOptions options_;
  std::vector<Peer> peers_;
  std::unique_ptr<dataplane::UdpPort> port_;
  dataplane::Messenger messenger_;
  Session session_;
  std::vector<Call> status_calls_;  // one a replica
  OnAppended on_appended_;
  std::uint64_t submitted_ = 0;
  std::vector<std::byte> entries_;  // that are being visited
};

}  // namespace synod::client
