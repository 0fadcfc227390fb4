#include "tests/replica/network.h"

#include <utility>

namespace synod::replica::test {

void Network::send(dataplane::Endpoint from, dataplane::Endpoint to, Bytes packet) {
  if (on_sent) on_sent(from, to, packet);
  if (cut_off_[from] || cut_off_[to]) return;
  if (prng_.chance(faults.lost_permille, 1000)) return;
  const int copies = prng_.chance(faults.doubled_permille, 1000) ? 2 : 1;
  for (int i = 0; i < copies; ++i) {
    const std::uint64_t at_us = now_us + prng_.between(faults.delay_us_min, faults.delay_us_max);
    flights_[to].emplace(at_us, Flight{from, {packet.begin(), packet.end()}});
  }
}

bool Network::take(dataplane::Endpoint to, Datagram& packet, dataplane::Endpoint& from) {
  auto& flights = flights_[to];
  if (flights.empty() || flights.begin()->first > now_us) return false;
  packet = std::move(flights.begin()->second.packet);
  from = flights.begin()->second.from;
  flights.erase(flights.begin());
  return true;
}

std::size_t NetworkPort::receive(std::span<dataplane::Packet> out) {
  std::size_t count = 0;
  while (count < out.size() && network_.take(local_, received_[count], out[count].from)) {
    out[count].payload = received_[count];
    ++count;
  }
  return count;
}

}  // namespace synod::replica::test
