// A client's end of a cluster, for measuring: one session, and calls beside it, over any ports. Polls and never sleeps.
//
// Thread: one. The ports outlive it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/error.h"
#include "client/call.h"
#include "client/session.h"
#include "dataplane/clock.h"
#include "dataplane/messenger.h"

namespace synod::bench {

// The way to a cluster: our ports, and its replicas behind them.
struct Ways {
  std::string cluster;
  std::vector<dataplane::PortRef> ports;
  std::vector<client::Peer> peers;
};

class Link {
 public:
  static constexpr std::size_t calls_max = 16;

  Link(const Ways& ways, const client::SessionOptions& options);
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  ~Link() = default;

  // One turn: proceed, send, receive; what was submitted just before leaves at once. Returns whether anything came in.
  bool turn(std::uint64_t now_ns);

  [[nodiscard]] client::Session& session() { return session_; }
  [[nodiscard]] std::span<const client::Peer> peers() const { return session_.leader().peers(); }
  // Calls to given replicas, beside the session's own. Their request numbers come from the session.
  [[nodiscard]] std::span<client::Call> calls() { return calls_; }

  // The LSN of the next entry. Waits for a leader.
  [[nodiscard]] Result<Lsn> tail(std::uint64_t timeout_us);
  // One answer for each peer that gives one in time.
  [[nodiscard]] std::vector<wire::StatusAnswer> statuses(std::uint64_t timeout_us);

 private:
  dataplane::Messenger messenger_;
  client::Session session_;
  std::array<client::Call, calls_max> calls_;
};

}  // namespace synod::bench
