// How often a leader repeats itself.
#include <gtest/gtest.h>

#include "tests/consensus/driver.h"

namespace synod::consensus::testing {
namespace {

TEST(Resend, an_accept_that_waits_for_a_slow_disk_is_repeated_ever_more_rarely) {
  Driver driver;
  driver.lead();
  driver.propose(7);
  // The peers are alive, and their disks take a third of a second. At a steady pace there would be 30 repetitions.
  for (int i = 0; i < 30; ++i) {
    driver.pass(10'000);
    driver.hear(2, driver.engine().promised(), wire::HeartbeatAnswer{});
  }
  ASSERT_TRUE(driver.engine().is_leader());
  EXPECT_GE(driver.engine().counters().resends, 2U * 3U);
  EXPECT_LE(driver.engine().counters().resends, 2U * 5U);
}

}  // namespace
}  // namespace synod::consensus::testing
