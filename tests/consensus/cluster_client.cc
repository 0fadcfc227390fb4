// The clients of a cluster, and what its members apply.
#include <fmt/format.h>

#include <algorithm>

#include "base/crc32c.h"
#include "tests/consensus/cluster.h"
#include "wire/body.h"

namespace synod::consensus::testing {

namespace {

// Entry `sequence` of a session says so itself.
std::array<std::byte, 12> entry_of(Sequence sequence) {
  std::array<std::byte, 12> entry{};
  store(MutableBytes(entry), std::uint32_t{8});
  store(MutableBytes(entry).subspan(4), sequence.value());
  return entry;
}

}  // namespace

void Cluster::want(std::uint64_t entries) {
  for (Client& client : clients_) client.wanted += entries;
}

bool Cluster::clients_done() const {
  return std::ranges::all_of(clients_, [](const Client& client) { return client.acked >= client.wanted; });
}

void Cluster::client_event() {
  if (clients_run_) {
    // Whoever says that it leads is believed: a deposed leader that has not heard of it gets appends too.
    for (std::size_t place = 0; place < size(); ++place) {
      const std::size_t slots = prng_.between(1, 3);
      for (std::size_t i = 0; i < slots; ++i) propose(place);
      if (members_[place].is_up() && members_[place].engine->is_leader()) read_tail(members_[place]);
    }
  }
  at(now_us_ + prng_.between(100, 3'000), [this] { client_event(); });
}

// A confirmed read must cover whatever any replica had committed when it was asked.
void Cluster::read_tail(Member& member) {
  Engine& engine = *member.engine;
  if (!member.read || member.read->ballot != engine.promised()) {
    member.read = WaitingRead{engine.promised(), engine.ask_probe(), committed_};
    return;
  }
  if (engine.confirmed_probe() < member.read->probe || engine.commit() < engine.settled_slot()) return;
  if (engine.commit() < member.read->covers) oracle_.fail("a confirmed tail read misses a committed slot");
  ++reads_;
  member.read.reset();
}

bool Cluster::propose(std::size_t place) {
  Member& member = members_[place];
  if (!member.is_up() || !member.engine->can_propose() || oracle_.failed()) return false;
  if (member.proposed == nullptr || member.proposed->applied() + 1 != member.engine->next_slot()) {
    oracle_.fail("the leader's proposed log does not end before its next slot");
    return false;
  }
  std::vector<std::byte> buffer(4096);
  wire::BodyWriter writer(buffer, member.proposed->chain());
  for (Client& client : clients_) {
    if (client.session == SessionId{}) {
      writer.add(wire::RunKind::open_session, SessionId{}, Sequence{}, 0, std::as_bytes(std::span(client.uuid.bytes)));
      continue;
    }
    const auto session = member.proposed->sessions().find(client.session);
    if (!session.has_value()) {
      oracle_.fail("a session is gone");
      return false;
    }
    Sequence next = member.proposed->sessions().at(*session).last + 1;
    for (std::size_t count = prng_.between(0, 3); count > 0 && next.value() <= client.wanted; --count, ++next) {
      writer.add(wire::RunKind::entries, client.session, next, 1, entry_of(next));
    }
  }
  if (writer.empty()) return false;
  const Bytes body = writer.finish();
  const auto view = wire::BodyView::decode(body);
  CHECK(view.has_value());
  const Checksum checksum(crc32c(body));
  const BodyHandle handle(static_cast<std::uint32_t>(member.pool.size()));
  member.pool.push_back({{body.begin(), body.end()}, true});
  ++member.bodies_alive;
  member.proposed->apply(member.engine->next_slot(), checksum, *view, [](const AppliedRun&) {});
  step(place, [&](Engine& engine) { engine.propose({checksum, static_cast<std::uint32_t>(body.size()), handle}, effects_); });
  return true;
}

void Cluster::rebuild_proposed(Member& member) {
  if (!member.engine->is_leader()) return member.proposed.reset();
  member.proposed = std::make_unique<LogState>(false);
  member.proposed->assign(*member.log);
  for (Slot slot = member.log->applied() + 1; slot < member.engine->next_slot(); ++slot) {
    const AcceptedSlot* open = member.engine->open_slot(slot);
    if (open == nullptr) return oracle_.fail("a new leader does not hold a value that it proposes again");
    const Bytes body = open->value.body == no_body ? Bytes{} : Bytes(member.pool[open->value.body.value()].bytes);
    const auto view = wire::BodyView::decode(body);
    CHECK(view.has_value());
    member.proposed->apply(slot, open->value.checksum, *view, [](const AppliedRun&) {});
  }
}

void Cluster::apply(std::size_t place, Slot slot, Checksum checksum, Bytes body) {
  Member& member = members_[place];
  if (oracle_.failed()) return;
  committed_ = std::max(committed_, slot);
  const auto view = wire::BodyView::decode(body);
  CHECK(view.has_value());
  if (!view->is_noop() && view->header().assumed_chain != member.log->chain()) ++void_slots_;
  member.log->apply(slot, checksum, *view, [&](const AppliedRun& run) {
    if (run.kind == wire::RunKind::open_session)
      opened(run);
    else
      appended(place, run);
  });
}

void Cluster::opened(const AppliedRun& run) {
  for (Client& client : clients_) {
    if (client.uuid == run.client && client.session == SessionId{}) client.session = run.session;
  }
}

void Cluster::appended(std::size_t place, const AppliedRun& run) {
  Member& member = members_[place];
  for (std::uint32_t i = 0; i < run.count; ++i) {
    Sequence& last = member.applied[run.session];
    if (run.first + i != last + 1) return oracle_.fail(fmt::format("member {} applied a sequence out of order", place));
    ++last;
    oracle_.applied(run.session, last, run.lsn + i);
    if (member.log->sessions().lsn_of(run.place, last) != run.lsn + i) oracle_.fail("a session forgot an LSN");
  }
  for (Client& client : clients_) {
    if (client.session == run.session) client.acked = std::max(client.acked, run.first.value() + run.count - 1);
  }
}

std::optional<std::size_t> Cluster::leader() const {
  std::optional<std::size_t> found;
  for (std::size_t place = 0; place < size(); ++place) {
    const Member& member = members_[place];
    if (!member.is_up() || !member.engine->is_leader()) continue;
    if (!found || members_[*found].engine->promised() < member.engine->promised()) found = place;
  }
  return found;
}

bool Cluster::has_converged() const {
  const Member* first = nullptr;
  for (const Member& member : members_) {
    if (!member.is_up() || !member.engine->may_vote()) continue;
    if (first == nullptr) first = &member;
    const LogState& a = *first->log;
    const LogState& b = *member.log;
    if (a.applied() != b.applied() || a.chain() != b.chain() || a.tail() != b.tail()) return false;
    if (a.sessions().size() != b.sessions().size() || first->applied != member.applied) return false;
  }
  return first != nullptr;
}

}  // namespace synod::consensus::testing
