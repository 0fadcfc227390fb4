// A few kills in the test suite; SYNOD_KILLS=50 for the long run.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "tests/replica/kill_loop.h"
#include "tests/seed.h"

namespace synod::test {
namespace {

std::string binary;

TEST(KillLoop, every_acknowledged_entry_survives_random_sigkills) {
  const std::uint64_t seed = first_seed();
  const char* kills = std::getenv("SYNOD_KILLS");
  const char* tmp = std::getenv("TMPDIR");
  std::string name = std::string(tmp != nullptr ? tmp : "/var/tmp") + "/synod-kill-XXXXXX";
  ASSERT_NE(::mkdtemp(name.data()), nullptr);
  const auto summary = run_kill_loop(
      {.binary = binary, .directory = name, .seed = seed, .kills = kills != nullptr ? std::stoi(kills) : 8, .verbose = true});
  ASSERT_TRUE(summary.has_value()) << "seed " << seed << ": " << summary.error().text << "; data and logs are in " << name;
  std::filesystem::remove_all(name);
  std::printf("seed %llu: %d kills (%d of the leader), %llu entries acknowledged and read back in order, longest pause %llu ms\n",
              static_cast<unsigned long long>(seed), summary->kills, summary->leader_kills,
              static_cast<unsigned long long>(summary->acknowledged), static_cast<unsigned long long>(summary->gap_ms_max));
  EXPECT_GT(summary->acknowledged, 0U);
}

}  // namespace
}  // namespace synod::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (argc != 2) {
    std::fprintf(stderr, "usage: kill_loop_test PATH_OF_SYNOD\n");
    return 2;
  }
  synod::test::binary = argv[1];
  return RUN_ALL_TESTS();
}
