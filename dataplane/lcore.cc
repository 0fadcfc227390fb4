#include "dataplane/lcore.h"

#include <algorithm>
#include <cstring>
#include <ctime>

#include <fmt/format.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>

#include "dataplane/clock.h"

namespace synod::dataplane {

namespace {

constexpr std::uint64_t yields_before_sleep_ns = 200'000;
constexpr std::uint64_t sleep_ns_min = 50'000;
constexpr std::uint64_t sleep_ns_max = 1'000'000;
constexpr std::uint64_t silence_per_sleep = 1'000;

}  // namespace

std::vector<unsigned> allowed_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<unsigned> cores;
  if (::pthread_getaffinity_np(::pthread_self(), sizeof(set), &set) != 0) return cores;
  for (unsigned core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  }
  return cores;
}

Result<> pin_to_core(unsigned core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (core < CPU_SETSIZE) CPU_SET(core, &set);
  const int error = ::pthread_setaffinity_np(::pthread_self(), sizeof(set), &set);
  if (error == 0) return {};
  return fail(
      fmt::format("cannot run on core {}: {}: choose one of the cores that 'taskset -cp $$' shows", core, std::strerror(error)));
}

const char* to_string(IdlePolicy policy) {
  switch (policy) {
    case IdlePolicy::spin: return "spin";
    case IdlePolicy::yield: return "yield";
    case IdlePolicy::sleep: return "sleep";
  }
  return "unknown";
}

Result<IdlePolicy> parse_idle_policy(std::string_view text) {
  for (const IdlePolicy policy : {IdlePolicy::spin, IdlePolicy::yield, IdlePolicy::sleep}) {
    if (text == to_string(policy)) return policy;
  }
  return fail(fmt::format("'{}' is no idle policy: write spin, yield or sleep", text));
}

void Idler::give_core_away() {
  if (policy_ == IdlePolicy::yield) {
    ::sched_yield();
    return;
  }
  const std::uint64_t now = now_ns();
  if (empty_polls_ == empty_polls_before_yield) idle_since_ns_ = now;
  const std::uint64_t idle_ns = now - idle_since_ns_;
  if (idle_ns < yields_before_sleep_ns) {
    ::sched_yield();
    return;
  }
  // The default slack of 50 us would double the sleep. It belongs to the thread, so the loop's own thread asks for it.
  if (!slack_set_) slack_set_ = ::prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0) == 0;
  const std::uint64_t sleep_ns = std::clamp(idle_ns / silence_per_sleep, sleep_ns_min, sleep_ns_max);
  const timespec duration{0, static_cast<long>(sleep_ns)};
  ::nanosleep(&duration, nullptr);
}

}  // namespace synod::dataplane
