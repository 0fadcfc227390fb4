#include "wire/record.h"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

#include "base/crc32c.h"
#include "tests/wire/golden.h"

namespace synod::wire {
namespace {

const Bytes example_body = bytes_of(std::string_view("123456789"));

RecordHeader example_header() {
  RecordHeader header;
  header.slot = Slot(0x0102030405060708);
  header.ballot = Ballot(9, ReplicaId(3));
  header.body_bytes = static_cast<std::uint32_t>(example_body.size());
  header.body_checksum = Checksum(crc32c(example_body));
  header.kind = RecordKind::chosen;
  return header;
}

std::vector<std::byte> record_of(const RecordHeader& header, Bytes body) {
  std::vector<std::byte> record(sizeof(RecordHeader) + body.size());
  store(record, header);
  copy(MutableBytes(record).subspan(sizeof(RecordHeader)), body);
  return record;
}

// `true` if it was taken.
std::expected<bool, RecordFault> verdict(Bytes record) {
  const auto decoded = decode_record(record);
  if (!decoded) return std::unexpected(decoded.error());
  return true;
}

TEST(Record, HasGoldenBytes) {
  EXPECT_EQ(to_hex(record_of(seal(example_header()), example_body)), golden(R"(
      08 07 06 05 04 03 02 01
      03 00 09 00 00 00 00 00
      09 00 00 00 83 92 06 e3
      02 00 00 00 ef a8 29 c0
      31 32 33 34 35 36 37 38
      39)"));
}

TEST(Record, ComesBackAsItWasSealed) {
  const auto record = record_of(seal(example_header()), example_body);
  const auto decoded = decode_record(record);
  ASSERT_TRUE(decoded.has_value()) << name(decoded.error());
  EXPECT_EQ(to_hex(bytes_of(decoded->header)), to_hex(bytes_of(seal(example_header()))));
  EXPECT_EQ(to_hex(decoded->body), to_hex(example_body));
  EXPECT_EQ(decoded->bytes(), record.size());
}

TEST(Record, IsCheckedByTheChecksumOfTheWholeWhereThatIsKnown) {
  const auto record = record_of(seal(example_header()), example_body);
  EXPECT_TRUE(decode_record(record, Checksum(crc32c(record))).has_value());
  RecordHeader header = example_header();
  header.body_checksum = Checksum(header.body_checksum.value() ^ 1);
  const auto wrong = record_of(seal(header), example_body);
  const auto decoded = decode_record(wrong, Checksum(crc32c(wrong)));
  ASSERT_FALSE(decoded.has_value());
  EXPECT_EQ(decoded.error(), RecordFault::bad_body_checksum);
}

TEST(Record, WithBytesBehindItIsCheckedByItsOwnChecksum) {
  auto record = record_of(seal(example_header()), example_body);
  record.resize(record.size() + 8);
  EXPECT_TRUE(decode_record(record, Checksum(crc32c(record))).has_value());
  record[sizeof(RecordHeader)] ^= std::byte{1};
  EXPECT_FALSE(decode_record(record, Checksum(crc32c(record))).has_value());
}

TEST(Record, MayHaveBytesBehindIt) {
  auto record = record_of(seal(example_header()), example_body);
  record.resize(record.size() + 100);
  const auto decoded = decode_record(record);
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(decoded->body.size(), example_body.size());
}

TEST(Record, OfANoopHasAnEmptyBodyWithChecksumZero) {
  RecordHeader header = example_header();
  header.body_bytes = 0;
  header.body_checksum = Checksum(0);
  EXPECT_TRUE(verdict(record_of(seal(header), {})));
}

TEST(Record, IsRefusedWhenCutAnywhere) {
  const auto record = record_of(seal(example_header()), example_body);
  for (std::size_t length = 0; length < record.size(); ++length) {
    EXPECT_EQ(verdict(Bytes(record).first(length)), std::unexpected(RecordFault::too_short)) << "length " << length;
  }
}

TEST(Record, IsRefusedWithAnyBitFlipped) {
  const auto record = record_of(seal(example_header()), example_body);
  for (std::size_t bit = 0; bit < record.size() * 8; ++bit) {
    auto flipped = record;
    flipped[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    const bool in_header = bit / 8 < sizeof(RecordHeader);
    const auto expected = in_header ? RecordFault::bad_header_checksum : RecordFault::bad_body_checksum;
    EXPECT_EQ(verdict(flipped), std::unexpected(expected)) << "bit " << bit;
  }
}

TEST(Record, OfAnUnknownKindIsRefused) {
  for (const unsigned kind : {0U, 9U, 255U}) {
    RecordHeader header = example_header();
    header.kind = static_cast<RecordKind>(kind);
    EXPECT_EQ(verdict(record_of(seal(header), example_body)), std::unexpected(RecordFault::bad_kind)) << "kind " << kind;
  }
}

TEST(Record, OfEveryKnownKindIsTaken) {
  for (const auto kind : {RecordKind::accepted, RecordKind::chosen, RecordKind::promise, RecordKind::members}) {
    RecordHeader header = example_header();
    header.kind = kind;
    EXPECT_TRUE(verdict(record_of(seal(header), example_body))) << "kind " << static_cast<int>(kind);
  }
}

RecordHeader own_header(RecordKind kind, Slot slot, Ballot ballot) {
  return seal({.slot = slot, .ballot = ballot, .kind = kind});
}

TEST(Record, OfTheJournalItselfIsTaken) {
  for (const auto kind : {RecordKind::checkpoint, RecordKind::index, RecordKind::trim, RecordKind::repair}) {
    EXPECT_TRUE(verdict(record_of(own_header(kind, Slot(5), Ballot{}), {}))) << "kind " << static_cast<int>(kind);
  }
  EXPECT_TRUE(verdict(record_of(own_header(RecordKind::checkpoint, Slot{}, Ballot{}), {})));
  EXPECT_TRUE(verdict(record_of(own_header(RecordKind::repair, Slot{}, Ballot{}), {})));
  EXPECT_TRUE(verdict(record_of(own_header(RecordKind::repair, Slot(5), Ballot(9, ReplicaId(3))), {})));
}

TEST(Record, OfTheJournalItselfWithABallotIsRefused) {
  for (const auto kind : {RecordKind::checkpoint, RecordKind::index, RecordKind::trim}) {
    EXPECT_EQ(verdict(record_of(own_header(kind, Slot(5), Ballot(9, ReplicaId(3))), {})), std::unexpected(RecordFault::bad_place))
        << "kind " << static_cast<int>(kind);
  }
}

TEST(Record, OfAnIndexPageOrATrimWithoutASlotIsRefused) {
  for (const auto kind : {RecordKind::index, RecordKind::trim}) {
    EXPECT_EQ(verdict(record_of(own_header(kind, Slot{}, Ballot{}), {})), std::unexpected(RecordFault::bad_place));
  }
}

TEST(Record, OfARepairWithABodyIsRefused) {
  RecordHeader header = example_header();
  header.kind = RecordKind::repair;
  EXPECT_EQ(verdict(record_of(seal(header), example_body)), std::unexpected(RecordFault::bad_length));
}

TEST(Record, WithReservedBytesIsRefused) {
  for (std::size_t i = 0; i < 3; ++i) {
    RecordHeader header = example_header();
    header.zero[i] = 1;
    EXPECT_EQ(verdict(record_of(seal(header), example_body)), std::unexpected(RecordFault::bad_reserved)) << "byte " << i;
  }
}

TEST(Record, WithABodyAboveTheLimitIsRefusedBeforeItIsLookedAt) {
  RecordHeader header = example_header();
  header.body_bytes = body_bytes_max + 1;
  EXPECT_EQ(verdict(record_of(seal(header), example_body)), std::unexpected(RecordFault::bad_length));
  header.body_bytes = body_bytes_max;
  EXPECT_EQ(verdict(record_of(seal(header), example_body)), std::unexpected(RecordFault::too_short));
}

TEST(Record, WithTheChecksumOfAnotherBodyIsRefused) {
  RecordHeader header = example_header();
  header.body_checksum = Checksum(crc32c(bytes_of(std::string_view("987654321"))));
  EXPECT_EQ(verdict(record_of(seal(header), example_body)), std::unexpected(RecordFault::bad_body_checksum));
}

}  // namespace
}  // namespace synod::wire
