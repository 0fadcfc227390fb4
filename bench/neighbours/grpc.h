// Unary gRPC calls, many at a time, over one HTTP/2 connection to 127.0.0.1 (libnghttp2). Thread: one; never waits, but for
// `ask`.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "bench/neighbours/tcp.h"

struct nghttp2_session;

namespace synod::bench {

struct GrpcAnswer {
  std::uint32_t slot = 0;
  bool is_ok = false;
  Bytes message;  // valid until the slot's next call
};

// The one message of a body; nothing if it is not whole, compressed, or not alone.
[[nodiscard]] std::optional<Bytes> grpc_message(Bytes body);

class GrpcChannel {
 public:
  static constexpr std::size_t answer_bytes_max = 4U << 20;

  [[nodiscard]] static Result<std::unique_ptr<GrpcChannel>> open(std::uint16_t port, std::size_t calls_max);
  ~GrpcChannel();
  GrpcChannel(const GrpcChannel&) = delete;
  GrpcChannel& operator=(const GrpcChannel&) = delete;

  // `slot`: below calls_max, and free: never used, or answered. `path`: of the method; outlives the call. The message is copied.
  void call(std::uint32_t slot, std::string_view path, Bytes message);
  // Sends and receives what it can, and adds the answers that came. An error: the connection is broken, no answer will come.
  [[nodiscard]] Result<> turn(std::vector<GrpcAnswer>& answers);
  // Calls in slot 0 and waits for the answer's message.
  [[nodiscard]] Result<Bytes> ask(std::string_view path, Bytes message);
  [[nodiscard]] int fd() const { return tcp_.fd(); }

 private:
  struct Call {
    std::vector<std::byte> sent;  // the message in its frame
    std::size_t sent_bytes = 0;
    std::vector<std::byte> received;
    bool is_ok = false;
  };
  struct Callbacks;  // of nghttp2

  GrpcChannel(TcpConnection tcp, std::uint16_t port, std::size_t calls_max);
  [[nodiscard]] Result<> send();

  TcpConnection tcp_;
  std::string authority_;
  std::vector<Call> calls_;
  std::vector<std::uint32_t> answered_;
  nghttp2_session* session_ = nullptr;
};

}  // namespace synod::bench
