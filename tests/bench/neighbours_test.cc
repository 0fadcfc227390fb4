// Real clusters of each neighbour: they are started, written to, lose their leader, go on, and leave no process behind. Skipped,
// with the reason, where a neighbour is not installed.
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "bench/directory.h"
#include "bench/neighbours/connections.h"
#include "bench/neighbours/contest.h"
#include "dataplane/clock.h"

namespace synod::bench {
namespace {

constexpr std::size_t clients = 2;
constexpr std::size_t in_flight = 32;

// In the order in which they were started.
std::vector<pid_t> children_of(pid_t parent) {
  std::vector<pid_t> children;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::ifstream file(entry.path() / "stat");
    std::string text;
    if (!std::getline(file, text)) continue;
    std::istringstream fields(text.substr(std::min(text.rfind(')') + 1, text.size())));
    std::string state;
    pid_t its_parent = 0;
    if (fields >> state >> its_parent && its_parent == parent) children.push_back(std::stoi(entry.path().filename().string()));
  }
  std::ranges::sort(children);
  return children;
}

class NeighbourTest : public ::testing::TestWithParam<NeighbourKind> {
 protected:
  void SetUp() override {
    auto program = find_program(GetParam());
    if (!program) GTEST_SKIP() << program.error().text;
    neighbour_ = GetParam().make(*program);
    auto directory = Directory::make("");
    ASSERT_TRUE(directory) << directory.error().text;
    directory_ = *std::move(directory);
  }

  // Appends until so many more are acknowledged, and no longer than the appender is healthy.
  void append(Connections& connections, std::uint64_t wanted) {
    std::array<Finished, 64> finished{};
    std::uint64_t appended = 0;
    while (appended < wanted) {
      const std::uint64_t now_ns = dataplane::now_ns();
      for (std::size_t client = 0; client < clients; ++client) {
        while (connections.try_append(client, numbers_[client], payloads_.make({client, numbers_[client]}), 0, now_ns)) {
          ++numbers_[client];
          ++unfinished_;
        }
      }
      connections.turn(now_ns);
      for (std::size_t count = 0; (count = connections.take_finished(finished)) > 0; unfinished_ -= count) {
        appended += static_cast<std::uint64_t>(
            std::ranges::count(std::span(finished).first(count), client::Outcome::appended, &Finished::outcome));
      }
      const auto health = connections.health();
      ASSERT_TRUE(health) << health.error().text;
    }
    while (unfinished_ > 0) {
      connections.turn(dataplane::now_ns());
      unfinished_ -= connections.take_finished(finished);
    }
  }

  void expect_all_there(Connections& connections, std::uint64_t least) {
    const auto verified = connections.verify(payloads_, progress_);
    ASSERT_TRUE(verified) << verified.error().text;
    EXPECT_GE(verified->written, least);
    EXPECT_EQ(verified->entries, verified->written);
    EXPECT_EQ(verified->wrong, 0U);
    EXPECT_EQ(progress_.verified, 1000U);
    EXPECT_NE(verified->how.find("1000 of them"), std::string::npos) << verified->how;
  }

