#include "client/address.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <string>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>

namespace synod::client {

namespace {

Result<dataplane::Endpoint> resolve(std::string_view text) {
  if (auto endpoint = dataplane::parse_endpoint(text); endpoint && endpoint->port != 0) return endpoint;
  const std::size_t colon = text.rfind(':');
  std::uint16_t port = 0;
  const char* const end = text.data() + text.size();
  if (colon == std::string_view::npos || colon == 0 || std::from_chars(text.data() + colon + 1, end, port).ptr != end ||
      port == 0) {
    return fail(fmt::format("'{}' is not an address: write HOST:PORT, for example 127.0.0.1:7400", text));
  }
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  const std::string host(text.substr(0, colon));
  const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &found);
  if (error != 0) return fail(fmt::format("cannot resolve '{}': {}: check the host name", host, ::gai_strerror(error)));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  sockaddr_in address{};
  std::memcpy(&address, found->ai_addr, sizeof(address));
  return dataplane::Endpoint{ntohl(address.sin_addr.s_addr), port};
}

Result<Peer> parse_peer(std::string_view item, std::size_t place) {
  Peer peer;
  const std::size_t equals = item.find('=');
  auto id = static_cast<std::uint16_t>(place + 1);
  if (equals != std::string_view::npos) {
    const char* const end = item.data() + equals;
    if (std::from_chars(item.data(), end, id).ptr != end || equals == 0 || id == 0) {
      return fail(fmt::format("'{}' does not begin with a replica id: write ID=HOST:PORT, ids from 1", item));
    }
    item.remove_prefix(equals + 1);
  }
  peer.id = ReplicaId(id);
  const auto endpoint = resolve(item);
  if (!endpoint) return std::unexpected(endpoint.error());
  peer.route.endpoint = *endpoint;
  return peer;
}

}  // namespace

Result<std::vector<Peer>> parse_cluster(std::string_view text, GroupId group) {
  std::vector<Peer> peers;
  const bool with_ids = text.find('=') != std::string_view::npos;
  while (true) {
    const std::string_view item = text.substr(0, text.find(','));
    if (with_ids && item.find('=') == std::string_view::npos) {
      return fail(fmt::format("'{}' has no id while others have one: write ID=HOST:PORT for all or for none", item));
    }
    auto peer = parse_peer(item, peers.size());
    if (!peer) return std::unexpected(peer.error());
    const std::uint64_t port = peer->route.endpoint.port + std::uint64_t{group.value()};
    if (port > UINT16_MAX) return fail(fmt::format("'{}' has no group {}: its UDP port would be {}", item, group.value(), port));
    peer->route.endpoint.port = static_cast<std::uint16_t>(port);
    const auto same = [&](const Peer& other) { return other.id == peer->id || other.route == peer->route; };
    if (std::ranges::any_of(peers, same))
      return fail(fmt::format("'{}' repeats an id or an address: name each replica once", item));
    peers.push_back(*peer);
    if (peers.size() > members_max)
      return fail(fmt::format("more than {} addresses: a cluster has at most so many", members_max));
    if (item.size() == text.size()) return peers;
    text.remove_prefix(item.size() + 1);
  }
}

}  // namespace synod::client
