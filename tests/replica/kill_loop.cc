#include "tests/replica/kill_loop.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/bytes.h"
#include "base/prng.h"
#include "client/client.h"
#include "dataplane/clock.h"
#include "replica/local_cluster.h"

namespace synod::test {

namespace {

constexpr std::size_t payload_bytes = 128;
constexpr std::uint64_t entries_per_ms = 40;

std::array<std::byte, payload_bytes> payload_of(std::uint64_t number) {
  std::array<std::byte, payload_bytes> payload{};
  std::uint64_t state = number;
  for (std::size_t at = 8; at < payload_bytes; at += 8) store(MutableBytes(payload).subspan(at), splitmix64(state));
  store(MutableBytes(payload), number);
  return payload;
}

class KillLoop {
 public:
  KillLoop(const KillLoopOptions& options, replica::LocalCluster& cluster, client::Client& client)
      : options_(options), cluster_(cluster), client_(client), prng_(options.seed), seen_(cluster.size()) {
    client_.on_appended([this](Lsn lsn) { acknowledge(lsn); });
  }

  Result<KillLoopSummary> run() {
    if (auto started = append_for(1'000'000); !started) return std::unexpected(started.error());
    summary_.gap_ms_max = 0;  // the first election is not a failover
    for (int kill = 0; kill < options_.kills; ++kill) {
      if (auto done = kill_one(kill); !done) return std::unexpected(done.error());
    }
    if (auto done = client_.wait_all(); !done) return std::unexpected(done.error());
    if (auto done = check_log(); !done) return std::unexpected(done.error());
    return summary_;
  }

 private:
  void acknowledge(Lsn lsn) {
    const std::uint64_t now_us = dataplane::now_us();
    if (last_us_ != 0) summary_.gap_ms_max = std::max(summary_.gap_ms_max, (now_us - last_us_) / 1000);
    last_us_ = now_us;
    lsns_.push_back(lsn);
    ++summary_.acknowledged;
  }

  Result<> append_for(std::uint64_t time_us) {
    const std::uint64_t end_us = dataplane::now_us() + time_us;
    // A steady load: unbounded, fifty kills would fill any journal.
    const std::uint64_t start_us = end_us - time_us;
    std::uint64_t submitted = 0;
    for (std::uint64_t now_us = start_us; now_us < end_us; now_us = dataplane::now_us()) {
      const bool ahead = submitted * 1000 > (now_us - start_us) * entries_per_ms;
      const Result<> done = ahead ? client_.progress(-1, 1) : client_.submit(payload_of(next_));
      if (!done) return done;
      if (ahead) continue;
      ++submitted;
      ++next_;
    }
    return {};
  }

  // Remembers what each replica says of itself, and checks that it never falls. Returns the leader's place, or a random one.
  Result<std::size_t> look() {
    std::size_t leader = prng_.below(cluster_.size());
    const auto replies = client_.status(200'000);
    for (std::size_t place = 0; place < replies.size(); ++place) {
      if (!replies[place].answer) continue;
      const wire::StatusAnswer& now = *replies[place].answer;
      Seen& before = seen_[place];
      if (now.promised < before.promised) {
        return fail(fmt::format("replica {} forgot a promise: {}.{} after {}.{}", place + 1, now.promised.round(),
                                now.promised.replica().value(), before.promised.round(), before.promised.replica().value()));
      }
      // A promise may be on its way to the disk when it is first seen; at the second look, 100 ms later, it is there.
      if (now.promised == before.last) before.promised = now.promised;
      before.last = now.promised;
      if (now.role == wire::Role::leader) leader = place;
    }
    return leader;
  }

  Result<> kill_one(int number) {
    const auto leader = look();
    if (!leader) return std::unexpected(leader.error());
    const bool kill_leader = prng_.chance(1, 2);
    const std::size_t victim = kill_leader ? *leader : prng_.below(cluster_.size());
    cluster_.kill(victim);
    ++summary_.kills;
    if (victim == *leader) ++summary_.leader_kills;
    if (options_.verbose) {
      fmt::print("  kill {:>3}: replica {}{}; {} acknowledged\n", number + 1, victim + 1, victim == *leader ? " (leader)" : "",
                 summary_.acknowledged);
      std::fflush(stdout);
    }
    if (auto done = append_for(prng_.between(20'000, 600'000)); !done) return done;
    if (auto started = cluster_.start(victim); !started) return started;
    if (auto done = append_for(prng_.between(100'000, 900'000)); !done) return done;
    if (!cluster_.is_running(victim))
      return fail(fmt::format("replica {} did not come back: {}", victim + 1, cluster_.last_line(victim)));
    return {};
  }

  Result<> check_log() {
    const auto tail = client_.tail();
    if (!tail) return std::unexpected(tail.error());
    summary_.entries = tail->value();
    std::string broken;
    std::uint64_t number = 0;
    Lsn next;
    while (next < *tail && broken.empty()) {
      const auto end = client_.read(next, *tail, [&](Lsn lsn, Bytes payload) {
        if (lsn != next || payload.size() != payload_bytes || !std::ranges::equal(payload, payload_of(number))) {
          broken = fmt::format("LSN {} does not hold entry {}", lsn.value(), number);
          return false;
        }
        if (lsns_[number] != lsn) {
          broken = fmt::format("entry {} was acknowledged at LSN {} and is at {}", number, lsns_[number].value(), lsn.value());
          return false;
        }
        ++next;
        ++number;
        return true;
      });
      if (!end) return std::unexpected(end.error());
    }
    if (!broken.empty()) return fail(broken);
    if (number != summary_.acknowledged) {
      return fail(fmt::format("{} entries were acknowledged, {} are in the log", summary_.acknowledged, number));
    }
    return {};
  }

  struct Seen {
    Ballot promised;  // must survive
    Ballot last;
  };

  const KillLoopOptions& options_;
  replica::LocalCluster& cluster_;
  client::Client& client_;
  Prng prng_;
  std::vector<Seen> seen_;
  std::vector<Lsn> lsns_;
  std::uint64_t next_ = 0;
  std::uint64_t last_us_ = 0;
  KillLoopSummary summary_;
};

}  // namespace

Result<KillLoopSummary> run_kill_loop(const KillLoopOptions& options) {
  auto cluster =
      replica::LocalCluster::make({.binary = options.binary, .directory = options.directory, .capacity_bytes = 1ULL << 30});
  if (!cluster) return std::unexpected(cluster.error());
  if (auto started = cluster->start_all(); !started) return std::unexpected(started.error());
  auto client = client::Client::connect({.addresses = cluster->addresses(), .timeout_us = 60'000'000});
  if (!client) return std::unexpected(client.error());
  return KillLoop(options, *cluster, **client).run();
}

}  // namespace synod::test
