// What clients ask of a node, and how they are answered.
#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "replica/node.h"
#include "wire/client.h"

namespace synod::replica {

using dataplane::Message;
using dataplane::Route;
using wire::AckLevel;
using wire::MessageType;
using wire::RefusalReason;

namespace {

// What a leader leaves free when it refuses appends: the journal's reserve, the largest vote (that is what the journal wants to
// have room for), and a share because the followers' disks are filled by other batches than ours.
constexpr std::uint64_t journal_reserve_bytes_max = 1U << 20;
constexpr std::uint64_t share_bytes_max = 32U << 20;
constexpr std::uint64_t journal_block_bytes = 4096;  // a record's block, at least

// A refusal that names as much of a malformed request as can be read: its number, or its message, session and sequence.
wire::Refused refusal_of(const Message& message, RefusalReason reason) {
  wire::Refused refused{.reason = reason};
  if (message.header.type != MessageType::append) {
    if (message.payload.size() >= sizeof(refused.request)) refused.request = load<std::uint64_t>(message.payload);
  } else if (message.payload.size() >= sizeof(wire::Append)) {
    const auto append = load<wire::Append>(message.payload);
    refused.request = message.header.message_id;
    refused.session = append.session;
    refused.sequence = append.first;
  }
  return refused;
}

}  // namespace

template <class T>
void Node::answer(const Route& client, MessageType type, const T& payload) {
  wire::PacketHeader header;
  header.type = type;
  header.ballot = engine_.promised();
  header.commit = engine_.commit();
  if (engine_.is_leader()) header.credit = credits_.share(client.port, messenger_.waiting_max(client.port));
  messenger_.send(client, header, bytes_of(payload));
}

void Node::refuse(const Route& client, wire::Refused refused) {
  ++counters_.appends_refused;
  refused.leader = engine_.leader();
  answer(client, MessageType::refused, refused);
}

void Node::on_client(const Message& message) {
  const Bytes payload = message.payload;
  const auto handle = [&]<class T>(std::expected<T, RefusalReason> request, auto use) {
    if (request) return use(*request);
    refuse(message.from, refusal_of(message, request.error()));
  };
  switch (message.header.type) {
    case MessageType::append: return handle(wire::decode_append(payload), [&](const auto& r) { on_append(r, message); });
    case MessageType::open_session:
      return handle(wire::decode_client<wire::OpenSession>(payload), [&](const auto& r) { on_open_session(r, message); });
    case MessageType::tail: return handle(wire::decode_client<wire::Tail>(payload), [&](const auto& r) { on_tail(r, message); });
    case MessageType::read:
      return handle(wire::decode_client<wire::Read>(payload), [&](const auto& r) { on_read_request(r, message); });
    case MessageType::trim: return handle(wire::decode_client<wire::Trim>(payload), [&](const auto& r) { on_trim(r, message); });
    case MessageType::status:
      return handle(wire::decode_client<wire::Status>(payload), [&](const auto& r) {
        wire::StatusAnswer reply = status();
        reply.request = r.request;
        answer(message.from, MessageType::status_answer, reply);
      });
    default: ++counters_.bad_messages;  // an answer sent to a replica
  }
}

// Appends end before votes do. Whoever succeeds this leader must accept every open slot once more before the cluster has a leader
// again; without room for that it would hold elections until the reserve is gone, too.
bool Node::has_room_for_appends() const {
  if (!journal_->has_space()) return false;
  const std::uint64_t capacity = journal_->bytes_capacity();
  const std::uint64_t room = journal_->bytes_free();
  if (room >= capacity / 2) return true;  // as a rule, and cheap
  std::uint64_t open_bytes = 0;
  for (Slot slot = engine_.commit() + 1; slot < engine_.next_slot(); ++slot) {
    const consensus::AcceptedSlot* open = engine_.open_slot(slot);
    if (open != nullptr) open_bytes += open->value.body_bytes + journal_block_bytes;
  }
  const std::uint64_t share = std::min(capacity / 8, share_bytes_max);
  return room >= journal_reserve_bytes_max + body_bytes_max + share + 2 * open_bytes;
}

void Node::on_open_session(const wire::OpenSession& request, const Message& message) {
  const auto refuse_it = [&](RefusalReason reason) { refuse(message.from, {.request = request.request, .reason = reason}); };
  if (!engine_.is_leader()) return refuse_it(RefusalReason::not_leader);
  if (!takes_appends_) return refuse_it(RefusalReason::no_space);
  const Uuid client = message.header.incarnation.disk;
  for (std::size_t i = 0; i < openings_.size(); ++i) {
    if (openings_[i].client != client) continue;
    // A retry: its opening is on its way.
    openings_[i].request = request.request;
    openings_[i].route = message.from;
    return;
  }
  if (openings_.full()) return refuse_it(RefusalReason::busy);
  if (intake_.is_closed()) propose_batch();
  if (!intake_.open_session(client)) return refuse_it(RefusalReason::busy);
  openings_.push({client, request.request, message.from, Slot{}});
}

void Node::on_append(const wire::AppendView& request, const Message& message) {
  const wire::Append& append = request.header;
  const std::uint64_t attempt = message.header.message_id;
  const auto refuse_it = [&](RefusalReason reason, Sequence sequence) {
    // (Who is told of a gap goes on counting on the attempt: it may have filled the gap by itself.)
    if (reason != RefusalReason::gap) refusals_.remember(append.session, attempt);
    refuse(message.from, {.request = attempt, .session = append.session, .sequence = sequence, .reason = reason});
  };
  if (!engine_.is_leader()) return refuse_it(RefusalReason::not_leader, append.first);
  if (!takes_appends_) return refuse_it(RefusalReason::no_space, append.first);
  if (refusals_.cover(append.session, attempt)) return refuse_it(RefusalReason::busy, append.first);
  const bool takes_level = waits_.takes(append.ack);
  Intake::Admission admission = intake_.append(request, takes_level);
  if (admission.verdict == Intake::Verdict::busy && intake_.is_closed()) {
    propose_batch();
    admission = intake_.append(request, takes_level);
  }
  switch (admission.verdict) {
    case Intake::Verdict::evicted:
      // A session that was opened beyond what we know as committed says that somebody else leads by now: no word on its fate.
      if (wire::opening_slot(append.session) > log_.applied()) return refuse_it(RefusalReason::busy, append.first);
      // Evicted by an opening that we have proposed and that is not chosen yet: it may never be (rule 8).
      if (log_.sessions().find(append.session).has_value()) return refuse_it(RefusalReason::busy, append.first);
      return refuse_it(RefusalReason::evicted, append.first);
    case Intake::Verdict::gap: return refuse_it(RefusalReason::gap, admission.next);
    case Intake::Verdict::busy: return refuse_it(RefusalReason::busy, append.first);
    case Intake::Verdict::duplicate:
      answer_appended({{}, append.session, admission.place, append.first, append.count, {}}, AckLevel::quorum, message.from);
      break;
    case Intake::Verdict::admitted:
      if (is_traced()) options_.trace->on_received();
      break;
  }
  if (append.ack != AckLevel::quorum) wait_for_level(append, admission);
  session_routes_[admission.place] = message.from;
  session_route_ids_[admission.place] = append.session;
  credits_.note(admission.place, message.from.port, now_us_);
}

// A repeated append whose entries are applied is answered again, one answer a stretch of consecutive LSNs. What is still on its
// way is answered when it commits.
void Node::answer_appended(const AckWait& asked, AckLevel level, const Route& client) {
  const consensus::Sessions& sessions = log_.sessions();
  if (sessions.at(asked.place).id != asked.session) return;  // opened, but not applied yet; or evicted
  wire::Appended appended{.session = asked.session, .ack = level};
  const auto send_stretch = [&] {
    if (appended.count > 0) answer(client, MessageType::appended, appended);
    appended.count = 0;
  };
  for (std::uint32_t i = 0; i < asked.count; ++i) {
    const Sequence sequence = asked.first + i;
    const auto lsn = sessions.lsn_of(asked.place, sequence);
    const bool is_missing = level == AckLevel::all && lsn.has_value() && *lsn < engine_.held_by_all_from();
    if (!lsn.has_value() || is_missing) {
      send_stretch();
      if (sequence > sessions.at(asked.place).last) return;
      continue;  // not on every disk, and never will be; or older than the ring: a client never has so many in flight
    }
    if (appended.count > 0 && appended.first_lsn + appended.count != *lsn) send_stretch();
    if (appended.count == 0) {
      appended.first = sequence;
      appended.first_lsn = *lsn;
    }
    ++appended.count;
  }
  send_stretch();
}

// An append of another level than `quorum` was admitted, or has come again. (An early answer is given once: if it is lost on its
// way, the final one follows. One of `all` waits as long as this replica leads; its client gives up at its deadline.)
void Node::wait_for_level(const wire::Append& request, const Intake::Admission& admission) {
  const bool admitted = admission.verdict == Intake::Verdict::admitted;
  const Slot newest = intake_.has_batch() ? engine_.next_slot() : engine_.next_slot() - 1;
  if (wire::is_early(request.ack)) {
    if (!admitted) return;
    return waits_.add(request.ack, {newest, request.session, admission.place, admission.next, admission.count, admission.lsn});
  }
  if (!admitted && waits_.holds(AckLevel::all, request.session, request.first, request.count)) return;
  waits_.add(AckLevel::all, {newest, request.session, admission.place, request.first, request.count, {}});
}

// Rule 10: whatever has reached its level, and all before it, too.
void Node::answer_waits() {
  if (waits_.empty()) return;
  for (const AckLevel level : {AckLevel::memory, AckLevel::leader, AckLevel::one, AckLevel::all}) {
    const Slot reached = engine_.reached(level);
    for (Ring<AckWait>& waits = waits_.of(level); !waits.empty() && waits.front().slot <= reached; waits_.pop(level)) {
      const AckWait& wait = waits.front();
      if (session_route_ids_[wait.place] != wait.session) continue;
      const Route& client = session_routes_[wait.place];
      if (level == AckLevel::all) {
        answer_appended(wait, level, client);
      } else if (wait.slot > engine_.commit()) {  // else the final answer was given already
        answer(client, MessageType::appended, wire::Appended{wait.session, wait.first, wait.lsn, wait.count, level});
      }
    }
  }
}

void Node::answer_run(const consensus::AppliedRun& run) {
  if (run.kind == wire::RunKind::trim) return;  // see answer_trims
  if (!engine_.is_leader()) return;
  if (run.kind == wire::RunKind::open_session) {
    flush_answer();
    for (std::size_t i = 0; i < openings_.size(); ++i) {
      const Opening opening = openings_[i];
      const bool is_ours = opening.slot == wire::opening_slot(run.session);
      if (!is_ours && !(mutant(Mutant::opening_answers_any) && opening.client == run.client)) continue;
      credits_.note(run.place, opening.route.port, now_us_);
      answer(opening.route, MessageType::session_opened, wire::SessionOpened{opening.request, run.session});
      openings_[i] = openings_.front();
      openings_.pop();
      return;
    }
    return;
  }
  consensus::AppliedRun& pending = pending_answer_;
  if (pending.count > 0 && pending.session == run.session && pending.first + pending.count == run.first &&
      pending.lsn + pending.count == run.lsn) {
    pending.count += run.count;
    return;
  }
  flush_answer();
  pending = run;
}

void Node::flush_answer() {
  if (pending_answer_.count == 0) return;
  const consensus::AppliedRun run = pending_answer_;
  pending_answer_.count = 0;
  // After a failover the client has perhaps not found us yet: its retry is answered from the session.
  if (session_route_ids_[run.place] != run.session) return;
  wire::Appended appended;
  appended.session = run.session;
  appended.first = run.first;
  appended.first_lsn = run.lsn;
  appended.count = run.count;
  answer(session_routes_[run.place], MessageType::appended, appended);
}

void Node::on_tail(const wire::Tail& request, const Message& message) {
  if (!engine_.is_leader()) return refuse(message.from, {.request = request.request, .reason = RefusalReason::not_leader});
  if (tails_.full()) return refuse(message.from, {.request = request.request, .reason = RefusalReason::busy});
  tails_.push({request.request, message.from, engine_.ask_probe()});
}

void Node::answer_tails() {
  if (tails_.empty() || engine_.commit() < engine_.settled_slot()) return;
  const Probe confirmed = mutant(Mutant::tail_without_probe) ? tails_.front().probe : engine_.confirmed_probe();
  for (; !tails_.empty() && tails_.front().probe <= confirmed; tails_.pop()) {
    answer(tails_.front().route, MessageType::tail_answer, wire::TailAnswer{tails_.front().request, log_.tail()});
  }
}

// A full disk must not stop the trim that brings its space back: unlike appends, trims are taken as long as votes are.
void Node::on_trim(const wire::Trim& request, const Message& message) {
  const auto refuse_it = [&](RefusalReason reason) { refuse(message.from, {.request = request.request, .reason = reason}); };
  if (!engine_.is_leader()) return refuse_it(RefusalReason::not_leader);
  // What was trimmed once stays trimmed: no need to say so in the log again.
  if (request.lsn <= log_.trim() && !mutant(Mutant::trim_falls)) {
    return answer(message.from, MessageType::trim_answer, wire::TrimAnswer{request.request, log_.trim()});
  }
  if (!journal_->has_space()) return refuse_it(RefusalReason::no_space);
  for (std::size_t i = 0; i < trims_.size(); ++i) {
    if (trims_[i].route == message.from && trims_[i].request == request.request) return;  // a retry: it is on its way
  }
  if (trims_.full()) return refuse_it(RefusalReason::busy);
  if (intake_.is_closed()) propose_batch();
  if (!intake_.trim(request.lsn)) return refuse_it(RefusalReason::busy);
  trims_.push({request.request, message.from, Slot{}});
}

// The slot is applied. Without a trim in it, what we proposed there was not chosen, or is void: the client asks again.
void Node::answer_trims(Slot slot, bool has_trimmed) {
  while (!trims_.empty() && trims_.front().slot != Slot{} && trims_.front().slot <= slot) {
    const TrimWait wait = trims_.front();
    trims_.pop();
    if (has_trimmed) {
      answer(wait.route, MessageType::trim_answer, wire::TrimAnswer{wait.request, log_.trim()});
    } else {
      refuse(wait.route, {.request = wait.request, .reason = RefusalReason::busy});
    }
  }
}

void Node::on_read_request(const wire::Read& request, const Message& message) {
  if (request.from >= request.to) {
    return refuse(message.from, {.request = request.request, .reason = RefusalReason::malformed});
  }
  const Lsn first_kept = std::max(log_.trim(), trimmed_);
  if (request.from < first_kept && !mutant(Mutant::trimmed_is_read)) {
    return refuse(message.from,
                  {.request = request.request, .sequence = Sequence(first_kept.value()), .reason = RefusalReason::trimmed});
  }
  // Once the disk has failed nothing more becomes durable. What is not, is in memory, and so is its page of the index.
  if (request.from < first_lsn_) return;  // others have it: unreadable is not absent
  const bool is_never_durable =
      failed_ && durable_slot() < index_->commit() && request.from >= (*index_)[durable_slot() + 1].base;
  const bool readable = request.from < log_.tail() && !is_never_durable;
  if (!readable) {
    // Nothing committed there, or never to be on our disk: say how far we are.
    wire::ReadAnswer nothing;
    nothing.request = request.request;
    nothing.from = request.from;
    nothing.tail = log_.tail();
    return answer(message.from, MessageType::read_answer, nothing);
  }
  if (!reads_.read(request, message.from)) refuse(message.from, {.request = request.request, .reason = RefusalReason::busy});
}

}  // namespace synod::replica
