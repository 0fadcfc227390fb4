// A box: replicas in this process over links of some kind, on one core.
#include <fmt/format.h>
#include <pthread.h>

#include <atomic>
#include <thread>

#include "bench/target.h"
#include "dataplane/eal.h"
#include "dataplane/lcore.h"
#include "replica/config.h"
#include "replica/stop.h"
#include "storage/format.h"

namespace synod::bench {

namespace {

class BoxTarget final : public Target {
 public:
  explicit BoxTarget(TargetOptions options) : options_(std::move(options)) {}
  BoxTarget(const BoxTarget&) = delete;
  BoxTarget& operator=(const BoxTarget&) = delete;
  ~BoxTarget() override {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }

  Result<> start() {
    const Options& bench = options_.options;
    replica::BoxOptions box;
    box.cluster = bench.cluster;
    box.replicas = static_cast<std::uint16_t>(bench.replicas);
    box.data = bench.diskless() ? replica::data_memory : options_.directory;
    box.memory_bytes = options_.capacity_bytes;
    box.touch_memory = bench.diskless();
    box.links = bench.links();
    box.client_links = true;
    box.trace = true;
    if (!bench.diskless()) {
      if (auto formatted = format(box); !formatted) return formatted;
    }
    auto made = replica::Box::make(box);
    if (!made) return std::unexpected(made.error());
    box_ = *std::move(made);
    const storage::DeviceInfo& info = box_->node(0).journal().device_info();
    device_ = info.description;
    stable_ = info.stable;
    thread_ = std::thread([this] { run(); });
    while (starting_) std::this_thread::yield();
    return started_;
  }

  Ways ways() override { return ways_to(*box_, options_.options.cluster); }
  [[nodiscard]] std::string port() const override { return dataplane::description(options_.options.links()); }
  [[nodiscard]] std::string device() const override { return device_; }
  [[nodiscard]] bool device_stable() const override { return stable_; }
  [[nodiscard]] std::string cpu_layout() const override {
    const CpuLayout& cpu = options_.cpu;
    if (cpu.one_core()) return fmt::format("replicas and client share core {}: figures mean little", cpu.replica_core);
    return fmt::format("{} replicas spin on core {}, client on core {}", options_.options.replicas, cpu.replica_core,
                       cpu.client_core);
  }
  Result<> check() override { return {}; }
  [[nodiscard]] std::vector<replica::StageTrace*> traces() override {
    std::vector<replica::StageTrace*> traces;
    for (const auto& trace : box_->traces()) traces.push_back(trace.get());
    return traces;
  }

 private:
  [[nodiscard]] Result<> format(const replica::BoxOptions& box) const {
    for (std::size_t place = 0; place < box.replicas; ++place) {
      const storage::FormatOptions options{.directory = replica::Box::directory(box.data, place),
                                           .cluster = box.cluster,
                                           .replica = ReplicaId(static_cast<std::uint16_t>(place + 1)),
                                           .members = box.replicas,
                                           .capacity_bytes = options_.capacity_bytes,
                                           .prepare_all = true,
                                           .stop = &replica::stop_requested};
      if (auto made = storage::format(options, {}); !made) return std::unexpected(made.error());
    }
    return {};
  }

  void run() {
    started_ = dataplane::pin_to_core(options_.cpu.replica_core);
    if (started_) started_ = dataplane::register_polling_thread();
    starting_ = false;
    (void)::pthread_setname_np(::pthread_self(), "replicas");
    if (!started_) return;
    box_->run(options_.cpu.one_core() ? dataplane::IdlePolicy::yield : dataplane::IdlePolicy::spin, stop_);
  }

  TargetOptions options_;
  std::unique_ptr<replica::Box> box_;
  std::string device_;
  bool stable_ = false;
  std::atomic<bool> stop_ = false;
  std::atomic<bool> starting_ = true;
  Result<> started_;  // the thread's; read once it is no longer starting
  std::thread thread_;
};

}  // namespace

Ways ways_to(const replica::Box& box, const std::string& cluster) {
  Ways ways{.cluster = cluster, .ports = {}, .peers = {}};
  for (std::size_t place = 0; place < box.size(); ++place) {
    const dataplane::Link& link = box.client_link(place);
    ways.ports.push_back(link.b().port);
    ways.peers.push_back({.id = ReplicaId(static_cast<std::uint16_t>(place + 1)),
                          .route = {.port = static_cast<std::uint8_t>(place), .endpoint = link.a().at}});
  }
  return ways;
}

Result<std::unique_ptr<Target>> start_box(const TargetOptions& options) {
  auto target = std::make_unique<BoxTarget>(options);
  if (auto started = target->start(); !started) return std::unexpected(started.error());
  return target;
}

}  // namespace synod::bench
