// The network of every test in virtual time, and its ports. Packets take time, get lost, doubled, overtaken, damaged; links fail
// in one direction; copies turn up long after. All by seed, in virtual time.
//
// Actors are counted: the replicas from 0, the clients behind them. An endpoint is {1, replica id} or {2, client number}.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "base/prng.h"
#include "dataplane/port.h"

namespace synod::sim {

using Datagram = std::vector<std::byte>;

[[nodiscard]] inline dataplane::Endpoint replica_endpoint(std::size_t place) {
  return {1, static_cast<std::uint16_t>(place + 1)};
}
[[nodiscard]] inline dataplane::Endpoint client_endpoint(std::size_t number) {
  return {2, static_cast<std::uint16_t>(number + 1)};
}

// What happens to single packets. By default each arrives, once, in order, soon.
struct PacketFaults {
  std::uint64_t loss_permille = 0;
  std::uint64_t accept_loss_permille = 0;  // of accepts alone
  std::uint64_t duplication_permille = 0;
  std::uint64_t reordering_permille = 0;  // these are late by up to 5 ms more
  std::uint64_t replay_permille = 0;      // a copy of a packet of long ago arrives, too
  std::uint64_t corruption_permille = 0;
  std::uint64_t delay_us_min = 20;
  std::uint64_t delay_us_max = 20;
};

struct NetworkCounters {
  std::uint64_t sent = 0;
  std::uint64_t lost = 0;
  std::uint64_t cut_off = 0;       // of those, on links that were cut
  std::uint64_t accepts_lost = 0;  // and these because they were accepts
  std::uint64_t doubled = 0;
  std::uint64_t overtaken = 0;
  std::uint64_t replayed = 0;
  std::uint64_t corrupted = 0;
  std::uint64_t digest = 0;
};

class Network {
 public:
  explicit Network(Prng prng) : prng_(prng) {}

  std::uint64_t now_us = 1'000'000;
  PacketFaults faults;
  std::size_t waiting_max = 4096;  // in a port's queue, and on the way there
  // Sees every packet that leaves anybody, before the network has its way with it.
  std::function<void(dataplane::Endpoint from, dataplane::Endpoint to, Bytes packet)> on_sent;

  void send(dataplane::Endpoint from, dataplane::Endpoint to, Bytes packet);
  struct Arrived {
    dataplane::Endpoint from;
    Datagram packet;
    bool is_refusal = false;
  };
  // The next packet that has arrived at `to`.
  [[nodiscard]] bool take(dataplane::Endpoint to, Arrived& arrived);
  // A machine that goes down loses what waits for it.
  void forget(dataplane::Endpoint to) { flights_[to].clear(); }
  // The process is gone, and its machine is not: it refuses packets, until somebody listens again.
  void refuse(dataplane::Endpoint at) { refusing_.insert(at); }
  void listen(dataplane::Endpoint at) { refusing_.erase(at); }
  // A packet that nobody sent.
  void inject(dataplane::Endpoint from, dataplane::Endpoint to, Datagram packet);
  // Word that nobody listens at `from`, true or forged (dataplane::Packet::is_refusal).
  void inject_refusal(dataplane::Endpoint from, dataplane::Endpoint to);

  // Links, from one endpoint to another.
  void cut(dataplane::Endpoint from, dataplane::Endpoint to) { cuts_.insert({from, to}); }
  void clog(dataplane::Endpoint from, dataplane::Endpoint to, std::uint64_t delay_us) { clogs_[{from, to}] = delay_us; }
  void heal() {
    cuts_.clear();
    clogs_.clear();
  }
  [[nodiscard]] Prng& prng() { return prng_; }
  [[nodiscard]] const NetworkCounters& counters() const { return counters_; }

 private:
  struct Old {
    dataplane::Endpoint from;
    dataplane::Endpoint to;
    Datagram packet;
  };
  static constexpr std::size_t remembered_max = 64;

  [[nodiscard]] bool is_lost(Bytes packet);
  void post(dataplane::Endpoint from, dataplane::Endpoint to, Bytes packet);
  void remember(dataplane::Endpoint from, dataplane::Endpoint to, Bytes packet);
  void replay();
  [[nodiscard]] std::uint64_t delay_us(dataplane::Endpoint from, dataplane::Endpoint to);

  Prng prng_;
  std::map<dataplane::Endpoint, std::multimap<std::uint64_t, Arrived>> flights_;
  std::set<std::pair<dataplane::Endpoint, dataplane::Endpoint>> cuts_;
  std::map<std::pair<dataplane::Endpoint, dataplane::Endpoint>, std::uint64_t> clogs_;
  std::set<dataplane::Endpoint> refusing_;
  std::vector<Old> old_;
  NetworkCounters counters_;
};

// One end of it: the members of dataplane::PortRef.
class Port {
 public:
  Port(Network& network, dataplane::Endpoint local) : network_(network), local_(local) {}

  std::size_t receive(std::span<dataplane::Packet> out);
  MutableBytes reserve() { return outgoing_; }
  void send(dataplane::Endpoint to, std::size_t bytes) { network_.send(local_, to, Bytes(outgoing_).first(bytes)); }
  void flush() {}
  [[nodiscard]] std::size_t payload_bytes_max() const { return outgoing_.size(); }
  [[nodiscard]] std::size_t waiting_max() const { return network_.waiting_max; }
  [[nodiscard]] static dataplane::PortCounters counters() { return {}; }

 private:
  Network& network_;
  dataplane::Endpoint local_;
  Datagram outgoing_ = Datagram(1472);
  std::vector<Network::Arrived> received_ = std::vector<Network::Arrived>(dataplane::burst_packets_max);
};

}  // namespace synod::sim
