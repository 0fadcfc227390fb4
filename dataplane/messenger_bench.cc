// What a message costs. `messenger_bench` takes Google Benchmark's flags; the echo needs two cores.
#include <algorithm>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include <benchmark/benchmark.h>

#include "base/per_entry.h"
#include "dataplane/clock.h"
#include "dataplane/eal.h"
#include "dataplane/lcore.h"
#include "dataplane/messenger.h"
#include "dataplane/ring_link.h"

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
