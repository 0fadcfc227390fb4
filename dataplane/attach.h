// One half of a point-to-point link between two processes of one machine: virtio-user on one side, vhost on the other, over a
// shared socket path. Needs no privilege and no huge pages.
//
// Of the possible roles this pair is the one that survives SIGKILL of either side: traffic returns when the killed side is back,
// and the survivor does nothing for it. It depends on the server removing a stale socket file first, which it does here.
// Opening the server's half blocks until the client is there: so each half is opened on a thread of its own, and the polling
// thread takes the port when there is one.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "base/error.h"
#include "dataplane/dpdk_port.h"

namespace synod::dataplane {

enum class PairRole : std::uint8_t {
  server,  // virtio-user; owns the socket file
  client,  // vhost; waits for the server, whichever starts first
};

struct PairedPortOptions {
  std::string socket;  // a path that both sides name; its directory exists
  PairRole role = PairRole::server;
  Endpoint local;
  std::size_t mtu = mtu_jumbo;  // the same on both sides
  std::size_t packets = 4096;   // of them the queues of the server's side hold 2048
};

// What DpdkPort::open needs for it. The name of the device is new at each call.
[[nodiscard]] DpdkPortOptions paired_device(const PairedPortOptions& options);

class AttachTask {
 public:
  // Refuses only what can never work; everything else is tried again until it does. Call it from a control thread: the new
  // thread has the caller's affinity, and the drivers' threads that it starts have it too.
  [[nodiscard]] static Result<std::unique_ptr<AttachTask>> start(const PairedPortOptions& options);
  // Ends an attach that still waits for its peer. A port that nobody took is closed.
  ~AttachTask();
  AttachTask(const AttachTask&) = delete;
  AttachTask& operator=(const AttachTask&) = delete;

  // The port, once; null before and after. Never blocks: for the polling thread, at every iteration if it likes.
  [[nodiscard]] std::unique_ptr<DpdkPort> take() {
    if (ready_.load(std::memory_order_relaxed) == nullptr) return nullptr;
    return std::unique_ptr<DpdkPort>(ready_.exchange(nullptr, std::memory_order_acquire));
  }
  // Why the last attempt failed; empty if none did. Any thread.
  [[nodiscard]] std::string last_error() const;

 private:
  explicit AttachTask(PairedPortOptions options) : options_(std::move(options)) {}
  void run();
  // Connects to our own socket and hangs up, so that the wait for a peer ends.
  void wake() const;

  PairedPortOptions options_;
  std::atomic<DpdkPort*> ready_ = nullptr;
  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  bool stop_ = false;
  bool finished_ = false;
  std::string last_error_;
  std::thread thread_;
};

}  // namespace synod::dataplane
