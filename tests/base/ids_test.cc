#include "base/ids.h"

#include <gtest/gtest.h>

#include <limits>
#include <type_traits>

namespace synod {
namespace {

static_assert(!std::is_convertible_v<std::uint64_t, Slot>, "a bare integer is not a slot");
static_assert(!std::is_convertible_v<Slot, std::uint64_t>, "a slot is not a bare integer");
static_assert(!std::is_constructible_v<Slot, Lsn>, "a position in the log is not a slot");

TEST(StrongId, CountsAndMeasuresDistance) {
  Slot slot(7);
  EXPECT_EQ((slot + 3).value(), 10U);
  EXPECT_EQ((slot - 3).value(), 4U);
  EXPECT_EQ(Slot(10) - slot, 3U);
  EXPECT_EQ(++slot, Slot(8));
  EXPECT_LT(Slot(8), Slot(9));
}

TEST(StrongId, OfSixteenBitsStaysInSixteenBits) {
  static_assert(std::is_same_v<decltype(ReplicaId(1).value()), std::uint16_t>);
  EXPECT_EQ((ReplicaId(65535) + 1).value(), 0U);
}

TEST(Ballot, OrdersByRoundFirst) {
  EXPECT_LT(Ballot(1, ReplicaId(7)), Ballot(2, ReplicaId(1)));
  EXPECT_LT(Ballot(1, ReplicaId(65535)), Ballot(2, ReplicaId(0)));
}

TEST(Ballot, OrdersByReplicaWithinARound) {
  EXPECT_LT(Ballot(3, ReplicaId(1)), Ballot(3, ReplicaId(2)));
  EXPECT_EQ(Ballot(3, ReplicaId(2)), Ballot(3, ReplicaId(2)));
}

TEST(Ballot, NoneIsBelowEveryBallotThatWasUsed) {
  EXPECT_TRUE(Ballot().is_none());
  EXPECT_FALSE(Ballot(0, ReplicaId(1)).is_none());
  EXPECT_LT(Ballot(), Ballot(0, ReplicaId(1)));
}

TEST(Ballot, PacksRoundAboveReplica) {
  const Ballot ballot(0x123456789A, ReplicaId(0xBEEF));
  EXPECT_EQ(ballot.value(), 0x123456789ABEEFU);
  EXPECT_EQ(Ballot::from_packed(ballot.value()), ballot);
  EXPECT_EQ(ballot.round(), 0x123456789AU);
  EXPECT_EQ(ballot.replica(), ReplicaId(0xBEEF));
}

TEST(Ballot, HoldsTheHighestRound) {
  const Ballot ballot(Ballot::round_max, ReplicaId(65535));
  EXPECT_EQ(ballot.round(), Ballot::round_max);
  EXPECT_EQ(ballot.value(), std::numeric_limits<std::uint64_t>::max());
}

TEST(Uuid, IsNoneOnlyWhenAllBytesAreZero) {
  EXPECT_TRUE(Uuid{}.is_none());
  for (std::size_t i = 0; i < 16; ++i) {
    Uuid uuid;
    uuid.bytes[i] = std::byte{1};
    EXPECT_FALSE(uuid.is_none()) << "byte " << i;
  }
}

TEST(Incarnation, OfTheSameDiskIsOrderedByOpenCount) {
  Uuid disk;
  disk.bytes[0] = std::byte{9};
  EXPECT_LT((Incarnation{disk, 1}), (Incarnation{disk, 2}));
  EXPECT_NE((Incarnation{disk, 1}), (Incarnation{Uuid{}, 1}));
}

}  // namespace
}  // namespace synod
