#include "bench/neighbours/nats_protocol.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

namespace synod::bench {

namespace {

constexpr std::string_view line_end = "\r\n";

std::string_view text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

template <class T>
std::optional<T> number_of(std::string_view text) {
  T value{};
  const char* const end = text.data() + text.size();
  const auto [read_to, error] = std::from_chars(text.data(), end, value);
  if (text.empty() || error != std::errc{} || read_to != end) return {};
  return value;
}

struct Words {
  std::array<std::string_view, 6> word;
  std::size_t count = 0;  // beyond the array: too many
};

Words split(std::string_view line) {
  Words words;
  while (!line.empty() && words.count <= words.word.size()) {
    const std::size_t end = std::min(line.find(' '), line.size());
    if (end > 0) {
      if (words.count < words.word.size()) words.word[words.count] = line.substr(0, end);
      ++words.count;
    }
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  return words;
}

struct Sizes {
  std::size_t headers = 0;
  std::size_t total = 0;  // with them
};

// MSG subject sid [reply] total; HMSG subject sid [reply] headers total
std::optional<Sizes> sizes_of(const Words& words, bool has_headers) {
  const std::size_t least = has_headers ? 5 : 4;
  if (words.count < least || words.count > least + 1) return {};
  const auto total = number_of<std::size_t>(words.word[words.count - 1]);
  const auto headers = has_headers ? number_of<std::size_t>(words.word[words.count - 2]) : 0;
  if (!total || !headers || *total > NatsParser::payload_bytes_max || *headers > *total) return {};
  return Sizes{*headers, *total};
}

std::string shown(std::string_view line) {
  std::string text(line.substr(0, 80));
  for (char& letter : text) {
    if (letter < ' ' || letter > '~') letter = '?';
  }
  return text;
}

}  // namespace

void NatsParser::feed(Bytes bytes) {
  buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(taken_));
  taken_ = 0;
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
}

Result<std::optional<NatsOperation>> NatsParser::next() {
  const Bytes rest = Bytes(buffer_).subspan(taken_);
  const std::string_view text = text_of(rest).substr(0, line_bytes_max);
  const std::size_t line_bytes = text.find(line_end);
  if (line_bytes == std::string_view::npos) {
    if (text.size() == line_bytes_max) return fail("the server sent a line without end");
    return std::nullopt;
  }
  const std::string_view line = text.substr(0, line_bytes);
  const std::size_t body = line_bytes + line_end.size();
  NatsOperation operation;
  std::size_t used = body;
  const Words words = split(line);
  const std::string_view verb = words.count == 0 ? "" : words.word[0];
  if (verb == "MSG" || verb == "HMSG") {
    const auto sizes = sizes_of(words, verb == "HMSG");
    if (!sizes) return fail(fmt::format("the server sent a message that makes no sense: {}", shown(line)));
    used += sizes->total + line_end.size();
    if (rest.size() < used) return std::nullopt;
    if (text_of(rest.subspan(body + sizes->total, line_end.size())) != line_end) {
      return fail(fmt::format("the server sent a message of another size than it says: {}", shown(line)));
    }
    operation = {.kind = NatsOperation::Kind::message,
                 .subject = words.word[1],
                 .headers = rest.subspan(body, sizes->headers),
                 .payload = rest.subspan(body + sizes->headers, sizes->total - sizes->headers)};
  } else if (verb == "INFO") {
    operation.kind = NatsOperation::Kind::info;
    operation.payload = rest.first(line_bytes).subspan(verb.size());
  } else if (verb == "PING") {
    operation.kind = NatsOperation::Kind::ping;
  } else if (verb != "PONG" && verb != "+OK") {
    return fail(fmt::format("the server says: {}", shown(line)));  // -ERR, or no NATS
  }
  taken_ += used;
  return operation;
}

// {"stream":"SYNOD","seq":17}, or {"error":{...},...}: read a hundred thousand times a second, so without a tree.
std::optional<std::uint64_t> nats_place(Bytes acknowledgement) {
  constexpr std::string_view key = "\"seq\":";
  const std::string_view text = text_of(acknowledgement);
  const std::size_t at = text.find(key);
  if (at == std::string_view::npos || text.find("\"error\"") != std::string_view::npos) return {};
  std::string_view digits = text.substr(at + key.size());
  digits = digits.substr(0, digits.find_first_not_of("0123456789"));
  const auto place = number_of<std::uint64_t>(digits);
  return place && *place > 0 ? place : std::nullopt;
}

std::optional<std::uint32_t> nats_slot(std::string_view subject) {
  const std::size_t dot = subject.rfind('.');
  return dot == std::string_view::npos ? std::nullopt : number_of<std::uint32_t>(subject.substr(dot + 1));
}

std::optional<std::vector<std::byte>> from_base64(std::string_view text) {
  constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  std::vector<std::byte> bytes;
  std::uint32_t bits = 0;
  unsigned count = 0;
  for (const char letter : text) {
    const std::size_t value = letters.find(letter);
    if (value == std::string_view::npos) return {};
    bits = (bits << 6U) | static_cast<std::uint32_t>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes.push_back(static_cast<std::byte>(bits >> count));
  }
  return bytes;
}

}  // namespace synod::bench
