#include "bench/neighbours/connections.h"

#include <fmt/format.h>

#include "dataplane/clock.h"
#include "replica/stop.h"

namespace synod::bench {

namespace {

constexpr std::size_t sample_max = 1000;
constexpr std::uint64_t check_ns = 100'000'000;
constexpr std::uint64_t retry_ns = 100'000'000;
constexpr std::uint64_t gone_ns_max = 10'000'000'000;

}  // namespace

Connections::Connections(Neighbour& neighbour, std::size_t clients, std::size_t in_flight)
    : neighbour_(neighbour), ends_(clients) {
  sample_.reserve(sample_max);
  const std::uint64_t now_ns = dataplane::now_ns();
  connected_ns_ = now_ns;
  for (End& end : ends_) {
    end.slots.resize(in_flight);
    for (std::uint32_t slot = 0; slot < in_flight; ++slot) end.free.push_back(slot);
    end.node = neighbour.leader();
    connect(end, now_ns);
  }
}

void Connections::connect(End& end, std::uint64_t now_ns) {
  auto connection = neighbour_.connect(end.node, end.slots.size());
  if (connection) {
    end.connection = *std::move(connection);
  } else {
    give_up(end, now_ns, connection.error().text);
  }
}

bool Connections::try_append(std::size_t client, std::uint64_t number, Bytes payload, std::uint32_t tag, std::uint64_t now_ns) {
  End& end = ends_[client];
  if (!end.connection || end.free.empty()) return false;
  const std::uint32_t slot = end.free.back();
  end.free.pop_back();
  end.slots[slot] = {.is_busy = true, .number = number, .tag = tag, .sent_ns = now_ns};
  end.connection->send({client, number}, payload, slot);
  ++sent_;
  return true;
}

bool Connections::turn(std::uint64_t now_ns) {
  const std::size_t before = finished_.size();
  for (std::size_t client = 0; client < ends_.size(); ++client) {
    End& end = ends_[client];
    if (!end.connection && now_ns >= end.retry_ns) connect(end, now_ns);
    if (!end.connection) continue;
    replies_.clear();
    const auto turned = end.connection->turn(replies_);
    for (const Reply& reply : replies_) take(client, reply);
    if (!turned) give_up(end, now_ns, turned.error().text);
  }
  if (now_ns - checked_ns_ > check_ns) check_times(now_ns);
  if (finished_.size() > before) return true;
  if (std::ranges::all_of(ends_, [](const End& end) { return !end.connection || end.free.empty(); })) wait();
  return false;
}

// Until a client may hear something.
void Connections::wait() {
  waited_.clear();
  for (const End& end : ends_) {
    if (end.connection) waited_.push_back({.fd = end.connection->fd(), .events = POLLIN, .revents = 0});
  }
  (void)::poll(waited_.data(), waited_.size(), 1);
}

// A reply is what a server says: it may name what was never sent.
void Connections::take(std::size_t client, const Reply& reply) {
  End& end = ends_[client];
  if (reply.slot >= end.slots.size() || !end.slots[reply.slot].is_busy) return;
  if (reply.is_appended) {
    sample({client, end.slots[reply.slot].number}, reply.place);
    ++appended_;
  }
  finish(end, reply.slot, reply.is_appended ? client::Outcome::appended : client::Outcome::unknown);
}

void Connections::finish(End& end, std::uint32_t slot, client::Outcome outcome) {
  finished_.push_back({end.slots[slot].tag, outcome});
  end.slots[slot].is_busy = false;
  end.free.push_back(slot);
}

// The client goes to the next node, a little later.
void Connections::give_up(End& end, std::uint64_t now_ns, const std::string& why) {
  broken_ = why;
  end.connection.reset();
  end.node = (end.node + 1) % neighbour_nodes;
  end.retry_ns = now_ns + retry_ns;
  for (std::uint32_t slot = 0; slot < end.slots.size(); ++slot) {
    if (end.slots[slot].is_busy) finish(end, slot, client::Outcome::unknown);
  }
}

void Connections::check_times(std::uint64_t now_ns) {
  checked_ns_ = now_ns;
  bool all = true;
  for (End& end : ends_) {
    const auto is_late = [&](const Slot& slot) { return slot.is_busy && now_ns > slot.sent_ns + answer_ns_max; };
    if (end.connection && std::ranges::any_of(end.slots, is_late)) give_up(end, now_ns, "no answer in time");
    all = all && end.connection != nullptr;
  }
  if (all) connected_ns_ = now_ns;
}

std::size_t Connections::take_finished(std::span<Finished> out) {
  const std::size_t count = std::min(out.size(), finished_.size() - finished_taken_);
  std::copy_n(finished_.begin() + static_cast<std::ptrdiff_t>(finished_taken_), count, out.begin());
  finished_taken_ += count;
  if (finished_taken_ == finished_.size()) {
    finished_.clear();
    finished_taken_ = 0;
  }
  return count;
}

Result<Health> Connections::health() {
  if (checked_ns_ > connected_ns_ + gone_ns_max) return fail("cannot reconnect: " + broken_);
  return Health::good;
}

// Reservoir sampling.
void Connections::sample(EntryKey key, std::uint64_t place) {
  if (sample_.size() < sample_max) {
    sample_.push_back({key, place});
  } else if (const std::uint64_t draw = prng_.next() % (appended_ + 1); draw < sample_max) {
    sample_[draw] = {key, place};
  }
}

Result<Verified> Connections::verify(Payloads& payloads, Progress& progress) {
  const std::uint64_t begin_ns = dataplane::now_ns();
  const auto count = neighbour_.count();
  if (!count) return std::unexpected(count.error());
  Verified verified{.written = appended_};
  std::uint64_t same = 0;
  for (const Sampled& sampled : sample_) {
    const auto bytes = neighbour_.read(sampled.key, sampled.place);
    if (!bytes) return std::unexpected(bytes.error());
    if (replica::stop_requested) return fail("interrupted");
    ++(payloads.matches(sampled.key, *bytes) ? same : verified.wrong);
    progress.verified.store(same, std::memory_order_relaxed);
  }
  // What had no answer may be there, or not.
  if (*count > sent_) verified.wrong += *count - sent_;
  verified.entries = std::min(*count, appended_) - std::min({verified.wrong, *count, appended_});
  verified.seconds = static_cast<double>(dataplane::now_ns() - begin_ns) / 1e9;
  verified.how = fmt::format("all counted by the neighbour, {} of them drawn and compared byte by byte", sample_.size());
  return verified;
}

}  // namespace synod::bench
