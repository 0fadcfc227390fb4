#include "wire/message.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "tests/wire/examples.h"

namespace synod::wire {
namespace {

PacketHeader header_of(MessageType type) {
  PacketHeader header;
  header.type = type;
  header.source = ReplicaId(2);
  header.incarnation = Incarnation{Uuid{sixteen_bytes(0x10)}, 5};
  header.ballot = Ballot(7, ReplicaId(2));
  header.commit = Slot(9);
  header.probe = Probe(type == MessageType::accept ? 1 : 10);
  return header;
}

using Slots = std::array<PromisedSlot, window_slots_max>;

// The fault that decoding meets; count_ if there is none.
MessageFault fault_of(MessageType type, Bytes payload) {
  Slots slots;
  const auto decoded = decode_peer_message(header_of(type), payload, slots);
  return decoded ? MessageFault::count_ : decoded.error();
}

MessageFault fault_of(const PeerPayload& payload) {
  std::array<std::byte, encode_scratch_bytes> scratch{};
  const MessageType type = encode_peer_payload(payload, scratch).type;
  return fault_of(type, encoded(payload));
}

RecordView changed_record(void (*change)(RecordHeader&)) {
  RecordView record = example_record();
  change(record.header);
  record.header = seal(record.header);
  return record;
}

TEST(Message, ExamplesCoverEveryTypeBetweenReplicas) {
  const auto examples = message_examples();
  ASSERT_EQ(examples.size(), std::variant_size_v<PeerPayload>);
  for (std::size_t i = 0; i < examples.size(); ++i) {
    // Checkpoints have messages of their own, in between.
    EXPECT_EQ(static_cast<std::size_t>(examples[i].type), examples[i].type == MessageType::received ? 17 : i + 1);
    EXPECT_EQ(examples[i].payload.index(), i);
  }
}

TEST(Message, OfEveryTypeHasGoldenBytes) {
  for (const auto& example : message_examples()) {
    std::array<std::byte, encode_scratch_bytes> scratch{};
    EXPECT_EQ(encode_peer_payload(example.payload, scratch).type, example.type);
    EXPECT_EQ(to_hex(encoded(example.payload)), golden(example.golden)) << name(example.type);
  }
}

TEST(Message, OfEveryTypeComesBackFromItsBytes) {
  for (const auto& example : message_examples()) {
    Slots slots;
    const auto bytes = from_hex(example.golden);
    const auto decoded = decode_peer_message(header_of(example.type), bytes, slots);
    ASSERT_TRUE(decoded.has_value()) << name(example.type) << ": " << name(decoded.error());
    EXPECT_EQ(decoded->payload.index(), example.payload.index()) << name(example.type);
    EXPECT_EQ(to_hex(encoded(decoded->payload)), golden(example.golden)) << name(example.type);
  }
}

TEST(Message, CarriesWhatItsHeaderSays) {
  Slots slots;
  const auto decoded = decode_peer_message(header_of(MessageType::prepare), {}, slots);
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(decoded->from, ReplicaId(2));
  EXPECT_EQ(decoded->incarnation, (Incarnation{Uuid{sixteen_bytes(0x10)}, 5}));
  EXPECT_EQ(decoded->ballot, Ballot(7, ReplicaId(2)));
  EXPECT_EQ(decoded->commit, Slot(9));
  EXPECT_EQ(decoded->probe, Probe(10));
}

TEST(Message, IsRefusedWhenCutAnywhere) {
  for (const auto& example : message_examples()) {
    const auto bytes = from_hex(example.golden);
    for (std::size_t length = 0; length < bytes.size(); ++length) {
      EXPECT_NE(fault_of(example.type, Bytes(bytes).first(length)), MessageFault::count_)
          << name(example.type) << ", length " << length;
    }
  }
}

TEST(Message, IsRefusedWithBytesBehindIt) {
  for (const auto& example : message_examples()) {
    auto bytes = from_hex(example.golden);
    for (const std::size_t more : {1U, 8U, 24U}) {
      bytes.resize(from_hex(example.golden).size() + more);
      EXPECT_EQ(fault_of(example.type, bytes), MessageFault::bad_length) << name(example.type) << ", " << more << " more";
    }
  }
}

TEST(Message, FromAClientIsRefused) {
  for (const auto& example : message_examples()) {
    PacketHeader header = header_of(example.type);
    header.source = ReplicaId{};
    Slots slots;
    const auto decoded = decode_peer_message(header, from_hex(example.golden), slots);
    ASSERT_FALSE(decoded.has_value());
    EXPECT_EQ(decoded.error(), MessageFault::not_from_a_replica);
  }
}

TEST(Message, OfAClientTypeIsRefused) {
  for (const auto type : {MessageType::append, MessageType::status_answer, MessageType{}, MessageType{15}, MessageType{255}}) {
    EXPECT_EQ(fault_of(type, {}), MessageFault::unknown_type);
  }
}

// (type, offset of a reserved byte in its example)
TEST(Message, WithReservedBytesIsRefused) {
  const std::vector<std::pair<MessageType, std::vector<std::size_t>>> reserved = {
      {MessageType::hello, {2, 7}},      {MessageType::suspect_answer, {1, 7}}, {MessageType::promise, {28, 31}},
      {MessageType::accepted, {12, 15}}, {MessageType::fetch, {20, 23}},
  };
  for (const auto& [type, places] : reserved) {
    for (const std::size_t place : places) {
      auto bytes = from_hex(message_examples()[static_cast<std::size_t>(type) - 1].golden);
      bytes[place] = std::byte{1};
      EXPECT_EQ(fault_of(type, bytes), MessageFault::bad_reserved) << name(type) << ", byte " << place;
    }
  }
}

TEST(Message, ReceivedWithReservedBytesIsRefused) {
  for (const std::size_t place : {12U, 15U}) {
    auto bytes = from_hex(message_examples().back().golden);
    bytes[place] = std::byte{1};
    EXPECT_EQ(fault_of(MessageType::received, bytes), MessageFault::bad_reserved) << "byte " << place;
  }
}

TEST(Message, AnAcceptAsksForWhatIsKnownOrIsRefused) {
  for (const std::uint64_t probe : {0ULL, 1ULL, 2ULL, 3ULL, ~0ULL}) {
    PacketHeader header = header_of(MessageType::accept);
    header.probe = Probe(probe);
    Slots slots;
    const auto decoded = decode_peer_message(header, encoded(Accept{example_record()}), slots);
    EXPECT_EQ(decoded.has_value(), probe <= 2) << probe;
    if (!decoded) {
      EXPECT_EQ(decoded.error(), MessageFault::bad_reserved);
    }
  }
}

TEST(Message, WithAFlagThatIsNeitherYesNorNoIsRefused) {
  EXPECT_EQ(fault_of(Hello{.wants_answer = 2}), MessageFault::bad_reserved);
  EXPECT_EQ(fault_of(Hello{.is_certain = 2}), MessageFault::bad_reserved);
  EXPECT_EQ(fault_of(SuspectAnswer{255}), MessageFault::bad_reserved);
}

TEST(Promise, OfAWholeWindowComesBack) {
  Slots listed;
  for (std::size_t i = 0; i < listed.size(); ++i) listed[i] = {Slot(i + 1), Ballot(1, ReplicaId(1)), Checksum(7), 8};
  const auto bytes = encoded(Promise{Slot(1), Slot(listed.size()), listed});
  Slots slots;
  const auto decoded = decode_peer_message(header_of(MessageType::promise), bytes, slots);
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(std::get<Promise>(decoded->payload).slots.size(), window_slots_max);
  EXPECT_EQ(to_hex(encoded(decoded->payload)), to_hex(bytes));
}

TEST(Promise, OfMoreThanAWindowIsRefused) {
  std::vector<std::byte> bytes(encode_scratch_bytes + sizeof(PromisedSlot));
  store(MutableBytes(bytes).subspan(24), static_cast<std::uint32_t>(window_slots_max + 1));
  std::array<PromisedSlot, window_slots_max + 1> slots;  // more room than is asked for changes nothing
  const auto decoded = decode_peer_message(header_of(MessageType::promise), bytes, slots);
  ASSERT_FALSE(decoded.has_value());
  EXPECT_EQ(decoded.error(), MessageFault::bad_count);
}

TEST(Promise, OfMoreThanTheCallerHasRoomForIsRefused) {
  std::array<PromisedSlot, 1> slots;
  const auto decoded =
      decode_peer_message(header_of(MessageType::promise), encoded(Promise{Slot(3), Slot(8), example_slots}), slots);
  ASSERT_FALSE(decoded.has_value());
  EXPECT_EQ(decoded.error(), MessageFault::bad_count);
}

TEST(Promise, OutOfOrderIsRefused) {
  const std::array<PromisedSlot, 2> slots = {example_slots[1], example_slots[0]};
  EXPECT_EQ(fault_of(Promise{Slot(3), Slot(8), slots}), MessageFault::bad_order);
}

TEST(Promise, OfOneSlotTwiceIsRefused) {
  const std::array<PromisedSlot, 2> slots = {example_slots[0], example_slots[0]};
  EXPECT_EQ(fault_of(Promise{Slot(3), Slot(8), slots}), MessageFault::bad_order);
}

TEST(Promise, OfSlotZeroIsRefused) {
  const std::array<PromisedSlot, 1> slots = {PromisedSlot{Slot(0), Ballot(1, ReplicaId(1)), Checksum(1), 8}};
  EXPECT_EQ(fault_of(Promise{Slot(0), Slot(8), slots}), MessageFault::bad_order);
}

TEST(Promise, OfASlotBehindItsRangeIsRefused) {
  EXPECT_EQ(fault_of(Promise{Slot(3), Slot(7), example_slots}), MessageFault::count_);
  EXPECT_EQ(fault_of(Promise{Slot(3), Slot(6), example_slots}), MessageFault::bad_order);
}

TEST(Promise, OfABodyAboveTheLimitIsRefused) {
  const std::array<PromisedSlot, 1> slots = {PromisedSlot{Slot(5), Ballot(1, ReplicaId(1)), Checksum(1), body_bytes_max + 1}};
  EXPECT_EQ(fault_of(Promise{Slot(3), Slot(8), slots}), MessageFault::bad_length);
}

TEST(RecordMessage, OfAPromiseOrMembersRecordIsRefused) {
  EXPECT_EQ(fault_of(Accept{changed_record([](auto& header) { header.kind = RecordKind::promise; })}), MessageFault::bad_record);
  EXPECT_EQ(fault_of(Chosen{changed_record([](auto& header) { header.kind = RecordKind::members; })}), MessageFault::bad_record);
}

TEST(RecordMessage, OfSlotZeroIsRefused) {
  EXPECT_EQ(fault_of(Accept{changed_record([](auto& header) { header.slot = Slot{}; })}), MessageFault::bad_record);
}

TEST(RecordMessage, WithAnyBitFlippedIsRefused) {
  const auto bytes = encoded(Accept{example_record()});
  for (const auto type : {MessageType::accept, MessageType::value, MessageType::chosen}) {
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      auto flipped = bytes;
      flipped[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
      EXPECT_EQ(fault_of(type, flipped), MessageFault::bad_record) << name(type) << ", bit " << bit;
    }
  }
}

TEST(MessageFaultName, IsItsOwnForEachReason) {
  std::set<std::string> names;
  for (unsigned fault = 0; fault < static_cast<unsigned>(MessageFault::count_); ++fault) {
    names.insert(name(static_cast<MessageFault>(fault)));
  }
  EXPECT_EQ(names.size(), static_cast<std::size_t>(MessageFault::count_));
  EXPECT_FALSE(names.contains("unknown"));
}

}  // namespace
}  // namespace synod::wire
