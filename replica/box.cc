#include "replica/box.h"

#include <fmt/format.h>

#include <algorithm>

#include "dataplane/clock.h"
#include "dataplane/eal.h"
#include "replica/config.h"
#include "wire/cluster.h"

namespace synod::replica {

namespace {

constexpr std::size_t packets = 8192;

// Addresses inside the box; they never leave it.
dataplane::Endpoint box_endpoint(std::size_t place) {
  return {.address = (10U << 24) | (83U << 16) | static_cast<std::uint32_t>(place + 1), .port = 7400};
}
constexpr dataplane::Endpoint client_endpoint{.address = (10U << 24) | (83U << 16) | (1U << 8) | 1U, .port = 7400};

ReplicaId id_of(std::size_t place) {
  return ReplicaId(static_cast<std::uint16_t>(place + 1));
}

}  // namespace

std::string Box::directory(const std::string& data, std::size_t place) {
  return fmt::format("{}/{}", data, place + 1);
}

Result<std::unique_ptr<Box>> Box::make(const BoxOptions& options) {
  std::unique_ptr<Box> box(new Box());
  auto pool = dataplane::PacketPool::make(packets, dataplane::mtu_jumbo);
  if (!pool) return std::unexpected(pool.error());
  box->pool_ = *std::move(pool);
  if (auto opened = box->open_nodes(options); !opened) return std::unexpected(opened.error());
  if (auto linked = box->link_nodes(options); !linked) return std::unexpected(linked.error());
  return box;
}

Result<> Box::open_nodes(const BoxOptions& options) {
  std::vector<ReplicaId> members;
  members.reserve(options.replicas);
  for (std::size_t place = 0; place < options.replicas; ++place) members.push_back(id_of(place));
  for (std::size_t place = 0; place < options.replicas; ++place) {
    auto data = options.data == data_memory ? Data::make_memory(options.memory_bytes, options.cluster, id_of(place),
                                                                options.replicas, options.touch_memory)
                                            : Data::open(directory(options.data, place));
    if (!data) return std::unexpected(data.error());
    data_.push_back(*std::move(data));
    if (options.trace) traces_.push_back(std::make_unique<StageTrace>(options.replicas / 2));
    auto node = Node::open({.cluster = wire::cluster_id(options.cluster),
                            .self = id_of(place),
                            .configuration = consensus::Configuration(members),
                            .timeouts = options.timeouts,
                            .seed = dataplane::now_ns() + place,
                            .say = say_on_stderr,
                            .trace = options.trace ? traces_.back().get() : nullptr},
                           data_.back().device());
    if (!node) return std::unexpected(node.error());
    nodes_.push_back(*std::move(node));
  }
  return {};
}

Result<> Box::link_nodes(const BoxOptions& options) {
  for (std::size_t a = 0; a < nodes_.size(); ++a) {
    for (std::size_t b = a + 1; b < nodes_.size(); ++b) {
      auto link = dataplane::Link::make({.kind = options.links, .a = box_endpoint(a), .b = box_endpoint(b)}, pool_.get());
      if (!link) return std::unexpected(link.error());
      nodes_[a]->set_route(id_of(b), {nodes_[a]->add_port((*link)->a().port), (*link)->b().at});
      nodes_[b]->set_route(id_of(a), {nodes_[b]->add_port((*link)->b().port), (*link)->a().at});
      links_.push_back(*std::move(link));
    }
  }
  for (std::size_t place = 0; place < nodes_.size() && options.client_links; ++place) {
    auto link = dataplane::Link::make({.kind = options.links, .a = box_endpoint(place), .b = client_endpoint}, pool_.get());
    if (!link) return std::unexpected(link.error());
    nodes_[place]->add_port((*link)->a().port);
    client_links_.push_back(*std::move(link));
  }
  for (std::size_t place = 0; place < options.udp.size() && place < nodes_.size(); ++place) {
    auto port = dataplane::UdpPort::open(options.udp[place]);
    if (!port) return std::unexpected(port.error());
    nodes_[place]->add_port(dataplane::PortRef(**port));
    udp_.push_back(*std::move(port));
  }
  return {};
}

bool Box::poll(Node& node, std::uint64_t now_us) {
  const bool worked = node.poll_once(now_us);
  node.flush();  // the next one has it at once
  may_rest_ = may_rest_ && node.may_rest();
  return worked;
}

void Box::poll_once(std::uint64_t now_us) {
  may_rest_ = true;
  const auto leader = std::ranges::find_if(nodes_, [](const auto& node) { return node->engine().is_leader(); });
  for (const auto& node : nodes_) {
    const bool has_worked = poll(*node, now_us);
    // A quorum may be one follower away: its answer does not wait for the work of the others.
    if (has_worked && leader != nodes_.end() && node != *leader) poll(**leader, now_us);
  }
  for (const auto& node : nodes_) node->submit();
}

void Box::run(dataplane::IdlePolicy idle, const std::atomic<bool>& stop) {
  dataplane::Idler idler(idle);
  while (!stop.load(std::memory_order_relaxed)) {
    poll_once(dataplane::now_us());
    idler.idle(!may_rest_);
  }
  for (const auto& node : nodes_) node->finish();
}

}  // namespace synod::replica
