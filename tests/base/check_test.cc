#include "base/check.h"

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/ids.h"

namespace synod {
namespace {

TEST(Check, SaysNothingWhenTrue) {
  CHECK(true);
  CHECK_EQ(1, 1);
  CHECK_NE(1, 2);
  CHECK_LT(1, 2);
  CHECK_LE(2, 2);
  CHECK_GT(2, 1);
  CHECK_GE(2, 2);
}

TEST(Check, EvaluatesItsArgumentsOnce) {
  int evaluations = 0;
  CHECK_GE(++evaluations, 1);
  EXPECT_EQ(evaluations, 1);
}

TEST(CheckDeathTest, PrintsTheConditionAndThePlace) {
  const int size = 3;
  EXPECT_DEATH(CHECK(size == 4), "synod: bug at .*check_test.cc:[0-9]+: CHECK\\(size == 4\\)");
}

TEST(CheckDeathTest, PrintsBothValues) {
  const int have = 3;
  EXPECT_DEATH(CHECK_EQ(have, 4), "have == 4\\): left 3, right 4");
  EXPECT_DEATH(CHECK_NE(have, 3), "have != 3\\): left 3, right 3");
  EXPECT_DEATH(CHECK_LT(have, -2), "have < -2\\): left 3, right -2");
  EXPECT_DEATH(CHECK_LE(have, 2), "have <= 2\\): left 3, right 2");
  EXPECT_DEATH(CHECK_GT(have, 3), "have > 3\\): left 3, right 3");
  EXPECT_DEATH(CHECK_GE(have, 4), "have >= 4\\): left 3, right 4");
}

TEST(CheckDeathTest, PrintsTheValuesOfIdsAndBallots) {
  EXPECT_DEATH(CHECK_EQ(Slot(5), Slot(6)), "left 5, right 6");
  EXPECT_DEATH(CHECK_LT(Ballot(1, ReplicaId(2)), Ballot(1, ReplicaId(1))), "left 65538, right 65537");
}

TEST(CheckDeathTest, StopsALoadBehindTheEnd) {
  const std::array<std::byte, 7> bytes{};
  EXPECT_DEATH((void)load<std::uint64_t>(bytes), "left 7, right 8");
}

TEST(CheckDeathTest, StopsAStoreBehindTheEnd) {
  std::array<std::byte, 7> bytes{};
  EXPECT_DEATH(store(bytes, std::uint64_t{1}), "left 7, right 8");
}

TEST(Bytes, AreStoredLittleEndian) {
  std::array<std::byte, 4> bytes{};
  store(bytes, std::uint32_t{0x01020304});
  EXPECT_EQ(bytes, (std::array{std::byte{4}, std::byte{3}, std::byte{2}, std::byte{1}}));
  EXPECT_EQ(load<std::uint32_t>(bytes), 0x01020304U);
}

TEST(Bytes, AlignUpGoesToTheNextMultiple) {
  EXPECT_EQ(align_up(0, 8), 0U);
  EXPECT_EQ(align_up(1, 8), 8U);
  EXPECT_EQ(align_up(8, 8), 8U);
  EXPECT_EQ(align_up(4097, 4096), 8192U);
}

TEST(Bytes, AreZeroOnlyWhenAllAre) {
  std::array<std::byte, 5> bytes{};
  EXPECT_TRUE(is_zero(bytes));
  EXPECT_TRUE(is_zero({}));
  for (std::byte& byte : bytes) {
    byte = std::byte{1};
    EXPECT_FALSE(is_zero(bytes));
    byte = std::byte{0};
  }
}

TEST(Result, CarriesTheReasonOfAFault) {
  const Result<int> result = fail("no such directory: make it with `synod format`");
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().text, "no such directory: make it with `synod format`");
}

}  // namespace
}  // namespace synod
