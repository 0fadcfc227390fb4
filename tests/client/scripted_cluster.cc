#include "tests/client/scripted_cluster.h"

#include <algorithm>

#include "wire/cluster.h"

namespace synod::test {

using dataplane::Message;
using dataplane::Route;
using wire::MessageType;
using wire::RefusalReason;

ScriptedCluster::ScriptedCluster(Network& network, std::size_t replicas, ReplicaId leader)
    : network_(network), leader_(leader), believed_(leader) {
  for (std::size_t i = 0; i < replicas; ++i) {
    Replica replica;
    replica.id = ReplicaId(static_cast<std::uint16_t>(i + 1));
    replica.port = std::make_unique<Port>(network, dataplane::Endpoint{1, replica.id.value()});
    dataplane::LocalIdentity local{wire::cluster_id("test"), GroupId{}, replica.id, {}};
    local.incarnation.disk.bytes[0] = static_cast<std::byte>(i + 1);
    local.incarnation.open_count = 1;
    replica.messenger = std::make_unique<dataplane::Messenger>(local, dataplane::MessengerLimits{});
    replica.messenger->add_port(dataplane::PortRef(*replica.port));
    replicas_.push_back(std::move(replica));
  }
}

std::vector<client::Peer> ScriptedCluster::peers() const {
  std::vector<client::Peer> peers;
  peers.reserve(replicas_.size());
  for (const Replica& replica : replicas_) peers.push_back({replica.id, {0, {1, replica.id.value()}}});
  return peers;
}

void ScriptedCluster::poll() {
  if (successor_ != ReplicaId{} && network_.now_us >= succeeds_at_us_) {
    leader_ = believed_ = successor_;
    successor_ = ReplicaId{};
  }
  for (Replica& replica : replicas_) {
    replica.messenger->poll([&](const Message& message) {
      if (replica.alive) handle(replica, message);
    });
  }
  while (!pending_.empty() && pending_.front().commit_at_us <= network_.now_us) {
    commit(pending_.front(), &replica_of(leader_));
    pending_.pop_front();
  }
}

void ScriptedCluster::abandon_pending() {
  const std::size_t chosen = pending_.empty() ? 0 : network_.prng().below(pending_.size() + 1);
  for (std::size_t i = 0; i < chosen; ++i) commit(pending_[i], nullptr);
  pending_.clear();
}

void ScriptedCluster::kill_leader(ReplicaId successor, std::uint64_t election_us) {
  replica_of(leader_).alive = false;
  abandon_pending();
  leader_ = ReplicaId{};
  successor_ = successor;
  succeeds_at_us_ = network_.now_us + election_us;
}

void ScriptedCluster::hand_over(ReplicaId successor) {
  abandon_pending();
  leader_ = believed_ = successor;
}

Sequence ScriptedCluster::next_admitted(SessionId session) const {
  Sequence next(table_.at(session).size() + 1);
  for (const Run& run : pending_) {
    if (run.session == session) next = run.first + run.payloads.size();
  }
  return next;
}

template <class Answer>
void ScriptedCluster::answer(Replica& replica, const Route& to, MessageType type, const Answer& body, Bytes entries) {
  wire::PacketHeader header;
  header.type = type;
  header.credit = script.credit;
  replica.messenger->send(to, header, bytes_of(body), entries);
}

void ScriptedCluster::refuse(Replica& replica, const Message& to, RefusalReason reason, std::uint64_t request, SessionId session,
                             Sequence sequence) {
  wire::Refused refused;
  refused.request = request;
  refused.session = session;
  refused.sequence = sequence;
  refused.leader = script.hints ? believed_ : ReplicaId{};
  refused.reason = reason;
  last_refused = refused;
  answer(replica, to.from, MessageType::refused, refused);
}

void ScriptedCluster::commit(const Run& run, Replica* answering) {
  for (std::size_t i = 0; i < run.payloads.size(); ++i) {
    table_[run.session].emplace_back(log.size());
    log.push_back({run.session, run.first + i, run.payloads[i]});
  }
  if (answering == nullptr) return;
  answer_known(*answering, run.client, run.session, run.first, static_cast<std::uint32_t>(run.payloads.size()));
}

// One answer for each stretch of consecutive LSNs.
void ScriptedCluster::answer_known(Replica& replica, const Route& to, SessionId session, Sequence first, std::uint32_t count) {
  if (script.silent) return;
  const std::vector<Lsn>& lsns = table_[session];
  std::uint64_t place = first.value() - 1;
  const std::uint64_t end = std::min<std::uint64_t>(place + count, lsns.size());
  while (place < end) {
    wire::Appended appended{
        .session = session, .first = Sequence(place + 1), .first_lsn = lsns[place], .count = 0, .ack = {}, .zero = {}};
    while (place < end && lsns[place] == appended.first_lsn + appended.count) {
      ++appended.count;
      ++place;
    }
    answer(replica, to, MessageType::appended, appended);
  }
}

void ScriptedCluster::handle(Replica& replica, const Message& message) {
  const bool leads = replica.id == leader_;
  switch (message.header.type) {
    case MessageType::append: return handle_append(replica, message);
    case MessageType::open_session: return open_session(replica, message);
    case MessageType::tail: {
      const auto tail = load<wire::Tail>(message.payload);
      if (!leads) return refuse(replica, message, RefusalReason::not_leader, tail.request, {}, {});
      return answer(replica, message.from, MessageType::tail_answer, wire::TailAnswer{tail.request, Lsn(log.size())});
    }
    case MessageType::trim: {
      const auto request = load<wire::Trim>(message.payload);
      if (!leads) return refuse(replica, message, RefusalReason::not_leader, request.request, {}, {});
      trim = std::max(trim, std::min(request.lsn, Lsn(log.size())));
      return answer(replica, message.from, MessageType::trim_answer, wire::TrimAnswer{request.request, trim});
    }
    case MessageType::read: return handle_read(replica, message);
    case MessageType::status: {
      wire::StatusAnswer status;
      status.request = load<wire::Status>(message.payload).request;
      status.replica = replica.id;
      status.role = leads ? wire::Role::leader : wire::Role::follower;
      return answer(replica, message.from, MessageType::status_answer, status);
    }
    default: return;
  }
}

void ScriptedCluster::open_session(Replica& replica, const Message& message) {
  const auto request = load<wire::OpenSession>(message.payload).request;
  if (replica.id != leader_) return refuse(replica, message, RefusalReason::not_leader, request, {}, {});
  const SessionId session(++sessions_opened << 16);
  table_[session] = {};
  answer(replica, message.from, MessageType::session_opened, wire::SessionOpened{request, session});
}

void ScriptedCluster::handle_read(Replica& replica, const Message& message) {
  const auto read = load<wire::Read>(message.payload);
  if (read.from < trim) {
    return refuse(replica, message, RefusalReason::trimmed, read.request, {}, Sequence(trim.value()));
  }
  wire::ReadAnswer header{.request = read.request, .from = read.from, .tail = Lsn(log.size()), .count = 0, .zero = 0};
  std::vector<std::byte> entries;
  const Lsn end = replica.id == script.lagging ? Lsn{} : std::min(read.to, Lsn(log.size()));
  for (Lsn lsn = read.from; lsn < end; ++lsn, ++header.count) {
    const std::string& payload = log[lsn.value()].payload;
    if (header.count > 0 && entries.size() + payload.size() + 4 > read.bytes_max) break;
    const auto length = static_cast<std::uint32_t>(payload.size());
    entries.insert(entries.end(), bytes_of(length).begin(), bytes_of(length).end());
    entries.insert(entries.end(), bytes_of(payload).begin(), bytes_of(payload).end());
  }
  answer(replica, message.from, MessageType::read_answer, header, entries);
}

void ScriptedCluster::handle_append(Replica& replica, const Message& message) {
  const auto append = wire::decode_append(message.payload);
  const SessionId session = append ? append->header.session : SessionId{};
  const Sequence first = append ? append->header.first : Sequence{};
  const auto refused = [&](RefusalReason reason, Sequence sequence) {
    refuse(replica, message, reason, message.header.message_id, session, sequence);
  };
  if (!append) return refused(append.error(), first);
  ++append_messages;
  append_entries += append->header.count;
  if (replica.id != leader_) {
    ++appends_refused[replica.id];
    return refused(RefusalReason::not_leader, first);
  }
  if (!table_.contains(session)) return refused(RefusalReason::evicted, first);
  const Sequence next = next_admitted(session);
  const Sequence end = first + append->header.count;
  if (first < next) {
    answer_known(replica, message.from, session, first, append->header.count);
    if (end > next) refused(RefusalReason::gap, next);
    return;
  }
  if (first > next) return refused(RefusalReason::gap, next);
  if (script.too_large) return refused(RefusalReason::too_large, first);
  if (script.no_space) return refused(RefusalReason::no_space, first);
  if (pending_.size() >= script.pending_runs_max || network_.prng().chance(script.busy_permille, 1000)) {
    return refused(RefusalReason::busy, first);
  }
  Run run{.session = session,
          .first = first,
          .payloads = {},
          .commit_at_us = network_.now_us + script.commit_us,
          .client = message.from};
  Bytes rest = append->entries;
  while (!rest.empty()) {
    const auto split = wire::split_entry(rest);
    run.payloads.emplace_back(reinterpret_cast<const char*>(split.payload.data()), split.payload.size());
    rest = split.rest;
  }
  pending_.push_back(std::move(run));
}

}  // namespace synod::test
