#include <charconv>
#include <optional>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "dataplane/port.h"

namespace synod::dataplane {

namespace {

// Takes a decimal number without sign or leading zero off the front of `text`.
std::optional<std::uint32_t> take_number(std::string_view& text, std::uint32_t value_max) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const auto digits = static_cast<std::size_t>(end - text.data());
  if (error != std::errc{} || value > value_max || (digits > 1 && text.front() == '0')) return std::nullopt;
  text.remove_prefix(digits);
  return value;
}

bool take(std::string_view& text, char expected) {
  if (text.empty() || text.front() != expected) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

Result<Endpoint> parse_endpoint(std::string_view text) {
  const auto refuse = [text] {
    return fail(fmt::format("'{}' is not an address: write an IPv4 address and a port, like 10.0.0.1:7400", text));
  };
  std::string_view rest = text;
  Endpoint endpoint;
  for (int i = 0; i < 4; ++i) {
    if (i > 0 && !take(rest, '.')) return refuse();
    const auto octet = take_number(rest, 255);
    if (!octet) return refuse();
    endpoint.address = (endpoint.address << 8) | *octet;
  }
  if (rest.empty()) return fail(fmt::format("'{}' has no port: write it behind a colon, like {}:7400", text, text));
  if (!take(rest, ':')) return refuse();
  const auto port = take_number(rest, 65535);
  if (!port || !rest.empty()) {
    return fail(fmt::format("'{}' has no valid port: write a number from 0 to 65535 behind the colon", text));
  }
  endpoint.port = static_cast<std::uint16_t>(*port);
  return endpoint;
}

std::string to_string(Endpoint endpoint) {
  return fmt::format("{}.{}.{}.{}:{}", endpoint.address >> 24, (endpoint.address >> 16) & 0xFF, (endpoint.address >> 8) & 0xFF,
                     endpoint.address & 0xFF, endpoint.port);
}

}  // namespace synod::dataplane
