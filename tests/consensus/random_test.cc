// Random runs: faults of every kind for a while, then peace, in which the cluster must make progress and agree.
//
// SYNOD_SEED=n replays one run; SYNOD_SEEDS=n does so many instead of the usual number.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/consensus/cluster.h"

namespace synod::consensus::testing {
namespace {

ClusterOptions options_of(std::uint64_t seed) {
  static constexpr struct {
    std::uint16_t members;
    std::size_t phase1;
    std::size_t phase2;
  } shapes[] = {{1, 0, 0}, {3, 0, 0}, {3, 0, 0}, {3, 0, 0}, {5, 0, 0}, {4, 3, 2}, {5, 4, 2}, {3, 2, 2}};
  static constexpr std::size_t windows[] = {2, 4, 16};
  Prng prng(seed ^ 0x5EED);
  const auto& shape = shapes[prng.below(std::size(shapes))];
  return {.seed = seed,
          .members = shape.members,
          .phase1 = shape.phase1,
          .phase2 = shape.phase2,
          .window_slots = windows[prng.below(std::size(windows))],
          .clients = prng.between(1, 4)};
}

World world_of(Prng& prng) {
  World world;
  if (prng.chance(1, 2)) world.loss_per_mille = prng.between(0, 300);
  if (prng.chance(1, 3)) world.accept_loss_per_mille = prng.between(100, 900);
  if (prng.chance(1, 2)) world.repeat_per_mille = prng.between(0, 300);
  if (prng.chance(1, 2)) world.late_per_mille = prng.between(0, 300);
  if (prng.chance(1, 4)) world.no_room_per_mille = prng.between(0, 300);
  if (prng.chance(1, 2)) world.pause_per_mille = prng.between(0, 600);
  if (prng.chance(1, 3)) world.delay_us_max = prng.between(300, 30'000);
  if (prng.chance(1, 3)) world.disk_us_max = prng.between(1'000, 50'000);
  return world;
}

// How many members may lose their disks for good while every quorum survives.
std::size_t disks_to_lose(const ClusterOptions& options) {
  const std::size_t majority = options.members / 2 + 1;
  const std::size_t phase1 = options.phase1 == 0 ? majority : options.phase1;
  const std::size_t phase2 = options.phase2 == 0 ? majority : options.phase2;
  return options.members - std::max(phase1, phase2);
}

// A disk of the budget loses records. One that lost some may lose more, as long as the rest bounds them.
void lose_records(Cluster& cluster, std::size_t member, std::size_t& disks_left) {
  Prng& prng = cluster.prng();
  const bool is_bad = cluster.member(member).has_lost_records;
  if (cluster.member(member).was_formatted_again || (disks_left == 0 && !is_bad)) return;
  cluster.crash(member);
  bool has_lost = false;
  const std::uint64_t kind = is_bad ? 0 : prng.below(4);
  switch (kind) {
    case 0: has_lost = cluster.lose_middle(member); break;
    case 1: has_lost = cluster.lose_tail(member); break;
    default: has_lost = cluster.go_back(member, kind == 2); break;
  }
  if (has_lost && !is_bad) --disks_left;
  if (has_lost && kind > 1) disks_left = 0;  // a second one might be a witness of the first
  if (prng.chance(3, 4)) cluster.start(member);
}

void random_fault(Cluster& cluster, std::size_t& disks_left) {
  Prng& prng = cluster.prng();
  const std::size_t member = prng.below(cluster.size());
  switch (prng.below(14)) {
    case 0:
    case 1: cluster.crash(member); break;
    case 2:
    case 3: cluster.start(member); break;
    case 4: cluster.world = world_of(prng); break;
    case 5: cluster.cut_off(member); break;
    case 6: cluster.cut(member, prng.below(cluster.size())); break;
    case 7:
    case 8: cluster.heal_links(); break;
    case 9: cluster.stall_disk(member); break;
    case 10: cluster.resume_disk(member); break;
    case 11:
    case 12: lose_records(cluster, member, disks_left); break;
    default:
      if (const auto leader = cluster.leader(); leader && prng.chance(1, 2)) return cluster.crash(*leader);
      if (disks_left == 0 || !prng.chance(1, 4) || cluster.member(member).was_formatted_again) break;
      --disks_left;
      cluster.crash(member);
      cluster.format_again(member);
      cluster.start(member);
  }
}

void make_peace(Cluster& cluster) {
  cluster.world = World{};
  cluster.heal_links();
  for (std::size_t member = 0; member < cluster.size(); ++member) {
    cluster.resume_disk(member);
    cluster.start(member);
  }
}

struct Totals {
  std::uint64_t slots = 0;
  std::uint64_t void_slots = 0;
  std::uint64_t elections = 0;
  std::uint64_t reads = 0;
  std::uint64_t stale = 0;
  std::uint64_t bounded = 0;
  std::uint64_t unbounded = 0;
  std::uint64_t repairs = 0;
};

std::string run_one(std::uint64_t seed, Totals& totals) {
  const ClusterOptions options = options_of(seed);
  Cluster cluster(options);
  Prng& prng = cluster.prng();
  std::size_t disks_left = disks_to_lose(options);
  cluster.want(10'000);
  if (prng.chance(1, 2)) cluster.run_for(500'000);  // a quiet start: else faults meet the introductions
  for (std::size_t fault = prng.between(5, 40); fault > 0 && cluster.failure().empty(); --fault) {
    random_fault(cluster, disks_left);
    cluster.run_for(prng.between(1'000, 150'000));
  }
  make_peace(cluster);
  const std::size_t chosen = cluster.oracle().chosen_slots();
  const bool progress = cluster.run_until(5'000'000, [&] { return cluster.oracle().chosen_slots() > chosen + 20; });
  cluster.stop_clients();
  const bool agreed = progress && cluster.run_until(5'000'000, [&] { return cluster.has_converged(); });
  totals.slots += cluster.oracle().chosen_slots();
  totals.void_slots += cluster.void_slots();
  totals.elections += cluster.elections();
  totals.reads += cluster.reads();
  totals.stale += cluster.stale_found();
  totals.bounded += cluster.bounded_starts();
  totals.unbounded += cluster.unbounded_starts();
  totals.repairs += cluster.repairs();
  if (!cluster.failure().empty()) return cluster.failure();
  if (!progress) return "no progress in peace";
  return agreed ? "" : "the members did not come to hold the same log";
}

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(RandomRuns, AgreementAndProgressUnderFaults) {
  Totals totals;
  if (const std::uint64_t seed = number_from("SYNOD_SEED", 0); seed != 0) {
    EXPECT_EQ(run_one(seed, totals), "") << "SYNOD_SEED=" << seed;
    return;
  }
  const std::uint64_t first = number_from("SYNOD_SEED_FIRST", 1);
  const std::uint64_t seeds = number_from("SYNOD_SEEDS", 4000);
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    EXPECT_EQ(run_one(seed, totals), "") << "SYNOD_SEED=" << seed;
  }
  fmt::print("{} runs: {} slots chosen, {} void, {} elections, {} reads\n", seeds, totals.slots, totals.void_slots,
             totals.elections, totals.reads);
  fmt::print("{} stale disks found, {} starts with a bounded doubt, {} without a bound, {} repaired\n", totals.stale,
             totals.bounded, totals.unbounded, totals.repairs);
  // The runs are worth nothing if they do not meet what they are for.
  EXPECT_GT(totals.slots, seeds * 20);
  EXPECT_GT(totals.reads, seeds * 20);
  EXPECT_TRUE(seeds < 100 || totals.void_slots > 0);
  EXPECT_TRUE(seeds < 1000 || (totals.stale > seeds / 100 && totals.bounded > seeds / 100 && totals.repairs > seeds / 100));
}

}  // namespace
}  // namespace synod::consensus::testing
