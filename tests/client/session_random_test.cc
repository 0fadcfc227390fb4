// Everything at once, by seed: packets lost, doubled and overtaken, busy leaders, hand-overs and deaths. Each append exactly
// once, completions in order. SYNOD_SEED=N runs one seed.
#include <cstdlib>

#include <fmt/format.h>

#include "tests/client/world.h"

namespace synod::test {
namespace {

WorldOptions options_for(std::uint64_t seed, Prng& prng) {
  WorldOptions options;
  options.seed = seed;
  options.faults.loss_permille = prng.below(4) == 0 ? 0 : prng.below(200);
  options.faults.duplication_permille = prng.below(4) == 0 ? 0 : prng.below(200);
  options.faults.delay_us_max = 30 + prng.below(2000);
  options.leader = ReplicaId(static_cast<std::uint16_t>(1 + prng.below(3)));
  options.session.entries_in_flight_max = 1 + prng.below(300);
  options.session.bytes_in_flight_max = (1U << 20) + 4 + prng.below(1U << 16);
  options.session.entries_per_packet_max = 1 + prng.below(20);
  return options;
}

// Entries of all sizes, some larger than a packet; `done` counts the moves of the cluster that are still to come.
void run_seed(std::uint64_t seed) {
  Prng prng(seed);
  World world(options_for(seed, prng));
  world.cluster.script.busy_permille = prng.below(2) == 0 ? 0 : prng.below(300);
  world.cluster.script.hints = prng.chance(3, 4);
  const std::size_t total = 400;
  std::size_t hand_overs = prng.below(4);
  bool death = prng.chance(1, 2);
  while (world.submitted.size() < total || world.completions.size() < world.submitted.size()) {
    if (world.submitted.size() < total) {
      for (std::uint64_t burst = prng.below(8); burst > 0 && world.submitted.size() < total; --burst) {
        const std::size_t bytes = prng.chance(1, 100) ? prng.below(100'000) : prng.below(300);
        if (!world.append(fmt::format("{} ", world.submitted.size()) + std::string(bytes, 'x'))) break;
      }
    }
    if (hand_overs > 0 && !death && prng.chance(1, 1000)) {
      --hand_overs;
      world.cluster.hand_over(ReplicaId(static_cast<std::uint16_t>(2 + prng.below(2))));
    }
    if (death && world.submitted.size() > total / 2) {
      death = false;
      world.cluster.hand_over(ReplicaId(1));  // so that it is the first one who dies, and the others who lead afterwards
      world.run_for(prng.below(3000));
      world.cluster.kill_leader(ReplicaId(static_cast<std::uint16_t>(2 + prng.below(2))), prng.below(400'000));
      world.run_for(500'000);
    }
    world.step();
    ASSERT_FALSE(world.session.ended()) << name(world.session.end_reason());
  }
  EXPECT_EQ(world.count(client::Outcome::appended), total);
  EXPECT_EQ(world.cluster.log.size(), total);
  world.expect_one_story();
}

TEST(SessionRandom, EachAppendIsInTheLogExactlyOnce) {
  const char* const chosen = std::getenv("SYNOD_SEED");
  const std::uint64_t first = chosen == nullptr ? 1 : std::strtoull(chosen, nullptr, 10);
  const std::uint64_t last = chosen == nullptr ? 60 : first;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}: run with SYNOD_SEED={}", seed, seed));
    ASSERT_NO_FATAL_FAILURE(run_seed(seed));
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace synod::test
