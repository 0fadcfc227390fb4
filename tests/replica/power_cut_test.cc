// Power cuts of whole clusters: clients append over a bad network, some or all disks lose power at any moment, what is left of
// them starts again. Nothing acknowledged may be lost, nothing may be there twice, no promise and no vote forgotten.
//
// SYNOD_TEST_SEED=N starts at that seed; SYNOD_TEST_RUNS=N says how many.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/replica/clients.h"
#include "tests/seed.h"

namespace synod::replica::test {
namespace {

std::uint64_t runs(std::uint64_t standard) {
  const char* text = std::getenv("SYNOD_TEST_RUNS");
  return text == nullptr ? standard : std::stoull(text);
}

NetworkFaults random_faults(Prng& prng) {
  NetworkFaults faults;
  if (prng.chance(3, 4)) faults.lost_permille = prng.below(80);
  if (prng.chance(3, 4)) faults.doubled_permille = prng.below(80);
  faults.delay_us_max = faults.delay_us_min + prng.below(600);
  return faults;
}

// Asks for the tail again and again: it never goes back, and covers what was acknowledged before the question.
class TailWatch {
 public:
  explicit TailWatch(World& world) : world_(world), client_(world.add_client()) {}

  void poll() {
    client::Call& call = client_.session().call();
    if (call.waiting()) return;
    if (asked_ && call.state() == client::CallState::answered) {
      EXPECT_GE(call.tail(), least_) << "a tail that does not cover what was acknowledged before, or goes back";
      last_ = std::max(last_, call.tail());
      ++answers_;
    }
    least_ = last_;
    for (const auto& client : world_.clients) least_ = std::max(least_, client->acknowledged());
    call.start_tail(client_.session().next_request(), world_.cluster.network.now_us, 300'000);
    asked_ = true;
  }
  [[nodiscard]] Client& client() { return client_; }
  [[nodiscard]] std::size_t answers() const { return answers_; }

 private:
  World& world_;
  Client& client_;
  bool asked_ = false;
  Lsn last_;
  Lsn least_;
  std::size_t answers_ = 0;
};

struct Totals {
  std::size_t cluster_cuts = 0;
  std::size_t node_cuts = 0;
  std::size_t acknowledged = 0;
  std::size_t unknown = 0;
  std::size_t tails = 0;
};

class PowerCutRun {
 public:
  explicit PowerCutRun(std::uint64_t seed) : prng_(seed), world_(options(seed, prng_)), watch_(world_) {
    for (std::uint64_t i = prng_.between(1, 3); i > 0; --i) {
      writers_.push_back(&world_.add_client(prng_.chance(1, 3) ? prng_.between(20'000, 400'000) : 0));
    }
  }

