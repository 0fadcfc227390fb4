#include "wire/message.h"

#include <utility>

namespace synod::wire {

namespace {

// The fixed parts of payloads. A message with none of these has an empty payload.
struct HelloFormat {
  std::uint8_t flag = 0;
  std::uint8_t second_flag = 0;
  std::uint8_t zero[6] = {};
  Position position;
  Ballot highest_ballot;
  Slot highest_slot;
};
static_assert(Format<HelloFormat> && sizeof(HelloFormat) == 40);

struct HeartbeatFormat {
  std::uint64_t sequence = 0;
  HeardTable heard{};
};
static_assert(Format<HeartbeatFormat> && sizeof(HeartbeatFormat) == 8 + members_max * sizeof(Position));

struct FlagFormat {
  std::uint8_t flag = 0;
  std::uint8_t zero[7] = {};
};
static_assert(Format<FlagFormat> && sizeof(FlagFormat) == 8);

struct PromiseFormat {
  Slot trim;
  Slot to;
  std::uint64_t sequence = 0;
  std::uint32_t count = 0;
  std::uint32_t zero = 0;
};
static_assert(Format<PromiseFormat> && sizeof(PromiseFormat) == 32);

struct AcceptedFormat {
  Slot slot;
  Checksum checksum;
  std::uint32_t zero = 0;
  std::uint64_t sequence = 0;
};
static_assert(Format<AcceptedFormat> && sizeof(AcceptedFormat) == 24);

struct ReceivedFormat {
  Slot slot;
  Checksum checksum;
  std::uint32_t zero = 0;
};
static_assert(Format<ReceivedFormat> && sizeof(ReceivedFormat) == 16);

struct HeartbeatAnswerFormat {
  std::uint64_t sequence = 0;
  Slot durable;
  Lsn first;
};
static_assert(Format<HeartbeatAnswerFormat> && sizeof(HeartbeatAnswerFormat) == 24);

struct FetchFormat {
  Slot slot;
  Ballot accepted;
  Checksum checksum;
  std::uint32_t zero = 0;
};
static_assert(Format<FetchFormat> && sizeof(FetchFormat) == 24);

struct CatchUpFormat {
  Slot from;
  Slot to;
};
static_assert(Format<CatchUpFormat> && sizeof(CatchUpFormat) == 16);

using Decoded = std::expected<PeerPayload, MessageFault>;

template <class Message>
Decoded decode_empty(Bytes payload) {
  if (!payload.empty()) return std::unexpected(MessageFault::bad_length);
  return Message{};
}

template <class T, class Make>
Decoded decode_fixed(Bytes payload, Make make) {
  if (payload.size() != sizeof(T)) return std::unexpected(MessageFault::bad_length);
  const auto fixed = load<T>(payload);
  if constexpr (requires { fixed.zero; }) {
    if (!is_zero(bytes_of(fixed.zero))) return std::unexpected(MessageFault::bad_reserved);
  }
  if constexpr (requires { fixed.flag; }) {
    if (fixed.flag > 1) return std::unexpected(MessageFault::bad_reserved);
  }
  if constexpr (requires { fixed.second_flag; }) {
    if (fixed.second_flag > 1) return std::unexpected(MessageFault::bad_reserved);
  }
  return make(fixed);
}

// A record that fills the payload. `kind` is what this message may carry on the wire.
template <class Message>
Decoded decode_record_message(Bytes payload, std::optional<Checksum> checksum) {
  const auto record = decode_record(payload, checksum);
  if (!record) return std::unexpected(MessageFault::bad_record);
  if (record->bytes() != payload.size()) return std::unexpected(MessageFault::bad_length);
  const bool is_value = record->header.kind == RecordKind::accepted || record->header.kind == RecordKind::chosen;
  if (!is_value || record->header.slot == Slot{}) return std::unexpected(MessageFault::bad_record);
  return Message{*record};
}

Decoded decode_promise(Bytes payload, std::span<PromisedSlot> slots) {
  if (payload.size() < sizeof(PromiseFormat)) return std::unexpected(MessageFault::bad_length);
  const auto fixed = load<PromiseFormat>(payload);
  if (fixed.zero != 0) return std::unexpected(MessageFault::bad_reserved);
  if (fixed.count > window_slots_max || fixed.count > slots.size()) return std::unexpected(MessageFault::bad_count);
  const Bytes list = payload.subspan(sizeof(PromiseFormat));
  if (list.size() != fixed.count * sizeof(PromisedSlot)) return std::unexpected(MessageFault::bad_length);
  Slot previous;
  for (std::size_t i = 0; i < fixed.count; ++i) {
    slots[i] = load<PromisedSlot>(list.subspan(i * sizeof(PromisedSlot)));
    if (slots[i].slot <= previous || slots[i].slot > fixed.to) return std::unexpected(MessageFault::bad_order);
    if (slots[i].body_bytes > body_bytes_max) return std::unexpected(MessageFault::bad_length);
    previous = slots[i].slot;
  }
  return Promise{fixed.trim, fixed.to, slots.first(fixed.count), fixed.sequence};
}

Decoded decode_payload(MessageType type, Bytes payload, std::optional<Checksum> checksum, std::span<PromisedSlot> slots) {
  switch (type) {
    case MessageType::hello:
      return decode_fixed<HelloFormat>(
          payload, [](auto f) { return Hello{f.flag, f.second_flag, f.position, f.highest_ballot, f.highest_slot}; });
    case MessageType::suspect: return decode_empty<Suspect>(payload);
    case MessageType::suspect_answer: return decode_fixed<FlagFormat>(payload, [](auto f) { return SuspectAnswer{f.flag}; });
    case MessageType::prepare: return decode_empty<Prepare>(payload);
    case MessageType::promise: return decode_promise(payload, slots);
    case MessageType::accept: return decode_record_message<Accept>(payload, checksum);
    case MessageType::accepted:
      return decode_fixed<AcceptedFormat>(payload, [](auto f) { return Accepted{f.slot, f.checksum, f.sequence}; });
    case MessageType::nack: return decode_fixed<std::uint64_t>(payload, [](auto f) { return Nack{Ballot::from_packed(f)}; });
    case MessageType::heartbeat:
      return decode_fixed<HeartbeatFormat>(payload, [](auto f) { return Heartbeat{f.sequence, f.heard}; });
    case MessageType::heartbeat_answer:
      return decode_fixed<HeartbeatAnswerFormat>(payload, [](auto f) { return HeartbeatAnswer{f.sequence, f.durable, f.first}; });
    case MessageType::fetch:
      return decode_fixed<FetchFormat>(payload, [](auto f) { return Fetch{f.slot, f.accepted, f.checksum}; });
    case MessageType::value: return decode_record_message<Value>(payload, checksum);
    case MessageType::catch_up: return decode_fixed<CatchUpFormat>(payload, [](auto f) { return CatchUp{f.from, f.to}; });
    case MessageType::chosen: return decode_record_message<Chosen>(payload, checksum);
    case MessageType::received: return decode_fixed<ReceivedFormat>(payload, [](auto f) { return Received{f.slot, f.checksum}; });
    default: return std::unexpected(MessageFault::unknown_type);
  }
}

template <class... Handlers>
struct Overload : Handlers... {
  using Handlers::operator()...;
};

template <class T>
EncodedPayload encode_fixed(MessageType type, const T& fixed, MutableBytes scratch) {
  store(scratch, fixed);
  return {type, scratch.first(sizeof(T)), {}};
}

EncodedPayload encode_record(MessageType type, const RecordView& record, MutableBytes scratch) {
  store(scratch, record.header);
  return {type, scratch.first(sizeof(RecordHeader)), record.body};
}

EncodedPayload encode_promise(const Promise& promise, MutableBytes scratch) {
  const auto count = static_cast<std::uint32_t>(promise.slots.size());
  store(scratch, PromiseFormat{promise.trim, promise.to, promise.sequence, count});
  const Bytes list = std::as_bytes(promise.slots);
  copy(scratch.subspan(sizeof(PromiseFormat)), list);
  return {MessageType::promise, scratch.first(sizeof(PromiseFormat) + list.size()), {}};
}

}  // namespace

const char* name(MessageFault fault) {
  switch (fault) {
    case MessageFault::bad_length: return "bad_length";
    case MessageFault::bad_count: return "bad_count";
    case MessageFault::bad_record: return "bad_record";
    case MessageFault::bad_order: return "bad_order";
    case MessageFault::not_from_a_replica: return "not_from_a_replica";
    case MessageFault::unknown_type: return "unknown_type";
    case MessageFault::bad_reserved: return "bad_reserved";
    case MessageFault::count_: break;
  }
  return "unknown";
}

std::expected<PeerMessage, MessageFault> decode_peer_message(const PacketHeader& header, Bytes payload,
                                                             std::span<PromisedSlot> slots, std::optional<Checksum> checksum) {
  if (header.source == ReplicaId{}) return std::unexpected(MessageFault::not_from_a_replica);
  if (header.type == MessageType::accept && header.probe > probe_of(Asks::received_at_leisure)) {
    return std::unexpected(MessageFault::bad_reserved);
  }
  auto decoded = decode_payload(header.type, payload, checksum, slots);
  if (!decoded) return std::unexpected(decoded.error());
  return PeerMessage{header.source, header.incarnation, header.ballot, header.commit, header.probe, *std::move(decoded)};
}

EncodedPayload encode_peer_payload(const PeerPayload& payload, std::span<std::byte, encode_scratch_bytes> scratch) {
  return std::visit(
      Overload{
          [&](const Hello& m) {
            return encode_fixed(MessageType::hello,
                                HelloFormat{.flag = m.wants_answer,
                                            .second_flag = m.is_certain,
                                            .position = m.position,
                                            .highest_ballot = m.highest_ballot,
                                            .highest_slot = m.highest_slot},
                                scratch);
          },
          [&](const Suspect&) { return EncodedPayload{MessageType::suspect, {}, {}}; },
          [&](const SuspectAnswer& m) { return encode_fixed(MessageType::suspect_answer, FlagFormat{m.lost}, scratch); },
          [&](const Prepare&) { return EncodedPayload{MessageType::prepare, {}, {}}; },
          [&](const Promise& m) { return encode_promise(m, scratch); },
          [&](const Accept& m) { return encode_record(MessageType::accept, m.record, scratch); },
          [&](const Accepted& m) {
            return encode_fixed(MessageType::accepted,
                                AcceptedFormat{.slot = m.slot, .checksum = m.checksum, .sequence = m.sequence}, scratch);
          },
          [&](const Nack& m) { return encode_fixed(MessageType::nack, m.refused.value(), scratch); },
          [&](const Heartbeat& m) { return encode_fixed(MessageType::heartbeat, HeartbeatFormat{m.sequence, m.heard}, scratch); },
          [&](const HeartbeatAnswer& m) {
            return encode_fixed(MessageType::heartbeat_answer, HeartbeatAnswerFormat{m.sequence, m.durable, m.first}, scratch);
          },
          [&](const Fetch& m) { return encode_fixed(MessageType::fetch, FetchFormat{m.slot, m.accepted, m.checksum}, scratch); },
          [&](const Value& m) { return encode_record(MessageType::value, m.record, scratch); },
          [&](const CatchUp& m) { return encode_fixed(MessageType::catch_up, CatchUpFormat{m.from, m.to}, scratch); },
          [&](const Chosen& m) { return encode_record(MessageType::chosen, m.record, scratch); },
          [&](const Received& m) {
            return encode_fixed(MessageType::received, ReceivedFormat{.slot = m.slot, .checksum = m.checksum}, scratch);
          },
      },
      payload);
}

}  // namespace synod::wire
