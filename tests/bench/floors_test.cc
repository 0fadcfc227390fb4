// The floors that a report is compared with: where a disk or the cores are away for all of the time, that is no floor of nothing.
#include <gtest/gtest.h>

#include "bench/floor_device.h"
#include "tests/bench/sample_report.h"

namespace synod::bench {
namespace {

TEST(DeviceFloor, HasARoundOfEachMethodHoweverShortTheTime) {
  const TemporaryDirectory directory;
  const auto floor = measure_device_floor({.directory = directory.root(), .seconds_per_method = 0});
  ASSERT_TRUE(floor) << floor.error().text;
  ASSERT_FALSE(floor->methods.empty());
  for (const FloorTime& time : floor->methods) {
    EXPECT_GE(time.rounds, 1U) << time.method;
    EXPECT_GT(time.p50_us, 0) << time.method;
  }
}

}  // namespace
}  // namespace synod::bench
