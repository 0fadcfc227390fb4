#include "tests/sim/network.h"

#include <utility>

#include "base/crc32c.h"
#include "wire/packet.h"

namespace synod::sim {

namespace {

// That of an empty packet is empty, and is there.
Bytes payload_of(const Datagram& packet) {
  static constexpr std::byte nothing{};
  return packet.empty() ? Bytes(&nothing, 0) : Bytes(packet);
}

constexpr std::uint64_t overtaken_us_max = 5'000;
constexpr std::uint32_t client_address = 2;

}  // namespace

std::uint64_t Network::delay_us(dataplane::Endpoint from, dataplane::Endpoint to) {
  const auto clogged = clogs_.find({from, to});
  if (clogged != clogs_.end()) return clogged->second + prng_.below(1'000);
  std::uint64_t delay = prng_.between(faults.delay_us_min, faults.delay_us_max);
  if (prng_.chance(faults.reordering_permille, 1000)) {
    ++counters_.overtaken;
    delay += prng_.below(overtaken_us_max);
  }
  return delay;
}

void Network::send(dataplane::Endpoint from, dataplane::Endpoint to, Bytes packet) {
  ++counters_.sent;
  const std::uint64_t where = (std::uint64_t{from.port} << 32) | to.port;
  counters_.digest = (counters_.digest ^ crc32c(packet) ^ (now_us << 20) ^ where) * 0x9E3779B97F4A7C15;
  if (on_sent) on_sent(from, to, packet);
  if (prng_.chance(faults.replay_permille, 1000)) replay();
  const bool is_cut = cuts_.contains({from, to});
  if (is_cut || is_lost(packet)) {
    ++counters_.lost;
    counters_.cut_off += is_cut ? 1 : 0;
    return;
  }
  if (refusing_.contains(to)) {
    if (!cuts_.contains({to, from})) flights_[from].emplace(now_us + delay_us(to, from), Arrived{to, {}, true});
    return;
  }
  remember(from, to, packet);
  const int copies = prng_.chance(faults.duplication_permille, 1000) ? 2 : 1;
  counters_.doubled += copies > 1 ? 1 : 0;
  for (int i = 0; i < copies; ++i) post(from, to, packet);
}

bool Network::is_lost(Bytes packet) {
  if (prng_.chance(faults.loss_permille, 1000)) return true;
  if (faults.accept_loss_permille == 0 || packet.size() < sizeof(wire::PacketHeader)) return false;
  const bool is_accept = load<wire::PacketHeader>(packet).type == wire::MessageType::accept;
  const bool lost = is_accept && prng_.chance(faults.accept_loss_permille, 1000);
  counters_.accepts_lost += lost ? 1 : 0;
  return lost;
}

void Network::post(dataplane::Endpoint from, dataplane::Endpoint to, Bytes packet) {
  auto& flights = flights_[to];
  if (flights.size() >= waiting_max) return;
  Arrived flight{from, {packet.begin(), packet.end()}};
  if (prng_.chance(faults.corruption_permille, 1000)) {
    ++counters_.corrupted;
    for (std::uint64_t flips = prng_.between(1, 3); flips > 0; --flips) {
      flight.packet[prng_.below(packet.size())] ^= static_cast<std::byte>(1U << prng_.below(8));
    }
  }
  flights.emplace(now_us + delay_us(from, to), std::move(flight));
}

// Requests of clients are not kept: a client that was told that an entry is not appended must be able to rely on it, and the one
// assumption behind that is that no copy of a request outlives its session (client/session.h).
void Network::remember(dataplane::Endpoint from, dataplane::Endpoint to, Bytes packet) {
  if (faults.replay_permille == 0 || from.address == client_address || !prng_.chance(1, 16)) return;
  Old old{from, to, {packet.begin(), packet.end()}};
  if (old_.size() < remembered_max) {
    old_.push_back(std::move(old));
  } else {
    old_[prng_.below(remembered_max)] = std::move(old);
  }
}

void Network::replay() {
  if (old_.empty()) return;
  const Old& old = old_[prng_.below(old_.size())];
  ++counters_.replayed;
  post(old.from, old.to, old.packet);
}

void Network::inject(dataplane::Endpoint from, dataplane::Endpoint to, Datagram packet) {
  flights_[to].emplace(now_us, Arrived{from, std::move(packet)});
}

void Network::inject_refusal(dataplane::Endpoint from, dataplane::Endpoint to) {
  flights_[to].emplace(now_us, Arrived{from, {}, true});
}

bool Network::take(dataplane::Endpoint to, Arrived& arrived) {
  auto& flights = flights_[to];
  if (flights.empty() || flights.begin()->first > now_us) return false;
  arrived = std::move(flights.begin()->second);
  flights.erase(flights.begin());
  return true;
}

std::size_t Port::receive(std::span<dataplane::Packet> out) {
  std::size_t count = 0;
  while (count < out.size() && network_.take(local_, received_[count])) {
    const Network::Arrived& arrived = received_[count];
    out[count++] = {.payload = arrived.is_refusal ? Bytes{} : payload_of(arrived.packet), .from = arrived.from};
  }
  return count;
}

}  // namespace synod::sim
