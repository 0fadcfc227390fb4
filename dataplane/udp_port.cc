#include "dataplane/udp_port.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/errqueue.h>
#include <unistd.h>

#include "base/check.h"

namespace synod::dataplane {

namespace {

constexpr std::size_t refusals_max = 8;           // taken at a time
constexpr std::size_t kernel_packet_bytes = 700;  // that a waiting packet takes of the socket's buffer beside its payload, about

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

// What the kernel gave.
std::size_t buffer_bytes(int socket) {
  int bytes = 0;
  socklen_t length = sizeof(bytes);
  (void)::getsockopt(socket, SOL_SOCKET, SO_RCVBUF, &bytes, &length);
  return static_cast<std::size_t>(bytes);
}

// Whether a message of the error queue says that nobody listens where its packet went.
bool is_refusal(msghdr& message) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != IPPROTO_IP || part->cmsg_type != IP_RECVERR) continue;
    sock_extended_err error{};
    std::memcpy(&error, CMSG_DATA(part), sizeof(error));
    return error.ee_origin == SO_EE_ORIGIN_ICMP && error.ee_errno == ECONNREFUSED;
  }
  return false;
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
  const int wanted = 1;
  (void)::setsockopt(socket, IPPROTO_IP, IP_RECVERR, &wanted, sizeof(wanted));  // without it refusals are not heard
  sockaddr_in address = to_socket_address(bind);
  socklen_t length = sizeof(address);
  if (::bind(socket, reinterpret_cast<const sockaddr*>(&address), length) != 0 ||
      ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    const int error = errno;
    ::close(socket);
    return fail(fmt::format("cannot bind UDP {}: {}: {}", to_string(bind), std::strerror(error), advice(error)));
  }
  const std::size_t waiting_max = buffer_bytes(socket) / align_up(options.payload_bytes_max + kernel_packet_bytes, 1024);
  return std::unique_ptr<UdpPort>(new UdpPort(socket, to_endpoint(address), options.payload_bytes_max, waiting_max));
}

UdpPort::UdpPort(int socket, Endpoint local, std::size_t payload_bytes_max, std::size_t waiting_max)
    : socket_(socket), local_(local), payload_bytes_max_(payload_bytes_max), waiting_max_(waiting_max) {
  wire(incoming_, std::max(payload_bytes_max, udp_payload_bytes_jumbo));
  wire(outgoing_, payload_bytes_max);
}

UdpPort::~UdpPort() {
  ::close(socket_);
}

void UdpPort::wire(Burst& burst, std::size_t packet_bytes) {
  burst.memory = std::make_unique<std::byte[]>(burst_packets_max * packet_bytes);
  for (std::size_t i = 0; i < burst_packets_max; ++i) {
    burst.pieces[i] = {burst.memory.get() + i * packet_bytes, packet_bytes};
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
  const std::size_t refusals = has_errors_ ? take_refusals(out.first(std::min(out.size(), refusals_max))) : 0;
  std::size_t kept = refusals;
  const auto wanted = static_cast<unsigned>(std::min(out.size() - kept, burst_packets_max));
  const int count = ::recvmmsg(socket_, incoming_.headers.data(), wanted, MSG_DONTWAIT, nullptr);
  if (count < 0) {
    // That an ICMP error came back for an earlier packet is reported here once.
    if (errno != EAGAIN && errno != EINTR) has_errors_ = true;
    return kept;
  }
  received_ = static_cast<std::size_t>(count);
  for (std::size_t i = 0; i < received_; ++i) {
    const mmsghdr& header = incoming_.headers[i];
    if ((header.msg_hdr.msg_flags & MSG_TRUNC) != 0 || header.msg_hdr.msg_namelen != sizeof(sockaddr_in)) {
      ++counters_.receive_dropped;
      continue;
    }
    const auto* from = static_cast<const std::byte*>(incoming_.pieces[i].iov_base);
    out[kept++] = {Bytes(from, header.msg_len), to_endpoint(incoming_.addresses[i])};
  }
  counters_.received += kept - refusals;
  return kept;
}

std::size_t UdpPort::take_refusals(std::span<Packet> out) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    sockaddr_in to{};  // where the packet went that was refused
    alignas(cmsghdr) std::array<std::byte, 256> control{};
    msghdr message{};
    message.msg_name = &to;
    message.msg_namelen = sizeof(to);
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    if (::recvmsg(socket_, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) {
      has_errors_ = false;
      break;
    }
    ++counters_.send_dropped;
    if (is_refusal(message)) out[kept++] = {.payload = {}, .from = to_endpoint(to)};
  }
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
  std::size_t failed_at = queued_;
  while (done < queued_) {
    const int count = ::sendmmsg(socket_, &outgoing_.headers[done], static_cast<unsigned>(queued_ - done), MSG_DONTWAIT);
    if (count > 0) {
      counters_.sent += static_cast<std::size_t>(count);
      done += static_cast<std::size_t>(count);
      has_errors_ = has_errors_ || done < queued_;
    } else if (errno == EAGAIN || errno == ENOBUFS) {
      counters_.send_dropped += queued_ - done;
      break;
    } else if (errno != EINTR && std::exchange(failed_at, done) == done) {
      ++counters_.send_dropped;  // this one packet: no route, or too long for the path
      ++done;
    } else {
      has_errors_ = true;  // the error may be of an earlier packet that was refused: this one is tried once more
    }
  }
  queued_ = 0;
}

}  // namespace synod::dataplane
