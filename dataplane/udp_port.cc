#include "dataplane/udp_port.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <unistd.h>

#include "base/check.h"

namespace synod::dataplane {

namespace {

sockaddr_in to_socket_address(Endpoint endpoint) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(endpoint.address);
  address.sin_port = htons(endpoint.port);
  return address;
}

Endpoint to_endpoint(const sockaddr_in& address) {
  return {ntohl(address.sin_addr.s_addr), ntohs(address.sin_port)};
}

// Best effort, first beyond the system's limit (root only), then up to it.
void set_buffer(int socket, int forced, int plain, std::size_t bytes) {
  const int value = static_cast<int>(bytes);
  if (::setsockopt(socket, SOL_SOCKET, forced, &value, sizeof(value)) == 0) return;
  (void)::setsockopt(socket, SOL_SOCKET, plain, &value, sizeof(value));
}

const char* advice(int error) {
  if (error == EADDRINUSE) return "stop the process that uses it, or choose another port";
  if (error == EADDRNOTAVAIL) return "use an address of this machine (see 'ip address'), or 0.0.0.0";
  if (error == EACCES) return "use a port above 1023";
  return "check address and port";
}

}  // namespace

Result<std::unique_ptr<UdpPort>> UdpPort::open(Endpoint bind, const UdpOptions& options) {
  if (options.payload_bytes_max > udp_payload_bytes_limit || options.payload_bytes_max < 576) {
    return fail(fmt::format("a UDP payload of {} bytes is not possible: choose 576 to {}", options.payload_bytes_max,
                            udp_payload_bytes_limit));
  }
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket < 0) return fail(fmt::format("cannot make a UDP socket: {}: raise the limit of open files", std::strerror(errno)));
  set_buffer(socket, SO_RCVBUFFORCE, SO_RCVBUF, options.socket_buffer_bytes);
  set_buffer(socket, SO_SNDBUFFORCE, SO_SNDBUF, options.socket_buffer_bytes);
  sockaddr_in address = to_socket_address(bind);
  socklen_t length = sizeof(address);
  if (::bind(socket, reinterpret_cast<const sockaddr*>(&address), length) != 0 ||
      ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    const int error = errno;
    ::close(socket);
    return fail(fmt::format("cannot bind UDP {}: {}: {}", to_string(bind), std::strerror(error), advice(error)));
  }
  return std::unique_ptr<UdpPort>(new UdpPort(socket, to_endpoint(address), options.payload_bytes_max));
}

UdpPort::UdpPort(int socket, Endpoint local, std::size_t payload_bytes_max)
    : socket_(socket), local_(local), payload_bytes_max_(payload_bytes_max) {
  wire(incoming_);
  wire(outgoing_);
}

UdpPort::~UdpPort() {
  ::close(socket_);
}

void UdpPort::wire(Burst& burst) const {
  burst.memory = std::make_unique<std::byte[]>(burst_packets_max * payload_bytes_max_);
  for (std::size_t i = 0; i < burst_packets_max; ++i) {
    burst.pieces[i] = {burst.memory.get() + i * payload_bytes_max_, payload_bytes_max_};
    msghdr& header = burst.headers[i].msg_hdr;
    header.msg_name = &burst.addresses[i];
    header.msg_namelen = sizeof(sockaddr_in);
    header.msg_iov = &burst.pieces[i];
    header.msg_iovlen = 1;
  }
}

std::size_t UdpPort::receive(std::span<Packet> out) {
  for (std::size_t i = 0; i < received_; ++i) incoming_.headers[i].msg_hdr.msg_namelen = sizeof(sockaddr_in);
  received_ = 0;
  const auto wanted = static_cast<unsigned>(std::min(out.size(), burst_packets_max));
  const int count = ::recvmmsg(socket_, incoming_.headers.data(), wanted, MSG_DONTWAIT, nullptr);
  if (count < 0) {
    // An ICMP error that came back for an earlier packet is reported here once.
    if (errno != EAGAIN && errno != EINTR) ++counters_.send_dropped;
    return 0;
  }
  received_ = static_cast<std::size_t>(count);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < received_; ++i) {
    const mmsghdr& header = incoming_.headers[i];
    if ((header.msg_hdr.msg_flags & MSG_TRUNC) != 0 || header.msg_hdr.msg_namelen != sizeof(sockaddr_in)) {
      ++counters_.receive_dropped;
      continue;
    }
    const auto* from = static_cast<const std::byte*>(incoming_.pieces[i].iov_base);
    out[kept++] = {Bytes(from, header.msg_len), to_endpoint(incoming_.addresses[i])};
  }
  counters_.received += kept;
  return kept;
}

MutableBytes UdpPort::reserve() {
  return {static_cast<std::byte*>(outgoing_.pieces[queued_].iov_base), payload_bytes_max_};
}

void UdpPort::send(Endpoint to, std::size_t bytes) {
  CHECK_LE(bytes, payload_bytes_max_);
  outgoing_.pieces[queued_].iov_len = bytes;
  outgoing_.addresses[queued_] = to_socket_address(to);
  if (++queued_ == burst_packets_max) flush();
}

void UdpPort::flush() {
  std::size_t done = 0;
  while (done < queued_) {
    const int count = ::sendmmsg(socket_, &outgoing_.headers[done], static_cast<unsigned>(queued_ - done), MSG_DONTWAIT);
    if (count > 0) {
      counters_.sent += static_cast<std::size_t>(count);
      done += static_cast<std::size_t>(count);
    } else if (errno == EAGAIN || errno == ENOBUFS) {
      counters_.send_dropped += queued_ - done;
      break;
    } else if (errno != EINTR) {
      ++counters_.send_dropped;  // this one packet: a refusing peer, no route, a message too long for the path
      ++done;
    }
  }
  queued_ = 0;
}

}  // namespace synod::dataplane
