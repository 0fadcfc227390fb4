// The state of the log on its way to a replica that is behind a trim.
#include "replica/transfer.h"

#include <gtest/gtest.h>

#include <memory>

namespace synod::replica {
namespace {

constexpr std::uint64_t tick_us = 10'000;

// Found by the simulator (seeds 91, 109 and 149): the one that asks is ahead of the state that was taken for somebody else, and
// behind the trim.
TEST(Transfer, an_old_state_that_is_offered_again_and_again_makes_room_for_a_newer_one) {
  Transfer transfer;
  const auto log = std::make_unique<consensus::LogState>(true);
  std::uint64_t now_us = tick_us;
  transfer.offer(*log, now_us);
  ASSERT_TRUE(transfer.piece(Slot(0), 0, now_us));
  log->begin_load({.applied = Slot(10), .tail = Lsn(20), .chain = {}, .trim = Lsn(5)});
  for (int i = 0; i < 500 && transfer.offered() == Slot(0); ++i, now_us += tick_us) {
    transfer.offer(*log, now_us);
    ASSERT_TRUE(transfer.piece(transfer.offered(), 0, now_us));
  }
  EXPECT_EQ(transfer.offered(), Slot(10));
}

}  // namespace
}  // namespace synod::replica
