#include "client/call.h"

#include <algorithm>

#include "base/check.h"

namespace synod::client {

namespace {

constexpr std::uint64_t pause_us_first = 20'000;
constexpr std::uint64_t pause_us_max = 200'000;

}  // namespace

template <class Request>
void Call::start(wire::MessageType type, wire::MessageType answer, const Request& request, std::uint64_t now_us,
                 std::uint64_t timeout_us, std::optional<Peer> replica) {
  static_assert(sizeof(Request) <= sizeof(wire::Read));
  CHECK(!waiting());
  state_ = CallState::waiting;
  type_ = type;
  answer_type_ = answer;
  replica_ = replica;
  request_ = request.request;
  store(payload_, request);
  payload_bytes_ = sizeof(Request);
  refusal_.reset();
  first_kept_ = Lsn{};
  expires_us_ = timeout_us == 0 ? 0 : now_us + timeout_us;
  due_us_ = now_us;
  pause_us_ = pause_us_first;
  sent_ = false;
}

void Call::start_open_session(std::uint64_t request, std::uint64_t now_us, std::uint64_t timeout_us) {
  start(wire::MessageType::open_session, wire::MessageType::session_opened, wire::OpenSession{request}, now_us, timeout_us, {});
}

void Call::start_tail(std::uint64_t request, std::uint64_t now_us, std::uint64_t timeout_us) {
  start(wire::MessageType::tail, wire::MessageType::tail_answer, wire::Tail{request}, now_us, timeout_us, {});
}

void Call::start_trim(std::uint64_t request, Lsn lsn, std::uint64_t now_us, std::uint64_t timeout_us) {
  start(wire::MessageType::trim, wire::MessageType::trim_answer, wire::Trim{request, lsn}, now_us, timeout_us, {});
}

void Call::start_read(std::uint64_t request, Lsn from, Lsn to, std::uint32_t bytes_max, std::optional<Peer> replica,
                      std::uint64_t now_us, std::uint64_t timeout_us) {
  CHECK_LE(from, to);
  read_from_ = from;
  read_to_ = to;
  entries_.reserve(wire::request_entry_bytes_max);
  const wire::Read read{.request = request, .from = from, .to = to, .bytes_max = bytes_max, .zero = 0};
  start(wire::MessageType::read, wire::MessageType::read_answer, read, now_us, timeout_us, replica);
}

void Call::start_status(std::uint64_t request, const Peer& replica, std::uint64_t now_us, std::uint64_t timeout_us) {
  start(wire::MessageType::status, wire::MessageType::status_answer, wire::Status{request}, now_us, timeout_us, replica);
}

bool Call::on_message(const dataplane::Message& message, LeaderSearch* leader, std::uint64_t now_us) {
  if (!waiting()) return false;
  if (replica_ && message.header.source != replica_->id) return false;
  if (message.header.type == wire::MessageType::refused) return on_refused(message, leader, now_us);
  if (message.header.type != answer_type_ || !take_answer(message.payload)) return false;
  if (has_nothing_to_read() && asks_leader()) {
    // A follower that lags, or whose disk has failed. Others have what the caller knows to be there.
    refusal_ = wire::RefusalReason::not_leader;
    leader->on_not_leader(message.header.source, ReplicaId{}, now_us);
    return true;
  }
  if (asks_leader()) leader->on_leader(message.header.source, now_us);
  state_ = CallState::answered;
  return true;
}

bool Call::has_nothing_to_read() const {
  return answer_type_ == wire::MessageType::read_answer && read().count == 0;
}

bool Call::take_answer(Bytes payload) {
  if (answer_type_ == wire::MessageType::read_answer) {
    const auto view = wire::decode_read_answer(payload);
    if (!view || view->header.request != request_) return false;
    if (view->header.from != read_from_ || view->header.count > read_to_ - read_from_) return false;
    if (view->entries.size() > wire::request_entry_bytes_max) return false;
    entries_.assign(view->entries.begin(), view->entries.end());
    store(answer_, view->header);
    return true;
  }
  std::size_t bytes = sizeof(wire::StatusAnswer);
  if (answer_type_ == wire::MessageType::session_opened) bytes = sizeof(wire::SessionOpened);
  if (answer_type_ == wire::MessageType::tail_answer) bytes = sizeof(wire::TailAnswer);
  if (answer_type_ == wire::MessageType::trim_answer) bytes = sizeof(wire::TrimAnswer);
  if (payload.size() != bytes || load<std::uint64_t>(payload) != request_) return false;
  copy(answer_, payload);
  return true;
}

bool Call::on_refused(const dataplane::Message& message, LeaderSearch* leader, std::uint64_t now_us) {
  const auto refused = wire::decode_client<wire::Refused>(message.payload);
  if (!refused || refused->session != SessionId{} || refused->request != request_) return false;
  refusal_ = refused->reason;
  switch (refused->reason) {
    case wire::RefusalReason::not_leader:
      if (asks_leader()) {
        leader->on_not_leader(message.header.source, refused->leader, now_us);
      } else {
        state_ = CallState::refused;
      }
      break;
    case wire::RefusalReason::no_space:
      // Only a leader says so: the search is over, and the answer stays this one.
      if (asks_leader()) leader->on_leader(message.header.source, now_us);
      [[fallthrough]];
    case wire::RefusalReason::busy:
      // The next transmission waits its full pause, counted from here.
      due_us_ = std::max(due_us_, now_us + pause_us_ / 2);
      break;
    case wire::RefusalReason::trimmed: first_kept_ = Lsn(refused->sequence.value()); [[fallthrough]];
    default: state_ = CallState::refused; break;
  }
  return true;
}

void Call::on_tick(dataplane::Messenger& messenger, const LeaderSearch& leader, std::uint64_t now_us) {
  if (!waiting()) return;
  if (expires_us_ != 0 && now_us >= expires_us_) {
    state_ = CallState::expired;
    return;
  }
  const bool moved = asks_leader() && moves_ != leader.moves();
  if (moved) pause_us_ = pause_us_first;
  if (asks_leader() && !leader.ready(now_us)) return;
  if (sent_ && !moved && now_us < due_us_) return;
  const Peer& to = replica_ ? *replica_ : leader.target();
  wire::PacketHeader header;
  header.type = type_;
  header.destination = to.id;
  messenger.send(to.route, header, Bytes(payload_).first(payload_bytes_));
  sent_ = true;
  moves_ = leader.moves();
  due_us_ = now_us + pause_us_;
  pause_us_ = std::min(pause_us_ * 2, pause_us_max);
}

}  // namespace synod::client
