// One small request (open session, tail, trim, read, status) that is repeated until it is answered or its time is over. Without
// I/O.
//
// A call asks the leader, wherever the search for it leads, or one given replica. Every request may be repeated safely, and an
// answer is matched by its request number. Thread: one. No heap, but for the entries of a read answer.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "client/leader.h"
#include "dataplane/messenger.h"
#include "wire/client.h"

namespace synod::client {

enum class CallState : std::uint8_t { idle, waiting, answered, refused, expired };

class Call {
 public:
  // `request` numbers are unique within the client process. `timeout_us` 0: never expires.
  void start_open_session(std::uint64_t request, std::uint64_t now_us, std::uint64_t timeout_us);
  void start_tail(std::uint64_t request, std::uint64_t now_us, std::uint64_t timeout_us);
  void start_trim(std::uint64_t request, Lsn lsn, std::uint64_t now_us, std::uint64_t timeout_us);
  // Of whichever replica the search leads to: one that has nothing there is not the last to be asked, so `from` must be
  // committed.
  void start_read(std::uint64_t request, Lsn from, Lsn to, std::uint32_t bytes_max, std::optional<Peer> replica,
                  std::uint64_t now_us, std::uint64_t timeout_us);
  void start_status(std::uint64_t request, const Peer& replica, std::uint64_t now_us, std::uint64_t timeout_us);
  void cancel() { state_ = CallState::idle; }
  // The deadline counts from now on. `timeout_us` 0: never expires.
  void renew_deadline(std::uint64_t now_us, std::uint64_t timeout_us) { expires_us_ = timeout_us == 0 ? 0 : now_us + timeout_us; }

  [[nodiscard]] CallState state() const { return state_; }
  [[nodiscard]] bool waiting() const { return state_ == CallState::waiting; }
  [[nodiscard]] bool asks_leader() const { return !replica_.has_value(); }
  // Why it was refused last: final in state `refused`, a hint in `waiting` and `expired`.
  [[nodiscard]] std::optional<wire::RefusalReason> refusal() const { return refusal_; }

  // Of a read that was refused with `trimmed`: the first LSN that can be read.
  [[nodiscard]] Lsn first_kept() const { return first_kept_; }

  // Of an answered call of that kind.
  [[nodiscard]] SessionId session() const { return load<wire::SessionOpened>(answer_).session; }
  [[nodiscard]] Lsn tail() const { return load<wire::TailAnswer>(answer_).tail; }
  [[nodiscard]] Lsn trimmed_to() const { return load<wire::TrimAnswer>(answer_).lsn; }
  [[nodiscard]] wire::StatusAnswer status() const { return load<wire::StatusAnswer>(answer_); }
  [[nodiscard]] wire::ReadAnswer read() const { return load<wire::ReadAnswer>(answer_); }
  [[nodiscard]] Bytes entries() const { return entries_; }  // of a read, valid until the next start
  // Takes them, for a caller that starts the next read before it is done with them.
  void swap_entries(std::vector<std::byte>& other) { entries_.swap(other); }

  // True if the message belonged to this call. `leader` may be null for calls to a given replica.
  bool on_message(const dataplane::Message& message, LeaderSearch* leader, std::uint64_t now_us);
  void on_tick(dataplane::Messenger& messenger, const LeaderSearch& leader, std::uint64_t now_us);

 private:
  template <class Request>
  void start(wire::MessageType type, wire::MessageType answer, const Request& request, std::uint64_t now_us,
             std::uint64_t timeout_us, std::optional<Peer> replica);
  bool on_refused(const dataplane::Message& message, LeaderSearch* leader, std::uint64_t now_us);
  [[nodiscard]] bool take_answer(Bytes payload);
  [[nodiscard]] bool has_nothing_to_read() const;

  CallState state_ = CallState::idle;
  wire::MessageType type_{};
  wire::MessageType answer_type_{};
  std::optional<Peer> replica_;
  std::uint64_t request_ = 0;
  std::array<std::byte, sizeof(wire::Read)> payload_{};
  std::size_t payload_bytes_ = 0;
  Lsn read_from_;
  Lsn read_to_;
  Lsn first_kept_;
  std::array<std::byte, sizeof(wire::StatusAnswer)> answer_{};
  std::vector<std::byte> entries_;
  std::optional<wire::RefusalReason> refusal_;
  std::uint64_t expires_us_ = 0;  // 0: never
  std::uint64_t due_us_ = 0;      // of the next transmission
  std::uint64_t pause_us_ = 0;    // until the one after it
  std::uint64_t moves_ = 0;       // of the leader search, when the request was sent last
  bool sent_ = false;
};

}  // namespace synod::client
