// What a message costs. `messenger_bench` takes Google Benchmark's flags; the echo needs two cores.
#include <algorithm>
#include <atomic>
#include <memory>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "base/crc32c.h"
#include "base/per_entry.h"
#include "dataplane/clock.h"
#include "dataplane/eal.h"
#include "dataplane/lcore.h"
#include "dataplane/messenger.h"
#include "dataplane/ring_link.h"
#include "dataplane/udp_port.h"

namespace synod::dataplane {
namespace {

constexpr Endpoint endpoint_a{0x0A000001, 7400};
constexpr Endpoint endpoint_b{0x0A000002, 7400};

// As the process was started: the echo pins the main thread.
const std::vector<unsigned> all_cores = allowed_cores();

LocalIdentity identity(std::uint16_t replica) {
  return {ClusterId(1), GroupId(1), ReplicaId(replica), {}};
}

wire::PacketHeader header_to(std::uint16_t replica) {
  wire::PacketHeader header;
  header.type = wire::MessageType::accept;
  header.destination = ReplicaId(replica);
  return header;
}

std::unique_ptr<RingLink> make_link(benchmark::State& state, std::size_t mtu) {
  EalOptions eal;
  eal.cores = all_cores;
  if (const auto started = start_eal(eal); !started) return state.SkipWithError(started.error().text.c_str()), nullptr;
  auto link = RingLink::make({.a = endpoint_a, .b = endpoint_b, .mtu = mtu});
  if (!link) return state.SkipWithError(link.error().text.c_str()), nullptr;
  return std::move(*link);
}

// One sender and one receiver on one core: the whole cost of one message, both sides, over a ring link.
void send_and_receive(benchmark::State& state) {
  const auto link = make_link(state, static_cast<std::size_t>(state.range(1)));
  if (link == nullptr) return;
  Messenger a(identity(1), {});
  Messenger b(identity(2), {});
  a.add_port(PortRef(link->a()));
  b.add_port(PortRef(link->b()));
  const std::vector<std::byte> payload(static_cast<std::size_t>(state.range(0)));
  std::uint64_t received = 0;
  const PerEntry per_entry;
  for (auto _ : state) {
    a.send({0, endpoint_b}, header_to(2), payload);
    a.flush();
    while (b.poll([&](const Message& message) { received += message.payload.size() == payload.size() ? 1 : 0; }) > 0) {
    }
  }
  if (received != static_cast<std::uint64_t>(state.iterations())) state.SkipWithError("messages were lost");
  per_entry.report(state, 1, static_cast<double>(state.range(0)));  // a message each
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(send_and_receive)
    ->ArgNames({"bytes", "mtu"})
    ->Args({128, 1500})
    ->Args({128, 9000})
    ->Args({1024, 9000})
    ->Args({65536, 1500})
    ->Args({65536, 9000})
    ->Args({1 << 20, 9000});

// A port whose packets share nothing: what send_to_each costs without.
template <class Port>
class CopyingPort {
 public:
  explicit CopyingPort(Port& port) : port_(port) {}
  std::size_t receive(std::span<Packet> out) { return port_.receive(out); }
  MutableBytes reserve() { return port_.reserve(); }
  void send(Endpoint to, std::size_t bytes) { port_.send(to, bytes); }
  void flush() { port_.flush(); }
  [[nodiscard]] std::size_t payload_bytes_max() const { return port_.payload_bytes_max(); }
  [[nodiscard]] std::size_t waiting_max() const { return port_.waiting_max(); }
  [[nodiscard]] PortCounters counters() const { return port_.counters(); }

 private:
  Port& port_;
};

enum class Way : std::uint8_t {
  one_by_one,  // a send for each
  copied,      // send_to_each, a copy in each packet
  shared,      // send_to_each, one copy of the body
};

// An accept of `bytes` to two or more followers. `flushed` does what the port needs behind each.
template <class Port, class Flushed>
void measure_send_to_each(benchmark::State& state, Port& port, std::span<const Destination> followers, Flushed flushed) {
  const auto way = static_cast<Way>(state.range(2));
  CopyingPort<Port> copying(port);
  Messenger messenger(identity(1), {});
  messenger.add_port(way == Way::shared ? PortRef(port) : PortRef(copying));
  const std::vector<std::byte> head(32);
  const std::vector<std::byte> body(static_cast<std::size_t>(state.range(0)));
  const Checksum checksum(crc32c(body));
  for (auto _ : state) {
    if (way == Way::one_by_one) {
      for (const Destination& to : followers) messenger.send(to.route, header_to(to.replica.value()), head, body, checksum);
    } else {
      messenger.send_to_each(followers, header_to(0), head, body, checksum);
    }
    messenger.flush();
    flushed();
  }
  if (messenger.counters().send_dropped != 0) state.SkipWithError("no buffers");
}

// What the sender does on a NIC, and what freeing costs. Here it is a ring that brings back what is sent: packets stay in it as
// long as in the descriptors of a NIC, so their buffers are no longer in the nearest cache when they are used again. Point to
// point: no UDP checksum, as where a NIC completes it.
class RingNic {
 public:
  static std::unique_ptr<RingNic> make(benchmark::State& state, std::size_t mtu) {
    EalOptions eal;
    eal.cores = all_cores;
    if (const auto started = start_eal(eal); !started) return state.SkipWithError(started.error().text.c_str()), nullptr;
    auto port =
        DpdkPort::open({.device = "net_ring0", .local = endpoint_a, .mtu = mtu, .point_to_point = true, .share_bodies = true});
    if (!port) return state.SkipWithError(port.error().text.c_str()), nullptr;
    return std::unique_ptr<RingNic>(new RingNic(*std::move(port)));
  }

  ~RingNic() { give_back(0); }
  RingNic(const RingNic&) = delete;
  RingNic& operator=(const RingNic&) = delete;

  [[nodiscard]] DpdkPort& port() { return *port_; }
  // What was sent goes once there is more than a NIC has descriptors for; now and then all of it does.
  void turn() { give_back(turns_++ % 32 == 0 ? 0 : 512); }

 private:
  explicit RingNic(std::unique_ptr<DpdkPort> port) : port_(std::move(port)) {}

  void give_back(std::size_t waiting_max) {
    std::array<rte_mbuf*, burst_packets_max> gone{};
    for (std::uint64_t waiting = port_->counters().sent - given_back_; waiting > waiting_max;) {
      const std::uint16_t got = rte_eth_rx_burst(port_->ethdev(), 0, gone.data(), static_cast<std::uint16_t>(gone.size()));
      rte_pktmbuf_free_bulk(gone.data(), got);
      waiting -= got;
      given_back_ += got;
    }
  }

  std::unique_ptr<DpdkPort> port_;
  std::uint64_t given_back_ = 0;
  std::uint64_t turns_ = 0;
};

std::vector<Destination> followers_at(std::span<const Endpoint> endpoints) {
  std::vector<Destination> followers;
  followers.reserve(endpoints.size());
  for (const Endpoint& at : endpoints)
    followers.push_back({{0, at}, ReplicaId(static_cast<std::uint16_t>(followers.size() + 2))});
  return followers;
}

void send_to_each_nic(benchmark::State& state) {
  const auto nic = RingNic::make(state, static_cast<std::size_t>(state.range(3)));
  if (nic == nullptr) return;
  std::vector<Endpoint> endpoints(static_cast<std::size_t>(state.range(1)), endpoint_b);
  for (std::size_t i = 0; i < endpoints.size(); ++i) endpoints[i].address += static_cast<std::uint32_t>(i);
  const std::vector<Destination> followers = followers_at(endpoints);
  measure_send_to_each(state, nic->port(), followers, [&] { nic->turn(); });
  if (nic->port().counters().send_dropped != 0) state.SkipWithError("packets were not sent");
}

// With what the kernel does: the followers' sockets take it and drop it.
void send_to_each_udp(benchmark::State& state) {
  const UdpOptions options{.payload_bytes_max = static_cast<std::size_t>(state.range(3)) - ip_udp_header_bytes};
  auto port = UdpPort::open({0x7F000001, 0}, options);
  if (!port) return state.SkipWithError(port.error().text.c_str());
  std::vector<std::unique_ptr<UdpPort>> sockets(static_cast<std::size_t>(state.range(1)));
  std::vector<Endpoint> endpoints;
  endpoints.reserve(sockets.size());
  for (auto& socket : sockets) {
    auto follower = UdpPort::open({0x7F000001, 0}, options);
    if (!follower) return state.SkipWithError(follower.error().text.c_str());
    socket = *std::move(follower);
    endpoints.push_back(socket->local());
  }
  const std::vector<Destination> followers = followers_at(endpoints);
  std::array<Packet, burst_packets_max> packets;
  measure_send_to_each(state, **port, followers, [&] {
    for (const auto& socket : sockets) {
      while (socket->receive(packets) > 0) {
      }
    }
  });
}

template <int ways>
void sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"bytes", "followers", "way", "mtu"});
  for (const std::int64_t followers : {2, 4}) {
    for (const auto& [bytes, mtu] : std::vector<std::pair<std::int64_t, std::int64_t>>{
             {128, 1500}, {1300, 1500}, {2048, 9000}, {4200, 9000}, {8192, 9000}, {65536, 9000}}) {
      for (std::int64_t way = 0; way < ways; ++way) bench->Args({bytes, followers, way, mtu});
    }
  }
}
BENCHMARK(send_to_each_nic)->Apply(sizes<3>);
BENCHMARK(send_to_each_udp)->Apply(sizes<2>);  // whose packets share nothing

