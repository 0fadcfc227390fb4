// Two ports of this process that are joined: whatever kind of port there is, for comparing them and for whole clusters in one
// process.
//
//   ring        two rings between them; packets are handed over by pointer
//   pair        net_virtio_user and net_vhost over a socket: one copy
//   af_packet   DPDK's net_af_packet at the ends of a veth pair: through the kernel's device layer
//   af_xdp      DPDK's net_af_xdp at the ends of a veth pair (copy mode)
//   udp         kernel UDP over loopback
//
// The first four need the EAL. veth needs root: its interfaces live in a network namespace of this process's own and are gone
// with it (dataplane/veth.h: enter it first). Made and destroyed on a control thread; each end belongs to one thread, or both to
// the same.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "dataplane/attach.h"
#include "dataplane/dpdk_port.h"
#include "dataplane/ring_link.h"
#include "dataplane/udp_port.h"

namespace synod::dataplane {

enum class LinkKind : std::uint8_t { ring, pair, af_packet, af_xdp, udp };

// As a user names it, and as a report does.
[[nodiscard]] const char* name(LinkKind kind);
[[nodiscard]] std::optional<LinkKind> link_kind_of(std::string_view name);
[[nodiscard]] const char* description(LinkKind kind);

struct LinkOptions {
  LinkKind kind = LinkKind::ring;
  // Where the ends are, for the DPDK kinds: addresses that mean nothing elsewhere. Sockets take what the kernel gives.
  Endpoint a;
  Endpoint b;
};

class Link {
 public:
  struct End {
    PortRef port;
    Endpoint at;
    const DpdkPort* device;  // null: kernel UDP
  };

  // `pool`: of jumbo buffers, for rings; it outlives the link. May take a second (pair).
  [[nodiscard]] static Result<std::unique_ptr<Link>> make(const LinkOptions& options, PacketPool* pool);
  ~Link() = default;
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  [[nodiscard]] const End& a() const { return *a_; }
  [[nodiscard]] const End& b() const { return *b_; }

 private:
  Link() = default;
  [[nodiscard]] Result<> make_ring(const LinkOptions& options, PacketPool* pool);
  [[nodiscard]] Result<> make_pair(const LinkOptions& options);
  [[nodiscard]] Result<> make_veth(const LinkOptions& options);
  [[nodiscard]] Result<> make_udp();

  std::unique_ptr<RingLink> ring_;
  std::unique_ptr<DpdkPort> device_a_;
  std::unique_ptr<DpdkPort> device_b_;
  std::unique_ptr<UdpPort> socket_a_;
  std::unique_ptr<UdpPort> socket_b_;
  std::optional<End> a_;
  std::optional<End> b_;
};

}  // namespace synod::dataplane
