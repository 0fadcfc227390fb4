#include "dataplane/lcore.h"

#include <thread>

#include <gtest/gtest.h>
#include <sched.h>

#include "dataplane/clock.h"

namespace synod::dataplane {
namespace {

TEST(Lcore, AThreadRunsOnTheCoreItIsPinnedTo) {
  for (const unsigned core : allowed_cores()) {
    std::thread([core] {
      const auto pinned = pin_to_core(core);
      ASSERT_TRUE(pinned) << pinned.error().text;
      EXPECT_EQ(::sched_getcpu(), static_cast<int>(core));
      EXPECT_EQ(allowed_cores(), std::vector<unsigned>{core});
    }).join();
  }
}

TEST(Lcore, ACoreThatDoesNotExistIsRefused) {
  for (const unsigned core : {1023U, 100'000U}) {
    const auto pinned = pin_to_core(core);
    ASSERT_FALSE(pinned);
    EXPECT_NE(pinned.error().text.find("choose one of the cores"), std::string::npos);
  }
}

TEST(IdlePolicy, TextRoundTripsAndAnythingElseIsRefused) {
  for (const IdlePolicy policy : {IdlePolicy::spin, IdlePolicy::yield, IdlePolicy::sleep}) {
    EXPECT_EQ(parse_idle_policy(to_string(policy)).value(), policy);
  }
  EXPECT_EQ(parse_idle_policy("Spin").error().text, "'Spin' is no idle policy: write spin, yield or sleep");
}

TEST(IdlePolicy, EveryPolicyReturnsFromIdlePolls) {
  for (const IdlePolicy policy : {IdlePolicy::spin, IdlePolicy::yield, IdlePolicy::sleep}) {
    std::thread([policy] {
      Idler idler(policy);
      const std::uint64_t end_ns = now_ns() + 1'000'000;
      while (now_ns() < end_ns) idler.idle(false);
      idler.idle(true);
    }).join();
  }
}

}  // namespace
}  // namespace synod::dataplane
