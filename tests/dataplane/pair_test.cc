// Pairs of processes over virtio-user and vhost, and over memif, killed and started again. The processes run without huge pages,
// and as the user "nobody" when the test runs as root.
#include <filesystem>
#include <string>

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>

#include <gtest/gtest.h>

namespace {

constexpr unsigned nobody = 65534;

// A running pair_helper; killed and reaped with SIGKILL, no other way.
class Process {
 public:
  Process(const std::string& binary, const std::string& task, const std::string& role, const std::string& socket, int output)
      : id_(::fork()) {
    if (id_ != 0) return;
    ::dup2(output, STDOUT_FILENO);
    if (::getuid() == 0 && (::setgroups(0, nullptr) != 0 || ::setgid(nobody) != 0 || ::setuid(nobody) != 0)) ::_exit(9);
    ::execl(binary.c_str(), binary.c_str(), task.c_str(), role.c_str(), socket.c_str(), nullptr);
    ::_exit(9);
  }
  ~Process() { kill(); }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void kill() {
    if (id_ <= 0) return;
    ::kill(id_, SIGKILL);
    int status = 0;
    ::waitpid(id_, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "the process ended by itself, with status " << status;
    id_ = -1;
  }

 private:
  pid_t id_ = -1;
};

class PairTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "synod-pair-XXXXXX";
    ASSERT_NE(::mkdtemp(directory_.data()), nullptr);
    std::filesystem::permissions(directory_, std::filesystem::perms::all);
    binary_ = directory_ + "/pair_helper";
    // "nobody" may not be able to reach the folder of the build.
    std::filesystem::copy_file(PAIR_HELPER, binary_);
    ASSERT_EQ(::pipe2(pipe_, O_CLOEXEC), 0);
  }
  void TearDown() override {
    std::filesystem::remove_all(directory_);
    ::close(pipe_[0]);
    ::close(pipe_[1]);
  }

  std::unique_ptr<Process> start(const std::string& task) {
    const std::string roles = GetParam();
    const bool server = (task == "ping") == roles.ends_with("PingIsServer");
    const std::string kind = roles.starts_with("Memif") ? "memif-" : "";
    return std::make_unique<Process>(binary_, task, kind + (server ? "server" : "client"), directory_ + "/socket", pipe_[1]);
  }

  // Some hundreds of round trips from now on. The deadline only ends a test that has failed.
  [[nodiscard]] bool traffic_flows() {
    char bytes[64];
    while (wait_for_output(0)) [[maybe_unused]]
      const ssize_t drained = ::read(pipe_[0], bytes, sizeof(bytes));
    return comes('.', 5);
  }
  // The other process hears that nobody listens at the one that was killed.
  [[nodiscard]] bool is_refused() { return comes('!', 1); }

 private:
  bool comes(char wanted, int times) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    for (int count = 0; count < times;) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
      char byte = 0;
      if (left.count() <= 0 || !wait_for_output(static_cast<int>(left.count())) || ::read(pipe_[0], &byte, 1) != 1) return false;
      count += byte == wanted ? 1 : 0;
    }
    return true;
  }
  bool wait_for_output(int timeout_ms) {
    pollfd waiting{pipe_[0], POLLIN, 0};
    return ::poll(&waiting, 1, timeout_ms) == 1;
  }

  std::string directory_;
  std::string binary_;
  int pipe_[2] = {-1, -1};
};

TEST_P(PairTest, TrafficReturnsAfterTheEchoWasKilled) {
  const auto ping = start("ping");
  auto echo = start("echo");
  ASSERT_TRUE(traffic_flows());
  for (int i = 0; i < 2; ++i) {
    echo->kill();
    ASSERT_TRUE(is_refused()) << "round " << i;
    echo = start("echo");
    ASSERT_TRUE(traffic_flows()) << "round " << i;
  }
}

TEST_P(PairTest, TrafficReturnsAfterThePingWasKilled) {
  auto ping = start("ping");
  const auto echo = start("echo");
  ASSERT_TRUE(traffic_flows());
  for (int i = 0; i < 2; ++i) {
    ping->kill();
    ping = start("ping");
    ASSERT_TRUE(traffic_flows()) << "round " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Roles, PairTest,
                         testing::Values("PingIsServer", "PingIsClient", "MemifPingIsServer", "MemifPingIsClient"),
                         [](const auto& role) { return std::string(role.param); });

}  // namespace