  std::unique_ptr<Directory> directory_;
  std::unique_ptr<Neighbour> neighbour_;
  Payloads payloads_{17, {128, 1, 3000}};
  Progress progress_;
  std::array<std::uint64_t, clients> numbers_{};
  std::size_t unfinished_ = 0;
};

TEST_P(NeighbourTest, keeps_what_it_acknowledged_when_its_leader_is_killed) {
  const auto started = neighbour_->start(directory_->path());
  ASSERT_TRUE(started) << started.error().text;
  EXPECT_FALSE(neighbour_->version().empty());
  const std::vector<pid_t> nodes = children_of(::getpid());
  ASSERT_EQ(nodes.size(), neighbour_nodes);
  {
    Connections connections(*neighbour_, clients, in_flight);
    append(connections, 2000);
    expect_all_there(connections, 2000);
    ASSERT_EQ(::kill(nodes[neighbour_->leader()], SIGKILL), 0);
    append(connections, 2000);
    expect_all_there(connections, 4000);
  }
  neighbour_.reset();
  EXPECT_TRUE(children_of(::getpid()).empty());
}

TEST_P(NeighbourTest, notices_an_entry_that_reads_back_as_another) {
  const auto started = neighbour_->start(directory_->path());
  ASSERT_TRUE(started) << started.error().text;
  Connections connections(*neighbour_, clients, in_flight);
  append(connections, 1000);
  Payloads others(18, {128, 1, 3000});
  const auto verified = connections.verify(others, progress_);
  ASSERT_TRUE(verified) << verified.error().text;
  EXPECT_GT(verified->wrong, 900U);  // one byte in 256 is the same by chance
  EXPECT_LT(verified->entries, verified->written);
}

// Nobody has to clean up after a bench that was killed.
TEST_P(NeighbourTest, ends_with_the_process_that_started_it) {
  ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0);  // orphans become ours, so that we can wait for them
  std::array<int, 2> started{};
  ASSERT_EQ(::pipe(started.data()), 0);
  const pid_t bench = ::fork();
  ASSERT_GE(bench, 0);
  if (bench == 0) {
    const char answer = neighbour_->start(directory_->path()) ? 'y' : 'n';
    if (::write(started[1], &answer, 1) != 1) ::_exit(1);
    while (true) ::pause();
  }
  char answer = 0;
  EXPECT_EQ(::read(started[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
  const std::vector<pid_t> nodes = children_of(bench);
  EXPECT_EQ(nodes.size(), neighbour_nodes);
  ASSERT_EQ(::kill(bench, SIGKILL), 0);
  EXPECT_EQ(::waitpid(bench, nullptr, 0), bench);
  for (const pid_t node : nodes) EXPECT_EQ(::waitpid(node, nullptr, 0), node);
  for (const int end : started) ::close(end);
}

INSTANTIATE_TEST_SUITE_P(Real, NeighbourTest, ::testing::ValuesIn(neighbour_kinds().begin(), neighbour_kinds().end()),
                         [](const auto& kind) { return std::string(kind.param.name); });

// A neighbour that answers what was never asked, and then breaks.
class Liar final : public Neighbour {
 public:
  class Lies final : public Connection {
   public:
    void send(EntryKey, Bytes, std::uint32_t slot) override { slot_ = slot; }
    Result<> turn(std::vector<Reply>& replies) override {
      replies.push_back({.slot = 4'000'000'000, .is_appended = true, .place = 1});
      for (int i = 0; i < 2; ++i) replies.push_back({.slot = slot_, .is_appended = true, .place = 1});
      if (++turns_ > 2) return fail("broken");
      return {};
    }
    [[nodiscard]] int fd() const override { return -1; }

   private:
    std::uint32_t slot_ = 0;
    int turns_ = 0;
  };

  Result<> start(const std::string&) override { return {}; }
  [[nodiscard]] std::string version() const override { return "1"; }
  [[nodiscard]] std::size_t leader() const override { return 0; }
  Result<std::unique_ptr<Connection>> connect(std::size_t, std::size_t) override { return std::make_unique<Lies>(); }
  Result<std::uint64_t> count() override { return 3; }
  Result<std::vector<std::byte>> read(EntryKey, std::uint64_t) override { return std::vector<std::byte>{}; }
};

TEST(Connections, believe_no_reply_that_was_not_asked_for) {
  Liar liar;
  Connections connections(liar, 1, 2);
  Payloads payloads(1, {8});
  Progress progress;
  std::array<Finished, 8> finished{};
  connections.turn(1);
  EXPECT_EQ(connections.take_finished(finished), 0U);
  ASSERT_TRUE(connections.try_append(0, 0, payloads.make({0, 0}), 7, 2));
  ASSERT_TRUE(connections.try_append(0, 1, payloads.make({0, 1}), 8, 2));
  EXPECT_FALSE(connections.try_append(0, 2, payloads.make({0, 2}), 9, 2)) << "two in flight";
  connections.turn(3);
  ASSERT_EQ(connections.take_finished(finished), 1U);
  EXPECT_EQ(finished[0].tag, 8U);
  EXPECT_EQ(finished[0].outcome, client::Outcome::appended);
  connections.turn(4);
  ASSERT_EQ(connections.take_finished(finished), 1U) << "the connection broke";
  EXPECT_EQ(finished[0].tag, 7U);
  EXPECT_EQ(finished[0].outcome, client::Outcome::unknown);
  EXPECT_FALSE(connections.try_append(0, 2, payloads.make({0, 2}), 9, 4));
  const auto verified = connections.verify(payloads, progress);
  ASSERT_TRUE(verified);
  EXPECT_EQ(verified->written, 1U);
  EXPECT_EQ(verified->wrong, 2U) << "other bytes, and one that was never sent";
}

TEST(Neighbours, that_are_not_installed_are_named_with_their_package) {
  const auto program = find_program({.name = "nobody", .program = "no-such-program", .package = "nobody-server"});
  ASSERT_FALSE(program);
  EXPECT_EQ(program.error().text, "nobody is not installed: apt-get install nobody-server");
}

TEST(Contest, compares_rounds_with_their_counterparts) {
  ContestReport report;
  report.contenders.push_back({.name = "synod", .rounds = {{100, 200, 4000, 0}, {200, 300, 1000, 0}, {150, 200, 2000, 0}}});
  report.contenders.push_back({.name = "slow", .durability = "none", .rounds = {{1000, 2000, 1000, 1}, {1000, 2000, 1000, 0}}});
  report.contenders.push_back({.name = "absent", .failure = "absent is not installed"});
  const auto ratios = report.ratios();
  ASSERT_EQ(ratios.size(), 1U);
  EXPECT_EQ(ratios[0].rounds, 2U);
  EXPECT_DOUBLE_EQ(ratios[0].p50.median, 0.15);
  EXPECT_DOUBLE_EQ(ratios[0].p50.least, 0.1);
  EXPECT_DOUBLE_EQ(ratios[0].p50.most, 0.2);
  EXPECT_DOUBLE_EQ(ratios[0].appends_per_second.median, 2.5);
  const std::string table = to_table(report);
  EXPECT_NE(table.find("NOT      slow"), std::string::npos) << table;
  EXPECT_NE(table.find("absent is not installed"), std::string::npos) << table;
}

TEST(Contest, refuses_what_cannot_be_run) {
  EXPECT_TRUE(check({.with = {"etcd", "nats"}}));
  EXPECT_FALSE(check({.with = {"zookeeper"}}));
  EXPECT_FALSE(check({.rounds = 0}));
  EXPECT_FALSE(check({.seconds = 0}));
  EXPECT_FALSE(check({.data = "memory"}));
}

}  // namespace
}  // namespace synod::bench
