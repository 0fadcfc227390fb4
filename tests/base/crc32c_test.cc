#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/prng.h"
#include "tests/seed.h"

namespace synod {
namespace {

std::vector<std::byte> repeated(std::size_t count, unsigned value) {
  return std::vector<std::byte>(count, static_cast<std::byte>(value));
}

std::vector<std::byte> random_bytes(Prng& prng, std::size_t count) {
  std::vector<std::byte> bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(prng.next());
  return bytes;
}

// RFC 3720, appendix B.4; the last is the check value of every CRC catalogue.
TEST(Crc32c, EqualsTheVectorsOfRfc3720) {
  std::vector<std::byte> ascending(32);
  for (std::size_t i = 0; i < ascending.size(); ++i) ascending[i] = static_cast<std::byte>(i);
  std::vector<std::byte> descending(ascending.rbegin(), ascending.rend());
  for (const auto function : {&crc32c, &crc32c_portable}) {
    EXPECT_EQ(function(repeated(32, 0x00), 0), 0x8A9136AAU);
    EXPECT_EQ(function(repeated(32, 0xFF), 0), 0x62A8AB43U);
    EXPECT_EQ(function(ascending, 0), 0x46DD794EU);
    EXPECT_EQ(function(descending, 0), 0x113FDB5CU);
    EXPECT_EQ(function(bytes_of(std::string_view("123456789")), 0), 0xE3069283U);
  }
}

TEST(Crc32c, OfNothingIsTheSeed) {
  EXPECT_EQ(crc32c({}), 0U);
  EXPECT_EQ(crc32c({}, 0x12345678), 0x12345678U);
  EXPECT_EQ(crc32c_portable({}, 0x12345678), 0x12345678U);
}

TEST(Crc32c, InstructionEqualsTableAtEveryShortLengthAndAlignment) {
  Prng prng(1);
  const auto bytes = random_bytes(prng, 512);
  for (std::size_t start = 0; start < 8; ++start) {
    for (std::size_t length = 0; length + start <= bytes.size(); ++length) {
      const Bytes part = Bytes(bytes).subspan(start, length);
      ASSERT_EQ(crc32c(part), crc32c_portable(part)) << "start " << start << ", length " << length;
    }
  }
}

// The instruction works in three lanes of at most 1,024 bytes: the lengths around their joints are the ones to doubt.
TEST(Crc32c, InstructionEqualsTableAroundTheLanes) {
  Prng prng(2);
  const auto bytes = random_bytes(prng, std::size_t{4} * 3072);
  for (std::size_t lanes = 1; lanes <= 3; ++lanes) {
    for (std::size_t length = lanes * 3072 - 17; length <= lanes * 3072 + 17; ++length) {
      const Bytes part = Bytes(bytes).first(length);
      ASSERT_EQ(crc32c(part), crc32c_portable(part)) << "length " << length;
    }
  }
}

TEST(Crc32c, InstructionEqualsTableForRandomLengthsAndSeeds) {
  const std::uint64_t first = first_seed();
  for (std::uint64_t seed = first; seed < first + 300; ++seed) {
    Prng prng(seed);
    const auto bytes = random_bytes(prng, prng.below(20000));
    const auto start = static_cast<std::uint32_t>(prng.next());
    ASSERT_EQ(crc32c(bytes, start), crc32c_portable(bytes, start)) << "seed " << seed;
  }
}

TEST(Crc32c, GoesOnFromTheResultOfARandomCut) {
  const std::uint64_t first = first_seed();
  for (std::uint64_t seed = first; seed < first + 100; ++seed) {
    Prng prng(seed);
    const auto bytes = random_bytes(prng, prng.between(1, 10000));
    const std::size_t cut = prng.below(bytes.size() + 1);
    const Bytes all = bytes;
    ASSERT_EQ(crc32c(all.subspan(cut), crc32c(all.first(cut))), crc32c(all)) << "seed " << seed << ", cut " << cut;
  }
}

TEST(Crc32c, OfTwoStretchesFollowsFromTheirOwn) {
  const std::uint64_t first = first_seed();
  for (std::uint64_t seed = first; seed < first + 300; ++seed) {
    Prng prng(seed);
    const auto bytes = random_bytes(prng, prng.below(20000));
    const std::size_t cut = prng.below(bytes.size() + 1);
    const Bytes front = Bytes(bytes).first(cut);
    const Bytes back = Bytes(bytes).subspan(cut);
    for (const auto function : {&crc32c_joined, &crc32c_joined_portable}) {
      ASSERT_EQ(function(crc32c(front), crc32c(back), back.size()), crc32c(bytes)) << "seed " << seed << ", cut " << cut;
    }
  }
}

// The first ones take one step, those behind 2,048 bytes several.
TEST(Crc32c, IsJoinedAtEveryLength) {
  Prng prng(4);
  const auto bytes = random_bytes(prng, 5000);
  for (std::size_t length = 0; length <= bytes.size(); ++length) {
    const Bytes back = Bytes(bytes).first(length);
    ASSERT_EQ(crc32c_joined(0x12345678, crc32c(back), length), crc32c(back, 0x12345678)) << "length " << length;
  }
}

TEST(Crc32c, NoticesEverySingleBit) {
  Prng prng(3);
  auto bytes = random_bytes(prng, 256);
  const std::uint32_t before = crc32c(bytes);
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    EXPECT_NE(crc32c(bytes), before) << "bit " << bit;
    bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
  }
}

}  // namespace
}  // namespace synod
