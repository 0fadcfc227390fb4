// As much of protobuf as the adapters need: fields that are numbers or bytes. What is read comes from a socket: nothing is
// believed.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"

namespace synod::bench {

class ProtobufWriter {
 public:
  explicit ProtobufWriter(std::vector<std::byte>& out) : out_(out) {}

  void put(std::uint32_t field, std::uint64_t value) {
    put_varint(field << 3U);
    put_varint(value);
  }
  void put(std::uint32_t field, Bytes bytes) {
    put_varint((field << 3U) | 2U);
    put_varint(bytes.size());
    out_.insert(out_.end(), bytes.begin(), bytes.end());
  }

 private:
  void put_varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7U) out_.push_back(static_cast<std::byte>(value | 0x80));
    out_.push_back(static_cast<std::byte>(value));
  }

  std::vector<std::byte>& out_;
};

struct ProtobufField {
  std::uint64_t number = 0;
  std::uint64_t value = 0;  // of a number
  Bytes bytes;              // of anything else, within the message
};

class ProtobufReader {
 public:
  explicit ProtobufReader(Bytes message) : rest_(message) {}

  // The next field; nothing at the end, and nothing more where the message makes no sense.
  [[nodiscard]] std::optional<ProtobufField> next() {
    const auto key = take_varint();
    if (!key) return {};
    ProtobufField field{.number = *key >> 3U};
    switch (*key & 7U) {
      case 0: {
        const auto value = take_varint();
        if (!value) return {};
        field.value = *value;
        return field;
      }
      case 1: return take_bytes(field, 8);
      case 2: {
        const auto size = take_varint();
        return size ? take_bytes(field, *size) : std::nullopt;
      }
      case 5: return take_bytes(field, 4);
      default: rest_ = {}; return {};
    }
  }
  // The first field of that number; an empty one if there is none.
  [[nodiscard]] static ProtobufField find(Bytes message, std::uint64_t number) {
    ProtobufReader reader(message);
    while (const auto field = reader.next()) {
      if (field->number == number) return *field;
    }
    return {};
  }

 private:
  [[nodiscard]] std::optional<std::uint64_t> take_varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<std::uint64_t>(rest_.front());
      rest_ = rest_.subspan(1);
      value |= (byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    rest_ = {};
    return {};
  }
  [[nodiscard]] std::optional<ProtobufField> take_bytes(ProtobufField field, std::uint64_t size) {
    if (size > rest_.size()) {
      rest_ = {};
      return {};
    }
    field.bytes = rest_.first(size);
    rest_ = rest_.subspan(size);
    return field;
  }

  Bytes rest_;
};

}  // namespace synod::bench
