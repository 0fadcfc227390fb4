// Both halves of pairs in one process; tests/dataplane/pair_test.cc has them in processes that are killed.
#include "dataplane/attach.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "dataplane/eal.h"
#include "tests/dataplane/echo.h"

namespace synod::dataplane {
namespace {

class AttachTest : public testing::Test {
 protected:
  void SetUp() override {
    EalOptions options;
    options.huge_pages = false;
    options.memory_mb = 512;
    const auto started = start_eal(options);
    ASSERT_TRUE(started) << started.error().text;
    directory_ = testing::TempDir() + "synod-attach-XXXXXX";
    ASSERT_NE(::mkdtemp(directory_.data()), nullptr);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  [[nodiscard]] PairedPortOptions half(const std::string& name, PairRole role) const {
    PairedPortOptions options;
    options.socket = directory_ + "/" + name;
    options.role = role;
    options.local = role == PairRole::server ? endpoint_a : endpoint_b;
    return options;
  }

  static std::unique_ptr<AttachTask> start(const PairedPortOptions& options) {
    auto task = AttachTask::start(options);
    EXPECT_TRUE(task) << task.error().text;
    return std::move(*task);
  }

  // A deadline so that a fault ends the test; it is no measurement.
  static std::unique_ptr<DpdkPort> wait_for(AttachTask& task) {
    Idler idler(IdlePolicy::sleep);
    for (const std::uint64_t end = now_us() + 20'000'000; now_us() < end; idler.idle(false)) {
      if (auto port = task.take()) return port;
    }
    ADD_FAILURE() << "no port: " << task.last_error();
    return nullptr;
  }

  std::string directory_;
};

void expect_echo(DpdkPort& port_a, DpdkPort& port_b, std::size_t bytes) {
  Messenger a(identity(1), {});
  Messenger b(identity(2), {});
  a.add_port(PortRef(port_a));
  b.add_port(PortRef(port_b));
  expect_echo(a, b, endpoint_b, bytes);
}

TEST_F(AttachTest, APairCarriesMessagesOfAllSizes) {
  const auto server = start(half("one", PairRole::server));
  const auto client = start(half("one", PairRole::client));
  const auto a = wait_for(*server);
  const auto b = wait_for(*client);
  ASSERT_TRUE(a && b);
  for (const std::size_t bytes : {1UL, 128UL, 8844UL, 65536UL, 1UL << 20}) expect_echo(*a, *b, bytes);
  EXPECT_EQ(server->take(), nullptr) << "a port is given once";
}

TEST_F(AttachTest, TheClientMayStartFirstAndAStaleSocketFileIsNoObstacle) {
  const auto first = half("stale", PairRole::client);
  const auto client = start(first);
  const auto b = wait_for(*client);
  ASSERT_EQ(std::fclose(std::fopen(first.socket.c_str(), "w")), 0);
  const auto server = start(half("stale", PairRole::server));
  const auto a = wait_for(*server);
  ASSERT_TRUE(a && b);
  expect_echo(*a, *b, 128);
}

TEST_F(AttachTest, ServersThatWaitDoNotHoldUpEachOther) {
  const auto first = start(half("first", PairRole::server));
  const auto second = start(half("second", PairRole::server));
  const auto client = start(half("second", PairRole::client));
  const auto a = wait_for(*second);
  const auto b = wait_for(*client);
  ASSERT_TRUE(a && b);
  EXPECT_EQ(first->take(), nullptr);
  expect_echo(*a, *b, 128);
}

TEST_F(AttachTest, AServerWithoutAPeerEndsWhenItsTaskDoes) {
  for (int i = 0; i < 3; ++i) {
    const auto task = start(half("alone", PairRole::server));
    EXPECT_EQ(task->take(), nullptr);
  }
}

TEST_F(AttachTest, AMissingDirectoryIsRefusedInOneLine) {
  const auto task = AttachTask::start(half("missing/socket", PairRole::server));
  ASSERT_FALSE(task);
  EXPECT_NE(task.error().text.find("create the directory"), std::string::npos) << task.error().text;
}

TEST_F(AttachTest, APathThatIsTooLongIsRefused) {
  const auto task = AttachTask::start(half(std::string(120, 'x'), PairRole::server));
  ASSERT_FALSE(task);
  EXPECT_NE(task.error().text.find("at most 107 characters"), std::string::npos) << task.error().text;
}

}  // namespace
}  // namespace synod::dataplane
