#include "dataplane/link.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>

#include "dataplane/veth.h"

namespace synod::dataplane {

namespace {

using namespace std::chrono_literals;

constexpr auto pair_wait_max = 10s;
constexpr std::size_t pair_packets = 3072;
constexpr Endpoint any_port_of_loopback{.address = (127U << 24) | 1U, .port = 0};
// As much as a jumbo frame carries, as on the other links.
constexpr std::size_t udp_payload_bytes = mtu_jumbo - 28;

std::atomic<unsigned> links_made = 0;

// The file that two halves meet at. They are joined once each has opened it, or never.
class MeetingPlace {
 public:
  explicit MeetingPlace(std::string path) : path_(std::move(path)) {}
  ~MeetingPlace() { (void)::unlink(path_.c_str()); }
  MeetingPlace(const MeetingPlace&) = delete;
  MeetingPlace& operator=(const MeetingPlace&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Each half connects to the other on a thread of its own.
std::unique_ptr<DpdkPort> wait_for(AttachTask& half, std::chrono::steady_clock::time_point deadline) {
  std::unique_ptr<DpdkPort> port = half.take();
  while (port == nullptr && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(1ms);
    port = half.take();
  }
  return port;
}

}  // namespace

const char* name(LinkKind kind) {
  switch (kind) {
    case LinkKind::ring: return "ring";
    case LinkKind::pair: return "pair";
    case LinkKind::af_packet: return "af_packet";
    case LinkKind::af_xdp: return "af_xdp";
    case LinkKind::udp: return "udp";
  }
  return "unknown";
}

std::optional<LinkKind> link_kind_of(std::string_view name) {
  for (const LinkKind kind : {LinkKind::ring, LinkKind::pair, LinkKind::af_packet, LinkKind::af_xdp, LinkKind::udp}) {
    if (name == synod::dataplane::name(kind)) return kind;
  }
  return std::nullopt;
}

const char* description(LinkKind kind) {
  switch (kind) {
    case LinkKind::ring: return "net_ring";
    case LinkKind::pair: return "net_virtio_user/net_vhost";
    case LinkKind::af_packet: return "net_af_packet over veth";
    case LinkKind::af_xdp: return "net_af_xdp over veth";
    case LinkKind::udp: return "kernel UDP over loopback";
  }
  return "unknown";
}

Result<std::unique_ptr<Link>> Link::make(const LinkOptions& options, PacketPool* pool) {
  std::unique_ptr<Link> link(new Link);
  Result<> made;
  switch (options.kind) {
    case LinkKind::ring: made = link->make_ring(options, pool); break;
    case LinkKind::pair: made = link->make_pair(options); break;
    case LinkKind::af_packet:
    case LinkKind::af_xdp: made = link->make_veth(options); break;
    case LinkKind::udp: made = link->make_udp(); break;
  }
  if (!made) return std::unexpected(made.error());
  if (link->device_a_ != nullptr) {
    link->a_ = End{PortRef(*link->device_a_), options.a, link->device_a_.get()};
    link->b_ = End{PortRef(*link->device_b_), options.b, link->device_b_.get()};
  }
  return link;
}

Result<> Link::make_ring(const LinkOptions& options, PacketPool* pool) {
  auto ring = RingLink::make({.a = options.a, .b = options.b}, pool);
  if (!ring) return std::unexpected(ring.error());
  ring_ = *std::move(ring);
  a_ = End{PortRef(ring_->a()), options.a, &ring_->a()};
  b_ = End{PortRef(ring_->b()), options.b, &ring_->b()};
  return {};
}

Result<> Link::make_pair(const LinkOptions& options) {
  // Outlives the tasks: an attach that ends in vain wakes itself through it.
  const std::string directory = std::filesystem::temp_directory_path().string();
  const MeetingPlace socket(fmt::format("{}/synod-{}-{}.socket", directory, ::getpid(), links_made++));
  const auto half = [&](PairRole role, Endpoint local) {
    return AttachTask::start({.socket = socket.path(), .role = role, .local = local, .packets = pair_packets});
  };
  auto server = half(PairRole::server, options.a);
  if (!server) return std::unexpected(server.error());
  auto client = half(PairRole::client, options.b);
  if (!client) return std::unexpected(client.error());
  const auto deadline = std::chrono::steady_clock::now() + pair_wait_max;
  device_b_ = wait_for(**client, deadline);  // does not wait for the server
  if (device_b_ != nullptr) device_a_ = wait_for(**server, deadline);
  if (device_a_ != nullptr) return {};
  const std::string why = device_b_ == nullptr ? (*client)->last_error() : (*server)->last_error();
  return fail(fmt::format("a virtio-user/vhost pair did not connect: {}", why.empty() ? "it took too long" : why));
}

Result<> Link::make_veth(const LinkOptions& options) {
  const unsigned number = links_made++;
  const std::string names[] = {fmt::format("synod{}a", number), fmt::format("synod{}b", number)};
  if (auto made = make_veth_pair(names[0], names[1]); !made) return made;
  const auto open = [&](const std::string& interface, Endpoint local) {
    const bool is_xdp = options.kind == LinkKind::af_xdp;
    const std::string device = fmt::format("{}_{},iface={}", is_xdp ? "net_af_xdp" : "net_af_packet", interface, interface);
    return DpdkPort::open({.device = device + (is_xdp ? "" : ",qdisc_bypass=1"), .local = local, .point_to_point = true});
  };
  auto a = open(names[0], options.a);
  if (!a) return std::unexpected(a.error());
  auto b = open(names[1], options.b);
  if (!b) return std::unexpected(b.error());
  device_a_ = *std::move(a);
  device_b_ = *std::move(b);
  return {};
}

Result<> Link::make_udp() {
  auto a = UdpPort::open(any_port_of_loopback, {.payload_bytes_max = udp_payload_bytes});
  if (!a) return std::unexpected(a.error());
  auto b = UdpPort::open(any_port_of_loopback, {.payload_bytes_max = udp_payload_bytes});
  if (!b) return std::unexpected(b.error());
  socket_a_ = *std::move(a);
  socket_b_ = *std::move(b);
  a_ = End{PortRef(*socket_a_), socket_a_->local(), nullptr};
  b_ = End{PortRef(*socket_b_), socket_b_->local(), nullptr};
  return {};
}

}  // namespace synod::dataplane
