// A port on a kernel UDP socket: for clients without DPDK, and for showing what bypass buys.
//
// Owns its socket and its buffers; one burst of each direction is allocated at open and nothing later. Thread: one.
// A full socket buffer, a refusing peer or an unreachable network is a counted drop, never an error: messages are sent again
// by whoever needs them. That a peer's host refuses (nobody listens there) is passed on, see Packet::is_refusal. The kernel takes
// no more than net.core.rmem_max / wmem_max of the buffers that we ask for.
#pragma once

#include <array>
#include <memory>

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/error.h"
#include "dataplane/port.h"

namespace synod::dataplane {

inline constexpr std::size_t udp_payload_bytes_ethernet = 1472;  // what a 1500-byte MTU carries
inline constexpr std::size_t udp_payload_bytes_jumbo = 8972;     // what a 9000-byte MTU carries
inline constexpr std::size_t udp_payload_bytes_limit = 60U << 10;

struct UdpOptions {
  // Of what it sends: larger than an Ethernet packet only where the path carries it whole, as loopback does: IP fragments are
  // lost together. It takes jumbo packets in any case: its peer may have a port of another size.
  std::size_t payload_bytes_max = udp_payload_bytes_ethernet;
  std::size_t socket_buffer_bytes = 4U << 20;
};

class UdpPort {
 public:
  // Port 0 takes any free port, address 0.0.0.0 any local address. See local().
  [[nodiscard]] static Result<std::unique_ptr<UdpPort>> open(Endpoint bind, const UdpOptions& options = {});
  ~UdpPort();
  UdpPort(const UdpPort&) = delete;
  UdpPort& operator=(const UdpPort&) = delete;

  [[nodiscard]] Endpoint local() const { return local_; }
  // For poll(2) in an idle loop; reading and writing stay with the port.
  [[nodiscard]] int descriptor() const { return socket_; }

  // The members of a port (see dataplane/port.h).
  std::size_t receive(std::span<Packet> out);
  MutableBytes reserve();
  void send(Endpoint to, std::size_t bytes);
  void flush();
  [[nodiscard]] std::size_t payload_bytes_max() const { return payload_bytes_max_; }
  [[nodiscard]] std::size_t waiting_max() const { return waiting_max_; }
  [[nodiscard]] PortCounters counters() const { return counters_; }

 private:
  // One burst of one direction: message headers that point into one block of buffers, wired once.
  struct Burst {
    std::unique_ptr<std::byte[]> memory;
    std::array<mmsghdr, burst_packets_max> headers{};
    std::array<iovec, burst_packets_max> pieces{};
    std::array<sockaddr_in, burst_packets_max> addresses{};
  };

  UdpPort(int socket, Endpoint local, std::size_t payload_bytes_max, std::size_t waiting_max);
  static void wire(Burst& burst, std::size_t packet_bytes);
  [[nodiscard]] std::size_t take_refusals(std::span<Packet> out);

  int socket_;
  Endpoint local_;
  std::size_t payload_bytes_max_;
  std::size_t waiting_max_;
  PortCounters counters_;
  Burst incoming_;
  Burst outgoing_;
  std::size_t queued_ = 0;    // packets in outgoing_ that flush will transmit
  std::size_t received_ = 0;  // headers of incoming_ that the last receive changed
  bool has_errors_ = false;   // the socket's queue of ICMP errors may hold some
};

}  // namespace synod::dataplane
