#include "base/prng.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

namespace synod {
namespace {

// A seed that a failed run printed must replay on every machine and in every later version: these numbers never change.
// They were computed by a second implementation of the two published algorithms.
TEST(Splitmix64, GivesThePublishedSequence) {
  std::uint64_t state = 1234567;
  EXPECT_EQ(splitmix64(state), 0x599ED017FB08FC85U);
  EXPECT_EQ(splitmix64(state), 0x2C73F08458540FA5U);
  EXPECT_EQ(splitmix64(state), 0x883EBCE5A3F27C77U);
}

TEST(Prng, GivesTheGoldenSequenceOfSeedZero) {
  Prng prng(0);
  EXPECT_EQ(prng.next(), 0x99EC5F36CB75F2B4U);
  EXPECT_EQ(prng.next(), 0xBF6E1F784956452AU);
  EXPECT_EQ(prng.next(), 0x1A5F849D4933E6E0U);
  EXPECT_EQ(prng.next(), 0x6AA594F1262D2D2CU);
  EXPECT_EQ(prng.next(), 0xBBA5AD4A1F842E59U);
}

TEST(Prng, GivesTheGoldenSequenceOfAnotherSeed) {
  Prng prng(1234567);
  EXPECT_EQ(prng.next(), 0x30A3A1C363600467U);
  EXPECT_EQ(prng.next(), 0x19405F0F579929CAU);
  EXPECT_EQ(prng.next(), 0x115BEAAC046DDBD9U);
}

TEST(Prng, IsAValueThatReplaysFromACopy) {
  Prng prng(42);
  (void)prng.next();
  Prng copy = prng;
  EXPECT_EQ(copy, prng);
  EXPECT_EQ(copy.next(), prng.next());
  (void)copy.next();
  EXPECT_NE(copy, prng);
}

TEST(Prng, StaysBelowItsBoundAndReachesEveryValue) {
  Prng prng(7);
  std::array<int, 6> seen{};
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t value = prng.below(seen.size());
    ASSERT_LT(value, seen.size());
    ++seen[value];
  }
  EXPECT_TRUE(std::ranges::all_of(seen, [](int count) { return count > 0; }));
}

TEST(Prng, BetweenIncludesBothEnds) {
  Prng prng(8);
  bool low = false;
  bool high = false;
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t value = prng.between(10, 13);
    ASSERT_GE(value, 10U);
    ASSERT_LE(value, 13U);
    low |= value == 10;
    high |= value == 13;
  }
  EXPECT_TRUE(low && high);
}

TEST(Prng, ChanceIsNeverAtZeroAndAlwaysAtOne) {
  Prng prng(9);
  for (int i = 0; i < 100; ++i) {
    EXPECT_FALSE(prng.chance(0, 10));
    EXPECT_TRUE(prng.chance(10, 10));
  }
}

TEST(PrngDeathTest, HasNoValueBelowZero) {
  Prng prng(1);
  EXPECT_DEATH((void)prng.below(0), "bound > 0U.*left 0, right 0");
}

}  // namespace
}  // namespace synod