// A poll that finds nothing.
void empty_poll(benchmark::State& state) {
  const auto link = make_link(state, mtu_jumbo);
  if (link == nullptr) return;
  Messenger a(identity(1), {});
  a.add_port(PortRef(link->a()));
  for (auto _ : state) benchmark::DoNotOptimize(a.poll([](const Message&) {}));
}
BENCHMARK(empty_poll);

// A port that gives every packet back to its sender: the messenger alone.
class MirrorPort {
 public:
  std::size_t receive(std::span<Packet> out) {
    if (bytes_ == 0) return 0;
    out[0] = {Bytes(buffer_.data(), bytes_), endpoint_b};
    bytes_ = 0;
    return 1;
  }
  MutableBytes reserve() { return buffer_; }
  void send(Endpoint, std::size_t bytes) { bytes_ = bytes; }
  void flush() {}
  [[nodiscard]] std::size_t payload_bytes_max() const { return buffer_.size(); }
  [[nodiscard]] static std::size_t waiting_max() { return 1; }
  [[nodiscard]] static PortCounters counters() { return {}; }

 private:
  std::vector<std::byte> buffer_ = std::vector<std::byte>(1472);
  std::size_t bytes_ = 0;
};

void messenger_alone(benchmark::State& state) {
  MirrorPort port;
  Messenger messenger(identity(2), {});
  messenger.add_port(PortRef(port));
  const std::vector<std::byte> payload(static_cast<std::size_t>(state.range(0)));
  const PerEntry per_entry;
  for (auto _ : state) {
    messenger.send({0, endpoint_b}, header_to(2), payload);
    messenger.poll([&](const Message& message) { benchmark::DoNotOptimize(message.payload.data()); });
  }
  per_entry.report(state, 1, static_cast<double>(state.range(0)));
}
BENCHMARK(messenger_alone)->ArgName("bytes")->Arg(128)->Arg(1024);

