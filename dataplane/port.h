// The upper seam: a port. Packets in, packets out; a packet here is one UDP payload. Frames, mbufs, sockets and neighbours are
// the port's business; no DPDK type appears above this line.
//
// Behind a PortRef stands DpdkPort (any ethdev), UdpPort (kernel UDP) or the simulator's port.
// Thread: one. One indirect call per burst to receive and to flush; one per packet to reserve and send is inlined by the burst
// interface below: a sender reserves, fills and commits into a port-owned burst that `flush` transmits.
#pragma once

#include <compare>
#include <concepts>
#include <cstdint>
#include <span>
#include <type_traits>

#include "base/bytes.h"
#include "base/error.h"

namespace synod::dataplane {

// IPv4 address and UDP port, host byte order.
struct Endpoint {
  std::uint32_t address = 0;
  std::uint16_t port = 0;
  auto operator<=>(const Endpoint&) const = default;
};

// "10.0.0.1:7400"
[[nodiscard]] Result<Endpoint> parse_endpoint(std::string_view text);
[[nodiscard]] std::string to_string(Endpoint endpoint);

struct Packet {
  Bytes payload;
  Endpoint from;

  // Not a packet but word that nobody listens at `from`: its host says so (ICMP port unreachable), or the link to its process is
  // down. It reaches us behind a packet to there, while a process is gone and its machine is not, on ports that hear such things.
  // A hint: anybody on the way can forge it.
  [[nodiscard]] bool is_refusal() const { return payload.data() == nullptr; }
};

struct PortCounters {
  std::uint64_t received = 0;
  std::uint64_t sent = 0;
  std::uint64_t receive_dropped = 0;  // not ours, malformed frames, wrong checksum
  std::uint64_t send_dropped = 0;     // no buffer, ring full, no neighbour
};

inline constexpr std::size_t burst_packets_max = 32;

struct PortTable {
  // At most out.size() packets; their payloads stay valid until the next receive on this port. Never blocks.
  std::size_t (*receive)(void* self, std::span<Packet> out);
  // A buffer for one payload of up to payload_bytes_max; empty when none can be had now (counted as send_dropped).
  MutableBytes (*reserve)(void* self);
  // Queues the buffer reserved last, `bytes` long. Flushes by itself when its burst is full.
  void (*send)(void* self, Endpoint to, std::size_t bytes);
  // Queues the buffer reserved last, `bytes` long, and behind it what the packet queued before it has behind as many: the same
  // body to another receiver, copied once. False, and nothing happened, if the port does not share them or that packet is gone
  // already.
  bool (*send_sharing)(void* self, Endpoint to, std::size_t bytes);
  // Transmits what was queued. What the device does not take is freed and counted, never retried here.
  void (*flush)(void* self);
  std::size_t (*payload_bytes_max)(const void* self);
  // How many packets can wait to be received, about: more are lost. For flow control.
  std::size_t (*waiting_max)(const void* self);
  PortCounters (*counters)(const void* self);
};

// A non-owning reference to any type with those members; whose packets share nothing need not have send_sharing.
class PortRef {
 public:
  template <class Port>
    requires(!std::same_as<std::remove_const_t<Port>, PortRef>)  // copying a reference is not making one
  explicit PortRef(Port& port) : self_(&port), table_(&table_for<Port>) {}

  [[nodiscard]] std::size_t receive(std::span<Packet> out) { return table_->receive(self_, out); }
  [[nodiscard]] MutableBytes reserve() { return table_->reserve(self_); }
  void send(Endpoint to, std::size_t bytes) { table_->send(self_, to, bytes); }
  bool send_sharing(Endpoint to, std::size_t bytes) { return table_->send_sharing(self_, to, bytes); }
  void flush() { table_->flush(self_); }
  [[nodiscard]] std::size_t payload_bytes_max() const { return table_->payload_bytes_max(self_); }
  [[nodiscard]] std::size_t waiting_max() const { return table_->waiting_max(self_); }
  [[nodiscard]] PortCounters counters() const { return table_->counters(self_); }

 private:
  template <class Port>
  static constexpr PortTable table_for = {
      [](void* self, std::span<Packet> out) { return static_cast<Port*>(self)->receive(out); },
      [](void* self) { return static_cast<Port*>(self)->reserve(); },
      [](void* self, Endpoint to, std::size_t bytes) { static_cast<Port*>(self)->send(to, bytes); },
      [](void* self, Endpoint to, std::size_t bytes) {
        if constexpr (requires(Port& port) { port.send_sharing(to, bytes); }) {
          return static_cast<Port*>(self)->send_sharing(to, bytes);
        }
        return false;
      },
      [](void* self) { static_cast<Port*>(self)->flush(); },
      [](const void* self) { return static_cast<const Port*>(self)->payload_bytes_max(); },
      [](const void* self) { return static_cast<const Port*>(self)->waiting_max(); },
      [](const void* self) { return static_cast<const Port*>(self)->counters(); },
  };

  void* self_;
  const PortTable* table_;
};

}  // namespace synod::dataplane
