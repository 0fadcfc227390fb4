#include "wire/client.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/wire/golden.h"

namespace synod::wire {
namespace {

// Struct -> golden bytes, and golden bytes -> gateway -> the same bytes; no other length and no reserved byte is taken.
template <class T>
void expect_format(const T& value, std::string_view expected) {
  EXPECT_EQ(to_hex(bytes_of(value)), golden(expected));
  const auto bytes = from_hex(expected);
  const auto decoded = decode_client<T>(bytes);
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(to_hex(bytes_of(*decoded)), golden(expected));
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(decode_client<T>(Bytes(bytes).first(length)).has_value()) << "length " << length;
  }
  auto longer = bytes;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(decode_client<T>(longer).has_value());
  if constexpr (requires { value.zero; }) {
    for (std::size_t i = 0; i < sizeof(value.zero); ++i) {
      auto reserved = bytes;
      reserved[reserved.size() - 1 - i] = std::byte{1};
      EXPECT_FALSE(decode_client<T>(reserved).has_value()) << "reserved byte " << i << " from the end";
    }
  }
}

TEST(ClientFormat, OfOpenSession) {
  expect_format(OpenSession{1}, "01 00 00 00 00 00 00 00");
}

TEST(ClientFormat, OfSessionOpened) {
  expect_format(SessionOpened{1, SessionId(0x70002)}, "01 00 00 00 00 00 00 00 02 00 07 00 00 00 00 00");
}

TEST(ClientFormat, OfAppended) {
  expect_format(Appended{SessionId(0x70002), Sequence(3), Lsn(4), 5}, R"(
      02 00 07 00 00 00 00 00
      03 00 00 00 00 00 00 00
      04 00 00 00 00 00 00 00
      05 00 00 00 00 00 00 00)");
}

TEST(ClientFormat, OfAnEarlyAnswer) {
  expect_format(Appended{SessionId(0x70002), Sequence(3), Lsn(4), 5, AckLevel::leader}, R"(
      02 00 07 00 00 00 00 00
      03 00 00 00 00 00 00 00
      04 00 00 00 00 00 00 00
      05 00 00 00 02 00 00 00)");
}

TEST(ClientFormat, OfAnAnswerWithALevelThatNobodyKnowsIsRefused) {
  for (unsigned level = 0; level < 256; ++level) {
    const Appended appended{SessionId(0x70002), Sequence(3), Lsn(4), 5, static_cast<AckLevel>(level)};
    EXPECT_EQ(decode_appended(bytes_of(appended)).has_value(), level < ack_levels) << level;
  }
}

TEST(AckLevels, HaveNamesThatComeBack) {
  for (const char* const text : {"quorum", "memory", "leader", "one", "all"}) {
    const auto level = ack_level_of(text);
    ASSERT_TRUE(level.has_value()) << text;
    EXPECT_STREQ(name(*level), text);
  }
  EXPECT_FALSE(ack_level_of("").has_value());
  EXPECT_FALSE(ack_level_of("Quorum").has_value());
  EXPECT_STREQ(name(static_cast<AckLevel>(5)), "unknown");
}

TEST(AckLevels, AnAnswerSatisfiesWhoAskedForItAndAFinalOneEverybodyWhoAskedForLess) {
  using enum AckLevel;
  for (const AckLevel asked : {quorum, memory, leader, one, all}) {
    for (const AckLevel met : {quorum, memory, leader, one, all}) {
      const bool expected = met == asked || met == all || (met == quorum && asked != all);
      EXPECT_EQ(satisfies(met, asked), expected) << name(met) << " for " << name(asked);
    }
  }
}

TEST(ClientFormat, OfRefused) {
  expect_format(Refused{1, SessionId(0x70002), Sequence(3), ReplicaId(2), RefusalReason::gap}, R"(
      01 00 00 00 00 00 00 00
      02 00 07 00 00 00 00 00
      03 00 00 00 00 00 00 00
      02 00 04 00 00 00 00 00)");
}

TEST(ClientFormat, OfTail) {
  expect_format(Tail{1}, "01 00 00 00 00 00 00 00");
}

TEST(ClientFormat, OfTailAnswer) {
  expect_format(TailAnswer{1, Lsn(2)}, "01 00 00 00 00 00 00 00 02 00 00 00 00 00 00 00");
}

TEST(ClientFormat, OfRead) {
  expect_format(Read{1, Lsn(2), Lsn(3), 4}, R"(
      01 00 00 00 00 00 00 00
      02 00 00 00 00 00 00 00
      03 00 00 00 00 00 00 00
      04 00 00 00 00 00 00 00)");
}

TEST(ClientFormat, OfReadAnswer) {
  expect_format(ReadAnswer{1, Lsn(2), Lsn(3), 4}, R"(
      01 00 00 00 00 00 00 00
      02 00 00 00 00 00 00 00
      03 00 00 00 00 00 00 00
      04 00 00 00 00 00 00 00)");
}

TEST(ClientFormat, OfTrim) {
  expect_format(Trim{1, Lsn(2)}, "01 00 00 00 00 00 00 00 02 00 00 00 00 00 00 00");
}

TEST(ClientFormat, OfTrimAnswer) {
  expect_format(TrimAnswer{1, Lsn(2)}, "01 00 00 00 00 00 00 00 02 00 00 00 00 00 00 00");
}

TEST(ClientFormat, OfStatus) {
  expect_format(Status{1}, "01 00 00 00 00 00 00 00");
}

TEST(ClientFormat, OfStatusAnswer) {
  const StatusAnswer answer{1,
                            Ballot(2, ReplicaId(3)),
                            Slot(4),
                            Slot(5),
                            Lsn(6),
                            7,
                            8,
                            9,
                            10,
                            11,
                            12,
                            13,
                            14,
                            15,
                            Lsn(16),
                            17,
                            18,
                            19,
                            20,
                            21,
                            22,
                            ReplicaId(1),
                            ReplicaId(2),
                            3,
                            Role::leader,
                            1,
                            1,
                            DoubtKind::unbounded,
                            1,
                            1,
                            23,
                            1,
                            1};
  expect_format(answer, R"(
      01 00 00 00 00 00 00 00
      03 00 02 00 00 00 00 00
      04 00 00 00 00 00 00 00
      05 00 00 00 00 00 00 00
      06 00 00 00 00 00 00 00
      07 00 00 00 00 00 00 00
      08 00 00 00 00 00 00 00
      09 00 00 00 00 00 00 00
      0a 00 00 00 00 00 00 00
      0b 00 00 00 00 00 00 00
      0c 00 00 00 00 00 00 00
      0d 00 00 00 00 00 00 00
      0e 00 00 00 00 00 00 00
      0f 00 00 00 00 00 00 00
      10 00 00 00 00 00 00 00
      11 00 00 00 00 00 00 00
      12 00 00 00 00 00 00 00
      13 00 00 00 00 00 00 00
      14 00 00 00 15 00 00 00
      16 00 00 00 01 00 02 00
      03 00 02 01 01 02 01 01
      17 00 00 00 01 01 00 00)");
}

constexpr std::string_view golden_append = R"(
    02 00 07 00 00 00 00 00
    03 00 00 00 00 00 00 00
    02 00 00 00 00 00 00 00
    02 00 00 00 61 62
    01 00 00 00 63)";

