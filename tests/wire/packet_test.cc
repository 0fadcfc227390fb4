#include "wire/packet.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "base/crc32c.h"
#include "base/prng.h"
#include "tests/wire/golden.h"

namespace synod::wire {
namespace {

PacketHeader example_header() {
  PacketHeader header;
  header.type = MessageType::heartbeat;
  header.message_bytes = 4;
  header.cluster = ClusterId(0x1122334455667788);
  header.group = GroupId(0x0A0B0C0D);
  header.source = ReplicaId(2);
  header.destination = ReplicaId(3);
  header.incarnation = Incarnation{Uuid{sixteen_bytes(0x10)}, 5};
  header.configuration = 6;
  header.ballot = Ballot(7, ReplicaId(2));
  header.message_id = 8;
  header.commit = Slot(9);
  header.probe = Probe(10);
  return header;
}

const Bytes example_payload = bytes_of(std::string_view("abcd"));

std::vector<std::byte> packet_of(const PacketHeader& header, Bytes payload) {
  std::vector<std::byte> packet(sizeof(PacketHeader) + payload.size());
  store(packet, header);
  copy(MutableBytes(packet).subspan(sizeof(PacketHeader)), payload);
  return packet;
}

std::vector<std::byte> sealed(const PacketHeader& header, Bytes payload = example_payload) {
  return packet_of(seal(header, payload), payload);
}

PacketFault fault_of(Bytes packet) {
  const auto decoded = decode_packet(packet);
  return decoded ? PacketFault::count_ : decoded.error();
}

TEST(Packet, HasGoldenBytes) {
  EXPECT_EQ(to_hex(sealed(example_header())), golden(R"(
      53 59 4e 44 01 09 00 00
      01 00 00 00 c8 75 7e 95
      31 0a c8 92 00 00 00 00
      04 00 00 00 00 00 00 00
      88 77 66 55 44 33 22 11
      0d 0c 0b 0a 02 00 03 00
      10 11 12 13 14 15 16 17
      18 19 1a 1b 1c 1d 1e 1f
      05 00 00 00 00 00 00 00
      06 00 00 00 00 00 00 00
      02 00 07 00 00 00 00 00
      08 00 00 00 00 00 00 00
      09 00 00 00 00 00 00 00
      0a 00 00 00 00 00 00 00
      00 00 00 00 00 00 00 00
      00 00 00 00 00 00 00 00
      61 62 63 64)"));
}

TEST(Packet, ComesBackAsItWasSealed) {
  const auto packet = sealed(example_header());
  const auto decoded = decode_packet(packet);
  ASSERT_TRUE(decoded.has_value()) << name(decoded.error());
  EXPECT_EQ(to_hex(bytes_of(decoded->header)), to_hex(bytes_of(seal(example_header(), example_payload))));
  EXPECT_EQ(to_hex(decoded->payload), to_hex(example_payload));
}

TEST(Packet, MayHaveNoPayload) {
  PacketHeader header = example_header();
  header.message_bytes = 0;
  EXPECT_TRUE(decode_packet(sealed(header, {})).has_value());
}

TEST(Packet, IsRefusedWhenCutAnywhere) {
  const auto packet = sealed(example_header());
  for (std::size_t length = 0; length < packet.size(); ++length) {
    const PacketFault expected = length < sizeof(PacketHeader) ? PacketFault::too_short : PacketFault::bad_fragment;
    EXPECT_EQ(fault_of(Bytes(packet).first(length)), expected) << "length " << length;
  }
}

TEST(Packet, IsRefusedWithBytesBehindIt) {
  auto packet = sealed(example_header());
  packet.push_back(std::byte{0});
  EXPECT_EQ(fault_of(packet), PacketFault::bad_fragment);
}

// Which check notices a damaged byte.
PacketFault fault_of_damage_at(std::size_t byte) {
  if (byte < 4) return PacketFault::bad_magic;
  if (byte < 5) return PacketFault::bad_version;
  return byte < sizeof(PacketHeader) ? PacketFault::bad_header_checksum : PacketFault::bad_payload_checksum;
}

TEST(Packet, IsRefusedWithAnyBitFlipped) {
  const auto packet = sealed(example_header());
  for (std::size_t bit = 0; bit < packet.size() * 8; ++bit) {
    auto flipped = packet;
    flipped[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    EXPECT_EQ(fault_of(flipped), fault_of_damage_at(bit / 8)) << "bit " << bit;
  }
}

TEST(Packet, OfAnotherVersionIsRefusedAsSuch) {
  PacketHeader header = example_header();
  header.version = format_version + 1;
  EXPECT_EQ(fault_of(sealed(header)), PacketFault::bad_version);
}

TEST(Packet, OfEveryKnownTypeIsTaken) {
  PacketHeader header = example_header();
  for (unsigned type = 0; type < 256; ++type) {
    header.type = static_cast<MessageType>(type);
    const PacketFault expected = is_known(header.type) ? PacketFault::count_ : PacketFault::bad_type;
    EXPECT_EQ(fault_of(sealed(header)), expected) << "type " << type;
    EXPECT_EQ(std::string(name(header.type)) != "unknown", is_known(header.type)) << "type " << type;
  }
}

TEST(Packet, WithKeyIdIsRefused) {
  PacketHeader header = example_header();
  header.key_id = 1;
  EXPECT_EQ(fault_of(sealed(header)), PacketFault::bad_reserved);
}

TEST(Packet, WithCreditIsAnAnswerToAClient) {
  for (const bool is_answer : {false, true}) {
    for (const auto type : {MessageType::accept, MessageType::append, MessageType::appended}) {
      PacketHeader header = example_header();
      header.type = type;
      header.source = ReplicaId(is_answer ? 1 : 0);
      header.credit = 1;
      const bool is_allowed = is_answer && is_client_message(type);
      EXPECT_EQ(fault_of(sealed(header)), is_allowed ? PacketFault::count_ : PacketFault::bad_reserved) << name(type);
    }
  }
}

TEST(Packet, WithTagIsRefused) {
  for (std::size_t i = 0; i < 16; ++i) {
    PacketHeader header = example_header();
    header.tag[i] = std::byte{1};
    EXPECT_EQ(fault_of(sealed(header)), PacketFault::bad_reserved) << "byte " << i;
  }
}

struct Fragment {
  std::uint16_t index;
  std::uint16_t total;
  std::uint32_t offset;
  std::uint32_t message_bytes;
};

PacketFault fault_of(const Fragment& fragment) {
  PacketHeader header = example_header();
  header.fragment = fragment.index;
  header.fragments = fragment.total;
  header.fragment_offset = fragment.offset;
  header.message_bytes = fragment.message_bytes;
  return fault_of(sealed(header));
}

// The payload has four bytes.
TEST(Fragment, IsTakenWhereItFits) {
  EXPECT_EQ(fault_of(Fragment{0, 1, 0, 4}), PacketFault::count_);
  EXPECT_EQ(fault_of(Fragment{0, 2, 0, 8}), PacketFault::count_);
  EXPECT_EQ(fault_of(Fragment{1, 2, 4, 8}), PacketFault::count_);
  EXPECT_EQ(fault_of(Fragment{1, 3, 4, 12}), PacketFault::count_);
}

TEST(Fragment, OfNoneIsRefused) {
  EXPECT_EQ(fault_of(Fragment{0, 0, 0, 4}), PacketFault::bad_fragment);
}

TEST(Fragment, BeyondTheTotalIsRefused) {
  EXPECT_EQ(fault_of(Fragment{1, 1, 4, 8}), PacketFault::bad_fragment);
  EXPECT_EQ(fault_of(Fragment{65535, 2, 4, 8}), PacketFault::bad_fragment);
}

TEST(Fragment, BeyondTheMessageIsRefused) {
  EXPECT_EQ(fault_of(Fragment{1, 2, 5, 8}), PacketFault::bad_fragment);
  EXPECT_EQ(fault_of(Fragment{1, 2, 0xFFFFFFFF, 8}), PacketFault::bad_fragment);
  EXPECT_EQ(fault_of(Fragment{1, 3, 9, 12}), PacketFault::bad_fragment) << "not only the last one";
  EXPECT_EQ(fault_of(Fragment{1, 3, 0xFFFFFFFF, 12}), PacketFault::bad_fragment);
}

TEST(Fragment, ThatIsTheLastMustReachTheEnd) {
  EXPECT_EQ(fault_of(Fragment{1, 2, 4, 9}), PacketFault::bad_fragment);
}

TEST(Fragment, ThatIsTheOnlyOneMustBeTheWholeMessage) {
  EXPECT_EQ(fault_of(Fragment{0, 1, 0, 5}), PacketFault::bad_fragment);
  EXPECT_EQ(fault_of(Fragment{0, 1, 0, 3}), PacketFault::bad_fragment);
}

TEST(Fragment, ThatIsTheFirstMustStartTheMessage) {
  EXPECT_EQ(fault_of(Fragment{0, 2, 1, 8}), PacketFault::bad_fragment);
  EXPECT_EQ(fault_of(Fragment{1, 3, 0, 12}), PacketFault::bad_fragment);
}

TEST(Fragment, OfAMessageAboveTheLimitIsRefused) {
  EXPECT_EQ(fault_of(Fragment{0, 2, 0, message_bytes_max}), PacketFault::count_);
  EXPECT_EQ(fault_of(Fragment{0, 2, 0, message_bytes_max + 1}), PacketFault::bad_fragment);
}

TEST(PacketFaultName, IsItsOwnForEachReason) {
  std::set<std::string> names;
  for (unsigned fault = 0; fault < static_cast<unsigned>(PacketFault::count_); ++fault) {
    names.insert(name(static_cast<PacketFault>(fault)));
  }
  EXPECT_EQ(names.size(), static_cast<std::size_t>(PacketFault::count_));
  EXPECT_FALSE(names.contains("unknown"));
}

}  // namespace
}  // namespace synod::wire
