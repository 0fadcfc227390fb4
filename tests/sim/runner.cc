#include "tests/sim/runner.h"

#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "base/check.h"

namespace synod::sim {

namespace {

// What a child writes into its pipe. Text that does not fit is cut.
struct Report {
  bool failed = false;
  std::array<char, 64> check{};
  std::array<char, 1200> text{};
  std::uint64_t failed_at_us = 0;
  Tally tally;
};

struct Child {
  pid_t pid = -1;
  int report = -1;
  int messages = -1;
  Options options;
};

void put(std::span<char> to, const std::string& text) {
  const std::size_t length = std::min(text.size(), to.size() - 1);
  std::memcpy(to.data(), text.data(), length);
}

[[noreturn]] void run_child(const Options& options, int report_fd, int messages_fd) {
  ::dup2(messages_fd, STDERR_FILENO);
  Trace trace;
  const Outcome outcome = Run(options, trace).go();
  Report report;
  report.failed = outcome.failure.has_value();
  if (outcome.failure) {
    put(report.check, outcome.failure->check);
    put(report.text, outcome.failure->text);
    report.failed_at_us = outcome.failed_at_us;
  }
  report.tally = outcome.tally;
  const auto written = ::write(report_fd, &report, sizeof(report));
  ::_exit(written == sizeof(report) ? 0 : 1);
}

Child spawn(const Options& options) {
  std::array<int, 2> report{};
  std::array<int, 2> messages{};
  CHECK_EQ(::pipe(report.data()), 0);
  CHECK_EQ(::pipe(messages.data()), 0);
  const pid_t pid = ::fork();
  CHECK(pid >= 0);
  if (pid == 0) run_child(options, report[1], messages[1]);
  ::close(report[1]);
  ::close(messages[1]);
  return {pid, report[0], messages[0], options};
}

std::string read_all(int fd) {
  std::string text;
  std::array<char, 4096> piece{};
  for (ssize_t got = ::read(fd, piece.data(), piece.size()); got > 0; got = ::read(fd, piece.data(), piece.size())) {
    text.append(piece.data(), static_cast<std::size_t>(got));
  }
  return text;
}

// The child has died of a CHECK or a signal: its last line says where.
void explain_death(const std::string& messages, int status, SeedResult& result) {
  result.failed = true;
  result.text = messages.substr(0, 400);
  const std::size_t at = messages.find("CHECK(");
  if (at == std::string::npos) {
    result.check = WIFSIGNALED(status) ? std::string("signal ") + ::strsignal(WTERMSIG(status)) : "process ended";
    return;
  }
  result.check = messages.substr(at, std::min(messages.find('\n', at), messages.find(": left", at)) - at);
}

// Waits for the child whose messages end first; `children` are those that still run.
SeedResult collect(std::vector<Child>& children) {
  std::vector<pollfd> fds;
  fds.reserve(children.size());
  for (const Child& child : children) fds.push_back({child.report, POLLIN | POLLHUP, 0});
  while (::poll(fds.data(), fds.size(), -1) <= 0) {
  }
  std::size_t ready = 0;
  while (fds[ready].revents == 0) ++ready;
  const Child child = children[ready];
  children.erase(children.begin() + static_cast<std::ptrdiff_t>(ready));

  SeedResult result;
  result.seed = child.options.seed;
  const std::string bytes = read_all(child.report);
  const std::string messages = read_all(child.messages);
  ::close(child.report);
  ::close(child.messages);
  int status = 0;
  rusage usage{};
  CHECK_EQ(::wait4(child.pid, &status, 0, &usage), child.pid);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  result.cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  if (bytes.size() != sizeof(Report)) {
    explain_death(messages, status, result);
    return result;
  }
  Report report;
  std::memcpy(&report, bytes.data(), sizeof(report));
  result.failed = report.failed;
  result.check = report.check.data();
  result.text = report.text.data();
  result.failed_at_us = report.failed_at_us;
  result.tally = report.tally;
  return result;
}

}  // namespace

SeedResult run_apart(const Options& options) {
  std::vector<Child> children{spawn(options)};
  return collect(children);
}

void run_many(std::uint64_t first, std::uint64_t count, unsigned jobs, const Adjust& adjust,
              const std::function<bool(const SeedResult&)>& on_result) {
  std::vector<Child> children;
  std::uint64_t next = first;
  bool going_on = true;
  while ((going_on && next < first + count) || !children.empty()) {
    while (going_on && children.size() < jobs && next < first + count) {
      Options options = draw_options(next++);
      adjust(options);
      children.push_back(spawn(options));
    }
    going_on = on_result(collect(children)) && going_on;
  }
}

// What a seed draws, less what is left out: so that the command line can say it again.
Options Reduction::of(std::uint64_t seed) const {
  Options options = draw_options(seed);
  for (std::size_t fault = 0; fault < faults; ++fault) {
    if (off[fault]) options.rate[fault] = 0;
  }
  options.writers = writers.value_or(options.writers);
  return options;
}

Smaller minimise(const Options& options, const SeedResult& result) {
  Smaller smaller{options, result, 0};
  Reduction reduction;
  for (std::size_t fault = 0; fault < faults; ++fault) reduction.off[fault] = options.rate[fault] == 0;
  reduction.writers = options.writers;
  // Keeps `candidate` if the same check fails, and no later.
  const auto try_instead = [&](const Reduction& candidate, std::uint64_t seed, bool sooner) {
    const SeedResult again = run_apart(candidate.of(seed));
    ++smaller.runs;
    if (!again.failed || again.check != result.check) return;
    if (sooner && again.failed_at_us >= smaller.result.failed_at_us) return;
    reduction = candidate;
    smaller.options = candidate.of(seed);
    smaller.result = again;
  };
  // Fewer faults and writers: one after the other is left out, as long as the same check still fails.
  for (std::size_t fault = 0; fault < faults; ++fault) {
    if (reduction.off[fault]) continue;
    Reduction candidate = reduction;
    candidate.off[fault] = true;
    try_instead(candidate, options.seed, false);
  }
  Reduction alone = reduction;
  alone.writers = 1;
  try_instead(alone, options.seed, false);
  // Less time: other seeds with what is left may fail sooner.
  for (std::uint64_t i = 1; i <= 40; ++i) try_instead(reduction, options.seed + i * 1'000'003, true);
  return smaller;
}

}  // namespace synod::sim
