#include "bench/workload.h"

#include <fmt/format.h>
#include <sched.h>

#include "replica/stop.h"

namespace synod::bench {

namespace {

constexpr std::uint64_t sessions_ended_max = 3;
constexpr std::uint64_t filled_wait_ns = 1'000'000'000;
constexpr std::size_t submits_per_turn = 64;

std::uint64_t to_ns(double seconds) {
  return static_cast<std::uint64_t>(seconds * 1e9);
}

}  // namespace

Workload::Workload(Link& link, Payloads& payloads, const WorkloadOptions& options, Progress& progress)
    : link_(link), payloads_(payloads), options_(options), progress_(progress), sent_ns_(options.in_flight) {}

std::uint64_t Workload::intended_ns(std::uint64_t number) const {
  return begin_ns_ + static_cast<std::uint64_t>(static_cast<double>(number) * 1e9 / static_cast<double>(options_.rate));
}

// How many appends should have been submitted by now.
std::uint64_t Workload::due(std::uint64_t now_ns) const {
  if (options_.rate == 0) return completed_ + options_.in_flight;
  const double elapsed = static_cast<double>(now_ns - begin_ns_) / 1e9;
  return 1 + static_cast<std::uint64_t>(elapsed * static_cast<double>(options_.rate));
}

void Workload::submit(std::uint64_t now_ns) {
  const std::uint64_t target = std::min(due(now_ns), completed_ + options_.in_flight);
  for (std::size_t i = 0; i < submits_per_turn && submitted_ < target; ++i) {
    const std::uint64_t begin_ns = options_.rate == 0 ? now_ns : std::min(intended_ns(submitted_), now_ns);
    if (!link_.session().try_append(payloads_.make(submitted_), now_ns / 1000, options_.ack)) return;
    if (now_ns - begin_ns > late_ns_max && begin_ns >= measure_ns_) ++result_.late_sends;
    sent_ns_[submitted_ % options_.in_flight] = begin_ns;
    ++submitted_;
  }
}

void Workload::complete(std::uint64_t now_ns) {
  while (const auto completion = link_.session().poll_completion()) {
    const std::uint64_t number = completed_++;
    if (completion->outcome != client::Outcome::appended) {
      ++result_.errors;
      continue;
    }
    if (!result_.written.add(number, completion->lsn)) ++result_.misplaced;
    const std::uint64_t sent_ns = sent_ns_[number % options_.in_flight];
    if (sent_ns >= measure_ns_) result_.latency_ns.record(now_ns - sent_ns);
    if (now_ns >= measure_ns_ && now_ns < end_ns_) ++result_.appended;
  }
  progress_.appended.store(completed_, std::memory_order_relaxed);
}

// A full journal ends the run early, an ended session is replaced.
Result<> Workload::check_session(std::uint64_t now_ns) {
  client::Session& session = link_.session();
  if (!result_.filled && session.refusal() == wire::RefusalReason::no_space) {
    result_.filled = true;
    end_ns_ = std::min(end_ns_, now_ns);
  }
  if (!session.ended() || session.unfinished() > 0) return {};
  if (session.end_reason() == client::EndReason::refused || ++sessions_ended_ > sessions_ended_max) {
    const char* const why = session.refusal() ? wire::name(*session.refusal()) : "no answer";
    return fail(
        fmt::format("the cluster does not take appends ({}, {}): see 'synod status'", client::name(session.end_reason()), why));
  }
  session.reopen();
  return {};
}

Result<WorkloadResult> Workload::run() {
  begin_ns_ = dataplane::now_ns();
  measure_ns_ = begin_ns_ + to_ns(options_.warmup_seconds);
  end_ns_ = measure_ns_ + to_ns(options_.seconds);
  std::uint64_t now_ns = begin_ns_;
  while (now_ns < end_ns_ || completed_ < submitted_) {
    if (now_ns < end_ns_) submit(now_ns);
    const bool came = link_.turn(now_ns);
    now_ns = dataplane::now_ns();
    complete(now_ns);
    if (!came && options_.shares_core) ::sched_yield();
    if (auto checked = check_session(now_ns); !checked) return std::unexpected(checked.error());
    if (replica::stop_requested) return fail("interrupted");
    if (result_.filled && now_ns > end_ns_ + filled_wait_ns) break;  // what is left will never be taken
  }
  if (measure_ns_ >= end_ns_)
    return fail("the journal was full before anything was measured: choose fewer --seconds, or more space");
  result_.seconds = static_cast<double>(end_ns_ - measure_ns_) / 1e9;
  const client::SessionCounters& counters = link_.session().counters();
  result_.busy = counters.busy;
  result_.resent = counters.messages_resent;
  const std::uint64_t messages = counters.messages_sent - counters.messages_resent;
  result_.entries_per_packet = messages == 0 ? 0 : static_cast<double>(submitted_) / static_cast<double>(messages);
  return std::move(result_);
}

}  // namespace synod::bench
