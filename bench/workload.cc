#include "bench/workload.h"

#include <fmt/format.h>
#include <sched.h>

#include <limits>

#include "dataplane/clock.h"
#include "replica/stop.h"

namespace synod::bench {

namespace {

constexpr std::uint64_t never_ns = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t filled_wait_ns = 1'000'000'000;
constexpr std::uint64_t silence_ns_max = 8'000'000'000;
constexpr std::uint64_t window_ns = 250'000'000;
constexpr double settled_spread = 0.1;  // of the windows' counts
constexpr std::size_t submits_per_turn = 64;

std::uint64_t to_ns(double seconds) {
  return static_cast<std::uint64_t>(seconds * 1e9);
}

}  // namespace

Workload::Workload(Appender& appender, Payloads& payloads, const WorkloadOptions& options, Progress& progress)
    : appender_(appender),
      payloads_(payloads),
      options_(options),
      progress_(progress),
      arrivals_(options.arrivals, options.rate, dataplane::now_ns(), options.seed),
      places_(appender.clients() * options.in_flight),
      free_(appender.clients()) {
  for (std::size_t tag = 0; tag < places_.size(); ++tag) {
    const std::size_t client = tag % appender.clients();
    places_[tag].client = static_cast<std::uint32_t>(client);
    free_[client].push_back(static_cast<std::uint32_t>(tag));
  }
}

bool Workload::submit_one(std::size_t client, std::uint64_t begin_ns, std::uint64_t now_ns) {
  if (free_[client].empty()) return false;
  const std::uint32_t tag = free_[client].back();
  std::uint64_t& number = (*numbers_)[client];
  if (!appender_.try_append(client, number, payloads_.make({client, number}), tag, now_ns)) return false;
  free_[client].pop_back();
  places_[tag].begin_ns = begin_ns;
  ++number;
  ++in_flight_;
  ++result_.submitted;
  return true;
}

// Clients take turns. In an open loop an append whose client has no room waits for it: the clock of its latency runs.
void Workload::submit(std::uint64_t now_ns) {
  const std::size_t clients = appender_.clients();
  std::size_t tries = clients;
  for (std::size_t i = 0; i < submits_per_turn && tries > 0; ++i) {
    const std::uint64_t intended_ns = arrivals_.is_open() ? arrivals_.next_ns() : now_ns;
    if (intended_ns > now_ns || intended_ns >= end_ns_) return;
    if (submit_one(next_client_, intended_ns, now_ns)) {
      if (now_ns - intended_ns > late_ns_max && intended_ns >= measure_ns_) ++result_.late_sends;
      arrivals_.advance();
      tries = clients;
    } else {
      --tries;
    }
    next_client_ = next_client_ + 1 == clients ? 0 : next_client_ + 1;
  }
}

void Workload::complete(std::uint64_t now_ns) {
  const bool is_measured = now_ns >= measure_ns_ && now_ns < end_ns_;
  Interval& interval = result_.timeline.at(now_ns);
  std::size_t count = 0;
  while ((count = appender_.take_finished(finished_)) > 0) {
    for (const Finished& finished : std::span(finished_).first(count)) {
      const Place& place = places_[finished.tag];
      free_[place.client].push_back(finished.tag);
      if (finished.outcome != client::Outcome::appended) {
        ++result_.errors;
        if (is_measured) ++interval.errors;
        continue;
      }
      const std::uint64_t latency_ns = now_ns - place.begin_ns;
      if (place.begin_ns >= measure_ns_) result_.latency_ns.record(latency_ns);
      if (!is_measured) continue;
      if (options_.stages != nullptr) options_.stages->add(finished.lsn, place.begin_ns, now_ns);
      ++result_.appended;
      ++interval.appended;
      interval.latency_max_ns = std::max(interval.latency_max_ns, latency_ns);
    }
    in_flight_ -= count;
    completed_ += count;
    if (event_ns_ != 0 && now_ns < end_ns_) {
      result_.outage_seconds =
          std::max(result_.outage_seconds, static_cast<double>(now_ns - std::max(heard_ns_, event_ns_)) / 1e9);
    }
    heard_ns_ = now_ns;
  }
  if (in_flight_ == 0) heard_ns_ = now_ns;
  progress_.appended.store(completed_, std::memory_order_relaxed);
}

void Workload::begin_measuring(std::uint64_t now_ns, bool settled) {
  measure_ns_ = now_ns;
  end_ns_ = now_ns + to_ns(options_.seconds);
  result_.settled = settled;
  result_.warmup_seconds = static_cast<double>(now_ns - begin_ns_) / 1e9;
  result_.timeline = Timeline(now_ns, options_.seconds);
}

// A closed loop has settled when three windows in a row brought about as much as each other. An open loop brings what it is asked
// for.
void Workload::watch_warmup(std::uint64_t now_ns) {
  const std::uint64_t elapsed_ns = now_ns - begin_ns_;
  if (elapsed_ns < to_ns(options_.warmup_seconds)) {
    window_end_ns_ = now_ns + window_ns;
    window_completed_ = completed_;
    return;
  }
  if (arrivals_.is_open() || options_.warmup_seconds >= options_.warmup_seconds_max) return begin_measuring(now_ns, true);
  if (now_ns < window_end_ns_) return;
  std::ranges::rotate(windows_, windows_.begin() + 1);
  windows_.back() = completed_ - window_completed_;
  window_completed_ = completed_;
  window_end_ns_ = now_ns + window_ns;
  const auto [least, most] = std::ranges::minmax(windows_);
  const bool settled = least > 0 && static_cast<double>(most - least) <= settled_spread * static_cast<double>(most);
  if (settled || elapsed_ns >= to_ns(options_.warmup_seconds_max)) begin_measuring(now_ns, settled);
}

// A full journal ends the load early; so does a cluster that is gone, or whoever presses Ctrl-C.
bool Workload::may_go_on(std::uint64_t now_ns) {
  const auto health = appender_.health();
  if (!health) {
    result_.cut_short = health.error().text;
  } else if (replica::stop_requested) {
    result_.cut_short = "interrupted";
  } else if (now_ns > heard_ns_ + silence_ns_max) {
    result_.cut_short = fmt::format("nothing was answered for {} s", silence_ns_max / 1'000'000'000);
  } else if (*health == Health::full && !result_.filled) {
    result_.filled = true;
    end_ns_ = std::min(end_ns_, now_ns);
  }
  if (!result_.cut_short.empty()) end_ns_ = std::min(end_ns_, now_ns);
  const bool waits_in_vain = result_.filled && now_ns > end_ns_ + filled_wait_ns;  // what is left will never be taken
  return result_.cut_short.empty() && !waits_in_vain;
}

// What should have been sent and was not: each would have a latency of at least its age.
void Workload::count_unsent(std::uint64_t now_ns) {
  if (!arrivals_.is_open()) return;
  const std::uint64_t last_ns = std::min(now_ns, end_ns_);
  for (; arrivals_.next_ns() < last_ns; arrivals_.advance()) {
    if (arrivals_.next_ns() < measure_ns_) continue;
    ++result_.unsent;
    result_.latency_ns.record(last_ns - arrivals_.next_ns());
  }
}

void Workload::play_event(std::uint64_t now_ns) {
  if (!options_.event || event_ns_ != 0 || measure_ns_ == never_ns || now_ns < measure_ns_ + (end_ns_ - measure_ns_) / 2) return;
  options_.event();
  event_ns_ = dataplane::now_ns();
  heard_ns_ = event_ns_;
  result_.event_seconds = static_cast<double>(event_ns_ - measure_ns_) / 1e9;
}

WorkloadResult Workload::run(std::vector<std::uint64_t>& numbers) {
  numbers.resize(appender_.clients());
  numbers_ = &numbers;
  begin_ns_ = dataplane::now_ns();
  arrivals_ = Arrivals(options_.arrivals, options_.rate, begin_ns_, options_.seed);
  measure_ns_ = end_ns_ = never_ns;
  heard_ns_ = begin_ns_;
  std::uint64_t now_ns = begin_ns_;
  for (bool is_over = false; !is_over || in_flight_ > 0;) {
    if (measure_ns_ == never_ns) watch_warmup(now_ns);
    if (!is_over) submit(now_ns);  // also once behind the end: what was due in the instant before it is not missed
    is_over = now_ns >= end_ns_;
    const bool came = appender_.turn(now_ns);
    now_ns = dataplane::now_ns();
    complete(now_ns);
    if (!came && options_.shares_core) ::sched_yield();
    play_event(now_ns);
    if (!may_go_on(now_ns)) break;
  }
  count_unsent(now_ns);
  if (measure_ns_ != never_ns) result_.seconds = static_cast<double>(std::max(end_ns_, measure_ns_) - measure_ns_) / 1e9;
  return std::move(result_);
}

}  // namespace synod::bench
