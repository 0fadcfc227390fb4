// A port for tests: what one sends lies in the inbox of another until that one receives it. Loses, duplicates and reorders by
// seed. Packets are copied, so a test may also keep, change and inject them.
#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <vector>

#include "base/prng.h"
#include "dataplane/port.h"

namespace synod::dataplane {

struct Mischief {
  std::uint64_t lost_percent = 0;
  std::uint64_t duplicated_percent = 0;
  bool reordered = false;
};

class MemoryPort {
 public:
  using Datagram = std::vector<std::byte>;

  explicit MemoryPort(Endpoint local, std::size_t payload_bytes_max = 1472)
      : local_(local), outgoing_(payload_bytes_max), payload_bytes_max_(payload_bytes_max) {}

  void connect(MemoryPort& peer) { peers_[peer.local_] = &peer; }
  void set_mischief(const Mischief& mischief, std::uint64_t seed) {
    mischief_ = mischief;
    prng_ = Prng(seed);
  }
  void refuse_buffers_after(std::size_t count) { buffers_left_ = count; }
  void share_bodies() { shares_bodies_ = true; }
  [[nodiscard]] std::size_t shared() const { return shared_; }

  void inject(Datagram datagram, Endpoint from) { inbox_.push_back({std::move(datagram), from}); }
  [[nodiscard]] std::size_t inbox_size() const { return inbox_.size(); }
  [[nodiscard]] std::vector<Datagram> take_inbox() {
    std::vector<Datagram> all;
    all.reserve(inbox_.size());
    for (Arrived& arrived : inbox_) all.push_back(std::move(arrived.datagram));
    inbox_.clear();
    return all;
  }

  std::size_t receive(std::span<Packet> out) {
    delivered_.clear();
    while (delivered_.size() < out.size() && !inbox_.empty()) {
      const std::size_t index = mischief_.reordered ? prng_.below(inbox_.size()) : 0;
      delivered_.push_back(std::move(inbox_[index]));
      inbox_.erase(inbox_.begin() + static_cast<std::ptrdiff_t>(index));
    }
    static constexpr std::byte nothing{};  // an empty payload is there, too: without one it would be a refusal
    for (std::size_t i = 0; i < delivered_.size(); ++i) {
      const Datagram& datagram = delivered_[i].datagram;
      out[i] = {datagram.empty() ? Bytes(&nothing, 0) : Bytes(datagram), delivered_[i].from};
    }
    counters_.received += delivered_.size();
    return delivered_.size();
  }
  MutableBytes reserve() {
    if (buffers_left_ == 0) {
      ++counters_.send_dropped;
      return {};
    }
    return outgoing_;
  }
  void send(Endpoint to, std::size_t bytes) {
    CHECK_LE(bytes, payload_bytes_max_);
    last_.assign(outgoing_.begin(), outgoing_.begin() + static_cast<std::ptrdiff_t>(bytes));
    deliver(to);
  }
  // Nothing that lies behind `bytes` in the reserved buffer is looked at.
  bool send_sharing(Endpoint to, std::size_t bytes) {
    if (!shares_bodies_ || last_.size() <= bytes) return false;
    std::copy_n(outgoing_.begin(), bytes, last_.begin());
    ++shared_;
    deliver(to);
    return true;
  }
  void flush() {}
  [[nodiscard]] std::size_t payload_bytes_max() const { return payload_bytes_max_; }
  [[nodiscard]] static std::size_t waiting_max() { return 1024; }
  [[nodiscard]] PortCounters counters() const { return counters_; }

 private:
  struct Arrived {
    Datagram datagram;
    Endpoint from;
  };

  void deliver(Endpoint to) {
    if (buffers_left_ != SIZE_MAX) --buffers_left_;
    ++counters_.sent;
    const auto peer = peers_.find(to);
    if (peer == peers_.end() || prng_.chance(mischief_.lost_percent, 100)) return;
    peer->second->inject(last_, local_);
    if (prng_.chance(mischief_.duplicated_percent, 100)) peer->second->inject(last_, local_);
  }

  Endpoint local_;
  Datagram outgoing_;
  Datagram last_;
  bool shares_bodies_ = false;
  std::size_t shared_ = 0;
  std::size_t payload_bytes_max_;
  std::size_t buffers_left_ = SIZE_MAX;
  std::map<Endpoint, MemoryPort*> peers_;
  std::deque<Arrived> inbox_;
  std::vector<Arrived> delivered_;
  Mischief mischief_;
  Prng prng_{1};
  PortCounters counters_;
};

}  // namespace synod::dataplane
