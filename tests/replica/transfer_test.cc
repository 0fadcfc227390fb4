// The state of the log on its way to a replica that is behind a trim.
#include "replica/transfer.h"

#include <gtest/gtest.h>

#include <vector>

namespace synod::replica {
namespace {

constexpr std::uint64_t tick_us = 10'000;

// Found by the simulator (seeds 91, 109 and 149): the one that asks is ahead of the state that was taken for somebody else, and
// behind the trim.
TEST(Transfer, an_old_state_that_is_offered_again_and_again_makes_room_for_a_newer_one) {
  Transfer transfer;
  const std::vector<std::byte> state(100);
  std::uint64_t now_us = tick_us;
  transfer.offer(state, Slot(10), now_us);
  for (int i = 0; i < 500 && transfer.is_busy(now_us); ++i, now_us += tick_us) ASSERT_TRUE(transfer.piece(Slot(10), 0, now_us));
  EXPECT_FALSE(transfer.is_busy(now_us));
}

}  // namespace
}  // namespace synod::replica
