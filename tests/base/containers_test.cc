#include <gtest/gtest.h>

#include <deque>
#include <vector>

#include "base/fixed_vector.h"
#include "base/prng.h"
#include "base/ring.h"
#include "tests/seed.h"

namespace synod {
namespace {

TEST(FixedVector, FillsUpToItsCapacity) {
  FixedVector<int, 3> items;
  EXPECT_TRUE(items.empty());
  for (int i = 1; i <= 3; ++i) {
    EXPECT_EQ(items.room(), static_cast<std::size_t>(4 - i));
    EXPECT_EQ(items.push_back(i * 10), i * 10);
  }
  EXPECT_TRUE(items.full());
  EXPECT_EQ(std::vector<int>(items.begin(), items.end()), (std::vector<int>{10, 20, 30}));
}

TEST(FixedVector, IsEmptyAfterClear) {
  FixedVector<int, 2> items;
  items.push_back(1);
  items.clear();
  EXPECT_TRUE(items.empty());
  EXPECT_EQ(items.begin(), items.end());
  items.push_back(2);
  EXPECT_EQ(items[0], 2);
}

TEST(FixedVectorDeathTest, StopsAtAnItemTooMany) {
  FixedVector<int, 2> items;
  items.push_back(1);
  items.push_back(2);
  EXPECT_DEATH(items.push_back(3), "size_ < capacity_.*left 2, right 2");
}

TEST(FixedVectorDeathTest, StopsAtAnIndexBehindItsEnd) {
  FixedVector<int, 4> items;
  items.push_back(1);
  EXPECT_DEATH((void)items[1], "index < size_.*left 1, right 1");
}

TEST(Ring, GivesBackInOrder) {
  Ring<int> ring(2);
  ring.push(1);
  ring.push(2);
  EXPECT_TRUE(ring.full());
  EXPECT_EQ(ring.front(), 1);
  ring.pop();
  ring.push(3);
  EXPECT_EQ(ring.front(), 2);
  EXPECT_EQ(ring[1], 3);
}

TEST(Ring, BehavesAsADequeWithALimitUnderRandomUse) {
  const std::uint64_t first = first_seed();
  for (std::uint64_t seed = first; seed < first + 50; ++seed) {
    Prng prng(seed);
    Ring<std::uint64_t> ring(prng.between(1, 9));
    std::deque<std::uint64_t> model;
    for (int step = 0; step < 500; ++step) {
      const std::uint64_t value = prng.next();
      if (prng.chance(1, 2) && !ring.full()) {
        ring.push(value);
        model.push_back(value);
      } else if (!ring.empty()) {
        ring.pop();
        model.pop_front();
      }
      ASSERT_EQ(ring.size(), model.size()) << "seed " << seed;
      ASSERT_EQ(ring.full(), model.size() == ring.capacity()) << "seed " << seed;
      if (!model.empty()) {
        ASSERT_EQ(ring.front(), model.front()) << "seed " << seed;
      }
      for (std::size_t i = 0; i < model.size(); ++i) ASSERT_EQ(ring[i], model[i]) << "seed " << seed;
    }
  }
}

TEST(Ring, EqualsAnotherWithTheSameItemsElsewhere) {
  Ring<int> left(3);
  Ring<int> right(3);
  right.push(0);
  right.pop();
  for (const int item : {1, 2, 3}) {
    EXPECT_EQ(left, right);
    left.push(item);
    EXPECT_FALSE(left == right);
    right.push(item);
  }
  EXPECT_EQ(left, right);
}

TEST(Ring, IsAValue) {
  Ring<int> ring(2);
  ring.push(1);
  const Ring<int> copy = ring;
  ring.pop();
  EXPECT_EQ(copy.front(), 1);
  EXPECT_TRUE(ring.empty());
}

TEST(RingDeathTest, StopsAtAnItemTooMany) {
  Ring<int> ring(1);
  ring.push(1);
  EXPECT_DEATH(ring.push(2), "CHECK\\(!full\\(\\)\\)");
}

TEST(RingDeathTest, StopsAtAPopOfNothing) {
  Ring<int> ring(1);
  EXPECT_DEATH(ring.pop(), "CHECK\\(!empty\\(\\)\\)");
}

TEST(RingDeathTest, StopsWithoutCapacity) {
  EXPECT_DEATH(Ring<int>(0), "capacity > 0U.*left 0, right 0");
}

}  // namespace
}  // namespace synod
