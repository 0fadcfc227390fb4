#include "bench/neighbours/tcp.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace synod::bench {

namespace {

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = ::htons(port);
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  return address;
}

bool would_block() {
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

}  // namespace

// They are bound together first, so that they differ.
Result<> find_free_ports(std::span<std::uint16_t> ports) {
  std::vector<storage::Descriptor> held;
  for (std::uint16_t& port : ports) {
    storage::Descriptor& socket = held.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = loopback(0);
    socklen_t bytes = sizeof(address);
    if (::bind(socket.fd(), reinterpret_cast<const sockaddr*>(&address), bytes) != 0 ||
        ::getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&address), &bytes) != 0) {
      return fail(fmt::format("cannot find a free port: {}", std::strerror(errno)));
    }
    port = ::ntohs(address.sin_port);
  }
  return {};
}

// On loopback a connection is there, or refused, at once: this one call may wait.
Result<TcpConnection> TcpConnection::open(std::uint16_t port) {
  storage::Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = loopback(port);
  const int yes = 1;
  if (socket.fd() < 0 || ::connect(socket.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::setsockopt(socket.fd(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)) != 0) {
    return fail(fmt::format("cannot connect to 127.0.0.1:{}: {}", port, std::strerror(errno)));
  }
  return TcpConnection(std::move(socket));
}

Result<> TcpConnection::flush() {
  while (sent_ < unsent_.size()) {
    const ssize_t bytes = ::send(socket_.fd(), unsent_.data() + sent_, unsent_.size() - sent_, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (bytes < 0 && would_block()) return {};
    if (bytes < 0) return fail(fmt::format("the connection broke: {}", std::strerror(errno)));
    sent_ += static_cast<std::size_t>(bytes);
  }
  unsent_.clear();
  sent_ = 0;
  return {};
}

Result<Bytes> TcpConnection::receive() {
  const ssize_t bytes = ::recv(socket_.fd(), received_.data(), received_.size(), MSG_DONTWAIT);
  if (bytes > 0) return Bytes(received_).first(static_cast<std::size_t>(bytes));
  if (bytes == 0) return fail("the server closed the connection");
  if (would_block()) return Bytes();
  return fail(fmt::format("the connection broke: {}", std::strerror(errno)));
}

void TcpConnection::wait(int milliseconds) const {
  pollfd waited{.fd = socket_.fd(), .events = POLLIN, .revents = 0};
  (void)::poll(&waited, 1, milliseconds);
}

}  // namespace synod::bench
