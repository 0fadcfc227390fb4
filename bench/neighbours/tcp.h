// A TCP connection to 127.0.0.1 that never waits once it is there. Bytes that do not fit into the socket are kept, up to a limit.
// Thread: one.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "storage/file.h"

namespace synod::bench {

// Ports that are free now, all different.
[[nodiscard]] Result<> find_free_ports(std::span<std::uint16_t> ports);

class TcpConnection {
 public:
  [[nodiscard]] static Result<TcpConnection> open(std::uint16_t port);

  // Keeps a copy; sent by `flush`.
  void put(Bytes bytes) { unsent_.insert(unsent_.end(), bytes.begin(), bytes.end()); }
  void put(std::string_view text) { put(bytes_of(text)); }
  [[nodiscard]] std::size_t unsent() const { return unsent_.size() - sent_; }
  [[nodiscard]] Result<> flush();
  // What came, valid until the next call; empty if nothing did.
  [[nodiscard]] Result<Bytes> receive();
  [[nodiscard]] int fd() const { return socket_.fd(); }
  // Sleeps until something can be received, or `milliseconds` went by.
  void wait(int milliseconds) const;

 private:
  explicit TcpConnection(storage::Descriptor socket) : socket_(std::move(socket)), received_(received_bytes) {}

  static constexpr std::size_t received_bytes = 256U << 10;

  storage::Descriptor socket_;
  std::vector<std::byte> unsent_;
  std::size_t sent_ = 0;  // of it
  std::vector<std::byte> received_;
};

}  // namespace synod::bench