constexpr std::string_view golden_read_answer = R"(
    01 00 00 00 00 00 00 00
    02 00 00 00 00 00 00 00
    05 00 00 00 00 00 00 00
    02 00 00 00 00 00 00 00
    02 00 00 00 61 62
    01 00 00 00 63)";

// The golden append with another header.
template <class Change>
std::vector<std::byte> changed_append(Change change) {
  auto bytes = from_hex(golden_append);
  auto header = load<Append>(bytes);
  change(header);
  store(bytes, header);
  return bytes;
}

// A reason of 0 says that it was taken.
RefusalReason refusal_of(Bytes append) {
  const auto decoded = decode_append(append);
  return decoded ? RefusalReason{} : decoded.error();
}

TEST(AppendFormat, HasGoldenBytes) {
  EXPECT_EQ(to_hex(bytes_of(Append{SessionId(0x70002), Sequence(3), 2})), to_hex(Bytes(from_hex(golden_append)).first(24)));
  const auto bytes = from_hex(golden_append);
  const auto decoded = decode_append(bytes);
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(decoded->header.session, SessionId(0x70002));
  EXPECT_EQ(decoded->header.first, Sequence(3));
  EXPECT_EQ(decoded->header.count, 2U);
  const EntrySplit first = split_entry(decoded->entries);
  EXPECT_EQ(to_hex(first.payload), golden("61 62"));
  EXPECT_EQ(to_hex(split_entry(first.rest).payload), golden("63"));
}

TEST(AppendFormat, IsRefusedWhenCutAnywhere) {
  const auto bytes = from_hex(golden_append);
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_EQ(refusal_of(Bytes(bytes).first(length)), RefusalReason::malformed) << "length " << length;
  }
}

