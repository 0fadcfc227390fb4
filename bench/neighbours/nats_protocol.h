// What NATS servers send to clients: lines of text, some with bytes behind them. Bytes come from a socket: nothing is believed.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"

namespace synod::bench {

struct NatsOperation {
  enum class Kind : std::uint8_t { message, info, ping, other };
  Kind kind = Kind::other;
  std::string_view subject;  // of a message
  Bytes headers;
  Bytes payload;  // of a message, or the JSON text of an info
};

class NatsParser {
 public:
  static constexpr std::size_t line_bytes_max = 64U << 10;
  static constexpr std::size_t payload_bytes_max = 4U << 20;

  // Adds what was received.
  void feed(Bytes bytes);
  // The next whole operation, valid until `feed`; nothing if more bytes must come. An error is the end: what the server says went
  // wrong, or that it does not speak NATS.
  [[nodiscard]] Result<std::optional<NatsOperation>> next();

 private:
  std::vector<std::byte> buffer_;
  std::size_t taken_ = 0;  // of it
};

// Where JetStream put a message, from its acknowledgement; nothing if it is a refusal, or none at all.
[[nodiscard]] std::optional<std::uint64_t> nats_place(Bytes acknowledgement);
// The number behind the last dot of a subject.
[[nodiscard]] std::optional<std::uint32_t> nats_slot(std::string_view subject);
[[nodiscard]] std::optional<std::vector<std::byte>> from_base64(std::string_view text);

}  // namespace synod::bench