  void run(Totals& totals) {
    for (std::uint64_t cuts = prng_.between(3, 6); cuts > 0; --cuts) {
      world_.cluster.network.faults = random_faults(prng_);
      for (std::size_t place = 0; place < world_.cluster.size(); ++place) {
        world_.cluster.set_late_permille(place, prng_.chance(1, 2) ? 0 : prng_.below(995));
      }
      work(prng_.chance(1, 4) ? prng_.below(30'000) : prng_.between(30'000, 200'000));
      if (::testing::Test::HasFatalFailure()) return;
      cut(totals);
      if (::testing::Test::HasFailure()) return;
    }
    heal(totals);
  }

 private:
  static ClusterOptions options(std::uint64_t seed, Prng& prng) {
    ClusterOptions options{.seed = seed};
    options.replicas = 3;
    if (prng.chance(1, 5))
      options.replicas = 5;
    else if (prng.chance(1, 6))
      options.replicas = 1;
    options.window_slots = prng.between(2, 24);
    options.block_bytes_target = prng.chance(1, 2) ? 4096U : 16U << 10;
    options.writes_in_flight = static_cast<std::uint32_t>(prng.between(1, 4));
    return options;
  }

  void step() {
    world_.step();
    watch_.poll();
  }

  void work(std::uint64_t span_us) {
    const std::uint64_t end_us = world_.cluster.network.now_us + span_us;
    while (world_.cluster.network.now_us < end_us) {
      for (Client* writer : writers_) {
        if (writer->appends().size() > 1500 || !prng_.chance(1, 8)) continue;
        for (std::uint64_t burst = prng_.between(1, 6); burst > 0; --burst) {
          const std::size_t bytes = prng_.chance(1, 60) ? prng_.below(30'000) : prng_.below(300);
          std::string payload = fmt::format("{} ", entries_++) + std::string(bytes, 'x');
          if (!writer->append(std::move(payload))) break;
        }
      }
      step();
    }
  }

  void cut(Totals& totals) {
    Cluster& cluster = world_.cluster;
    const bool all = prng_.chance(3, 4);
    const std::size_t victim = prng_.below(cluster.size());
    for (std::size_t place = 0; place < cluster.size(); ++place) {
      if (all || place == victim) cluster.cut_power(place);
    }
    ++(all ? totals.cluster_cuts : totals.node_cuts);
    // They come back one by one, some so late that the others have elected a leader.
    for (std::size_t place = 0; place < cluster.size(); ++place) {
      if (cluster.is_up(place)) continue;
      if (prng_.chance(1, 3)) work(prng_.below(80'000));
      cluster.start(place);
      if (::testing::Test::HasFailure()) return;
      // Sometimes it goes again at once, in the middle of its first steps.
      if (!prng_.chance(1, 6)) continue;
      work(prng_.below(3'000));
      cluster.cut_power(place);
      cluster.start(place);
      if (::testing::Test::HasFailure()) return;
    }
  }

  void heal(Totals& totals) {
    Cluster& cluster = world_.cluster;
    cluster.network.faults = {};
    for (std::size_t place = 0; place < cluster.size(); ++place) cluster.set_late_permille(place, 0);
    const auto finished = [&] {
      watch_.poll();
      return cluster.has_settled() && std::ranges::all_of(writers_, [](Client* writer) { return writer->is_idle(); });
    };
    ASSERT_TRUE(world_.run_until(finished)) << "the healed cluster does not come to rest";
    cluster.expect_equal_logs();
    ASSERT_TRUE(world_.run_until([&] { return watch_.client().is_idle(); }));
    const auto log = world_.read_all(watch_.client());
    world_.expect_one_story(log);
    const std::size_t place = prng_.below(cluster.size());
    EXPECT_EQ(world_.read_all(watch_.client(), place), log) << "replica " << place + 1 << " tells another log";
    for (const Client* writer : writers_) {
      for (const Appended& append : writer->appends()) {
        totals.acknowledged += append.outcome == client::Outcome::appended ? 1 : 0;
        totals.unknown += append.outcome == client::Outcome::unknown ? 1 : 0;
      }
    }
    totals.tails += watch_.answers();
  }

  Prng prng_;
  World world_;
  TailWatch watch_;
  std::vector<Client*> writers_;
  std::uint64_t entries_ = 0;
};

TEST(PowerCut, no_cut_of_some_or_all_disks_loses_or_doubles_what_was_acknowledged) {
  const std::uint64_t first = first_seed();
  Totals totals;
  for (std::uint64_t seed = first; seed < first + runs(90); ++seed) {
    SCOPED_TRACE(fmt::format("seed {}: SYNOD_TEST_SEED={} SYNOD_TEST_RUNS=1", seed, seed));
    PowerCutRun(seed).run(totals);
    if (HasFailure()) return;
  }
  std::cout << fmt::format("{} cuts of all disks, {} of one; {} appends acknowledged, {} unknown; {} tail reads\n",
                           totals.cluster_cuts, totals.node_cuts, totals.acknowledged, totals.unknown, totals.tails);
}

}  // namespace
}  // namespace synod::replica::test