void answer_until(Messenger& messenger, const std::atomic<bool>& stop) {
  while (!stop.load(std::memory_order_relaxed)) {
    messenger.poll([&](const Message& message) { messenger.send(message.from, header_to(1), message.payload); });
    messenger.flush();
  }
}

// There and back between two pinned, spinning threads.
void echo_round_trip(benchmark::State& state) {
  const auto link = make_link(state, mtu_jumbo);
  if (link == nullptr) return;
  if (all_cores.size() < 2) return state.SkipWithError("the echo needs two cores");
  std::atomic<bool> stop = false;
  std::thread echo([&] {
    if (!pin_to_core(all_cores[1]) || !register_polling_thread()) return;
    Messenger b(identity(2), {});
    b.add_port(PortRef(link->b()));
    answer_until(b, stop);
  });
  Messenger a(identity(1), {});
  a.add_port(PortRef(link->a()));
  const std::vector<std::byte> payload(128);
  (void)pin_to_core(all_cores[0]);
  std::vector<std::uint64_t> times_ns;
  times_ns.reserve(1 << 20);
  for (auto _ : state) {
    const std::uint64_t sent_ns = now_ns();
    a.send({0, endpoint_b}, header_to(2), payload);
    a.flush();
    bool answered = false;
    while (!answered) a.poll([&](const Message&) { answered = true; });
    if (times_ns.size() < times_ns.capacity()) times_ns.push_back(now_ns() - sent_ns);
  }
  // The mean is a machine's that others use too; the median is the path's.
  std::ranges::sort(times_ns);
  state.counters["p50_ns"] = static_cast<double>(times_ns[times_ns.size() / 2]);
  state.counters["p99_ns"] = static_cast<double>(times_ns[times_ns.size() * 99 / 100]);
  stop = true;
  echo.join();
}
BENCHMARK(echo_round_trip)->UseRealTime();

}  // namespace
}  // namespace synod::dataplane

BENCHMARK_MAIN();
