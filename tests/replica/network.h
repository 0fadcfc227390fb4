// A network for whole clusters in one thread: packets take time, get lost, doubled and overtaken, all by seed. Virtual time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "base/prng.h"
#include "dataplane/port.h"

namespace synod::replica::test {

struct NetworkFaults {
  std::uint64_t lost_permille = 0;
  std::uint64_t doubled_permille = 0;
  std::uint64_t delay_us_min = 10;
  std::uint64_t delay_us_max = 60;
};

class Network {
 public:
  using Datagram = std::vector<std::byte>;

  explicit Network(std::uint64_t seed) : prng_(seed) {}

  std::uint64_t now_us = 1'000'000;
  NetworkFaults faults;
  // Sees every packet that leaves anybody, before the network has its way with it.
  std::function<void(dataplane::Endpoint from, dataplane::Endpoint to, Bytes packet)> on_sent;

  void send(dataplane::Endpoint from, dataplane::Endpoint to, Bytes packet);
  // A packet from nowhere, that nobody sees leave and that arrives for sure.
  void inject(dataplane::Endpoint from, dataplane::Endpoint to, Datagram packet) {
    flights_[to].emplace(now_us, Flight{from, std::move(packet)});
  }
  // The next packet that has arrived at `to`.
  bool take(dataplane::Endpoint to, Datagram& packet, dataplane::Endpoint& from);
  // Who was cut off hears nothing and is not heard.
  void set_reachable(dataplane::Endpoint endpoint, bool reachable) { cut_off_[endpoint] = !reachable; }

 private:
  struct Flight {
    dataplane::Endpoint from;
    Datagram packet;
  };

  Prng prng_;
  std::map<dataplane::Endpoint, std::multimap<std::uint64_t, Flight>> flights_;
  std::map<dataplane::Endpoint, bool> cut_off_;
};

// One end of it: the members of dataplane::PortRef.
class NetworkPort {
 public:
  NetworkPort(Network& network, dataplane::Endpoint local) : network_(network), local_(local) {}

  std::size_t receive(std::span<dataplane::Packet> out);
  MutableBytes reserve() { return outgoing_; }
  void send(dataplane::Endpoint to, std::size_t bytes) { network_.send(local_, to, Bytes(outgoing_).first(bytes)); }
  void flush() {}
  [[nodiscard]] std::size_t payload_bytes_max() const { return outgoing_.size(); }
  [[nodiscard]] static dataplane::PortCounters counters() { return {}; }
  [[nodiscard]] dataplane::Endpoint local() const { return local_; }

 private:
  Network& network_;
  dataplane::Endpoint local_;
  Network::Datagram outgoing_ = Network::Datagram(1472);
  std::vector<Network::Datagram> received_ = std::vector<Network::Datagram>(dataplane::burst_packets_max);
};

}  // namespace synod::replica::test