TEST(AppendFormat, IsRefusedWithBytesBehindIt) {
  auto bytes = from_hex(golden_append);
  bytes.push_back(std::byte{0});
  EXPECT_EQ(refusal_of(bytes), RefusalReason::malformed);
}

TEST(AppendFormat, WithoutSessionIsRefused) {
  EXPECT_EQ(refusal_of(changed_append([](auto& append) { append.session = SessionId{}; })), RefusalReason::malformed);
}

TEST(AppendFormat, WithSequenceZeroIsRefused) {
  EXPECT_EQ(refusal_of(changed_append([](auto& append) { append.first = Sequence{}; })), RefusalReason::malformed);
}

TEST(AppendFormat, WithAWrongCountIsRefused) {
  for (const std::uint32_t count : {0U, 1U, 3U, 0xFFFFFFFFU}) {
    EXPECT_EQ(refusal_of(changed_append([count](auto& append) { append.count = count; })), RefusalReason::malformed)
        << "count " << count;
  }
}

TEST(AppendFormat, OfNothingIsRefused) {
  EXPECT_EQ(refusal_of(bytes_of(Append{SessionId(1), Sequence(1), 0})), RefusalReason::malformed);
}

TEST(AppendFormat, WithReservedBytesIsRefused) {
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(refusal_of(changed_append([i](auto& append) { append.zero[i] = 1; })), RefusalReason::malformed) << "byte " << i;
  }
}

TEST(AppendFormat, CarriesItsLevel) {
  for (const unsigned level : {0U, 1U, 2U, 3U, 4U}) {
    EXPECT_EQ(refusal_of(changed_append([level](auto& append) { append.ack = static_cast<AckLevel>(level); })), RefusalReason{})
        << "level " << level;
  }
}

TEST(AppendFormat, WithAnAckLevelThatNobodyKnowsIsUnsupported) {
  for (const unsigned level : {5U, 6U, 127U, 255U}) {
    EXPECT_EQ(refusal_of(changed_append([level](auto& append) { append.ack = static_cast<AckLevel>(level); })),
              RefusalReason::unsupported)
        << "level " << level;
  }
}

std::vector<std::byte> append_of_one(std::size_t payload_bytes) {
  std::vector<std::byte> bytes(sizeof(Append) + entry_header_bytes + payload_bytes);
  store(bytes, Append{SessionId(1), Sequence(1), 1});
  store(MutableBytes(bytes).subspan(sizeof(Append)), static_cast<std::uint32_t>(payload_bytes));
  return bytes;
}

TEST(AppendFormat, OfTheLargestEntryIsTaken) {
  EXPECT_EQ(refusal_of(append_of_one(entry_bytes_max)), RefusalReason{});
}

TEST(AppendFormat, OfALargerEntryIsTooLarge) {
  EXPECT_EQ(refusal_of(append_of_one(entry_bytes_max + 1)), RefusalReason::too_large);
}

TEST(ReadAnswerFormat, GivesBackItsEntries) {
  const auto bytes = from_hex(golden_read_answer);
  const auto decoded = decode_read_answer(bytes);
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(decoded->header.from, Lsn(2));
  EXPECT_EQ(decoded->header.tail, Lsn(5));
  EXPECT_EQ(to_hex(split_entry(decoded->entries).payload), golden("61 62"));
}

TEST(ReadAnswerFormat, MayHaveNoEntries) {
  EXPECT_TRUE(decode_read_answer(bytes_of(ReadAnswer{1, Lsn(2), Lsn(2)})).has_value());
}

TEST(ReadAnswerFormat, IsRefusedWhenCutAnywhere) {
  const auto bytes = from_hex(golden_read_answer);
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(decode_read_answer(Bytes(bytes).first(length)).has_value()) << "length " << length;
  }
}

TEST(ReadAnswerFormat, WithReservedBytesIsRefused) {
  auto bytes = from_hex(golden_read_answer);
  bytes[sizeof(ReadAnswer) - 1] = std::byte{1};
  EXPECT_FALSE(decode_read_answer(bytes).has_value());
}

TEST(RefusalReasonName, IsKnownForEachReason) {
  for (unsigned reason = 1; reason <= 9; ++reason) EXPECT_STRNE(name(static_cast<RefusalReason>(reason)), "unknown");
  EXPECT_STREQ(name(static_cast<RefusalReason>(200)), "unknown");
}

}  // namespace
}  // namespace synod::wire
