// What clients and replicas say to each other. Same packet header (source 0, the client's own Uuid as incarnation); the payload
// is one of these structs, followed by entries where the comment says so.
//
// A request is repeated by the client until it is answered or its deadline passes; every request may be repeated safely.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string_view>
#include <utility>

#include "base/bytes.h"
#include "base/ids.h"
#include "wire/body.h"
#include "wire/limits.h"
#include "wire/packet.h"

namespace synod::wire {

// When an append is answered (rule 10): chosen by each append, cumulative over everything before it in the log. The first two
// are final: committed, at its LSN for ever. The others are early: see Appended.
enum class AckLevel : std::uint8_t {
  quorum = 0,  // a quorum has it on stable storage
  memory = 1,  // a quorum, the leader among it, has received it
  leader = 2,  // it is on the leader's stable storage
  one = 3,     // that, and another replica has received it
  all = 4,     // committed, and on the stable storage of every member
};
inline constexpr std::size_t ack_levels = 5;

[[nodiscard]] const char* name(AckLevel level);
[[nodiscard]] std::optional<AckLevel> ack_level_of(std::string_view name);
[[nodiscard]] constexpr bool is_known(AckLevel level) {
  return static_cast<std::size_t>(level) < ack_levels;
}
[[nodiscard]] constexpr bool is_early(AckLevel level) {
  return level != AckLevel::quorum && level != AckLevel::all;
}
// Whether an answer that says `met` is the one that an append with level `asked` waits for.
[[nodiscard]] constexpr bool satisfies(AckLevel met, AckLevel asked) {
  return met == asked || met == AckLevel::all || (met == AckLevel::quorum && is_early(asked));
}

// Why a request was not done. `not appended` holds for every reason here: the replica did not propose the entries of this
// request.
enum class RefusalReason : std::uint8_t {
  not_leader = 1,   // ask `leader` (0: unknown, try another)
  busy = 2,         // queues are full; try again later
  evicted = 3,      // the session is unknown: its outcome beyond what was answered is unknown, open a new one
  gap = 4,          // `sequence` is the next one that the session admits; send from there
  too_large = 5,    // an entry or a request beyond the limits
  no_space = 6,     // the journal is full
  malformed = 7,    // the request could not be understood
  trimmed = 8,      // the LSN is below the trim watermark; `sequence` is the first LSN that is kept
  unsupported = 9,  // e.g. an acknowledgement level that this version does not know
};

[[nodiscard]] const char* name(RefusalReason reason);

struct OpenSession {
  std::uint64_t request = 0;
};

struct SessionOpened {
  std::uint64_t request = 0;
  SessionId session;
};

// Followed by the entries: { u32 length | payload }*, exactly `count`.
struct Append {
  SessionId session;
  Sequence first;
  std::uint32_t count = 0;
  AckLevel ack = AckLevel::quorum;
  std::uint8_t zero[3] = {};
};

// Entries first .. first + count - 1 of the session have reached the level `ack`. `quorum` and `all`: they are at first_lsn ..
// first_lsn + count - 1, for ever. An early level: that is where they will be if the leader of the header's ballot commits them;
// a failover may lose them, or move them. Then the final answer (`quorum`) follows when they commit.
struct Appended {
  SessionId session;
  Sequence first;
  Lsn first_lsn;
  std::uint32_t count = 0;
  AckLevel ack = AckLevel::quorum;
  std::uint8_t zero[3] = {};
};

struct Refused {
  std::uint64_t request = 0;  // of the refused request; for an append the id of its message: which attempt was refused
  SessionId session;          // of the refused append; none for another request
  Sequence sequence;          // of the refused append; for `gap` the next one admitted; for `trimmed` the first LSN kept
  ReplicaId leader;
  RefusalReason reason{};
  std::uint8_t zero[5] = {};
};

// Linearizable: the answer covers every append that was acknowledged before the request was sent.
struct Tail {
  std::uint64_t request = 0;
};

struct TailAnswer {
  std::uint64_t request = 0;
  Lsn tail;  // the LSN of the next entry: all below are committed
};

// Committed entries from `from` up to, not including, `to`, as many as fit in bytes_max (at least one).
struct Read {
  std::uint64_t request = 0;
  Lsn from;
  Lsn to;
  std::uint32_t bytes_max = 0;
  std::uint32_t zero = 0;
};

// Followed by `count` entries from `from`. None when nothing is committed there yet on this replica (its tail says so).
struct ReadAnswer {
  std::uint64_t request = 0;
  Lsn from;
  Lsn tail;  // of this replica: may lag behind the cluster's
  std::uint32_t count = 0;
  std::uint32_t zero = 0;
};

// Everything below `lsn` may go: it is refused with `trimmed` from then on, and its space comes back. Goes through the log, so
// all replicas trim alike. Beyond the tail it means the tail; one that is not above an earlier trim changes nothing.
struct Trim {
  std::uint64_t request = 0;
  Lsn lsn;
};

// The trim is committed.
struct TrimAnswer {
  std::uint64_t request = 0;
  Lsn lsn;  // the first LSN that is kept
};

struct Status {
  std::uint64_t request = 0;
};

enum class Role : std::uint8_t { follower = 0, candidate = 1, leader = 2 };

[[nodiscard]] const char* name(Role role);

// What a disk may have forgotten (rule 6).
enum class DoubtKind : std::uint8_t { none = 0, bounded = 1, unbounded = 2 };

[[nodiscard]] const char* name(DoubtKind doubt);

struct StatusAnswer {
  std::uint64_t request = 0;
  Ballot promised;
  Slot commit;
  Slot durable;  // end of the contiguous prefix of slots on stable storage here
  Lsn tail;
  std::uint64_t journal_bytes = 0;  // used
  std::uint64_t journal_bytes_capacity = 0;
  std::uint64_t sessions = 0;
  std::uint64_t appends = 0;    // entries applied since start
  std::uint64_t elections = 0;  // ballots raised here since start
  std::uint64_t packets_received = 0;
  std::uint64_t packets_sent = 0;
  std::uint64_t packets_dropped = 0;  // by any gateway, for any reason
  std::uint64_t uptime_us = 0;
  Lsn trim;                                // the first LSN that is kept
  std::uint64_t scrub_blocks_checked = 0;  // by the background reader, since start
  std::uint64_t scrub_blocks_bad = 0;      // of those, damaged
  std::uint64_t records_repaired = 0;      // fetched from peers and written again, since start
  std::uint32_t journal_failed_errno = 0;  // 0: the journal works
  std::uint32_t segments_total = 0;
  std::uint32_t segments_free = 0;  // behind the one that is written; some may not be ready yet
  ReplicaId replica;
  ReplicaId leader;  // 0: unknown
  std::uint16_t members = 0;
  Role role = Role::follower;
  std::uint8_t votes = 0;   // 1: has recorded all initial members and may vote
  std::uint8_t stable = 0;  // 1: stable storage, 0: memory or a disk that cannot promise it
  DoubtKind doubt = DoubtKind::none;
  std::uint8_t confirmed = 0;         // 1: its peers have confirmed that its disk is not behind what they heard
  std::uint8_t space_low = 0;         // 1: refuses appends until a trim brings space back
  std::uint32_t segments_ready = 0;   // zeroed, so that they can be written
  std::uint8_t stalled = 0;           // 1: the disk completes nothing, so this replica does not lead
  std::uint8_t preparing_failed = 0;  // 1: segments that are not ready cannot be made so just now; its log says why
  std::uint16_t groups = 0;           // that this replica's process runs: 0 and upwards, each at the next UDP port
};

static_assert(Format<OpenSession> && sizeof(OpenSession) == 8);
static_assert(Format<SessionOpened> && sizeof(SessionOpened) == 16);
static_assert(Format<Append> && sizeof(Append) == 24);
static_assert(Format<Appended> && sizeof(Appended) == 32);
static_assert(Format<Refused> && sizeof(Refused) == 32);
static_assert(Format<Tail> && sizeof(Tail) == 8);
static_assert(Format<TailAnswer> && sizeof(TailAnswer) == 16);
static_assert(Format<Read> && sizeof(Read) == 32);
static_assert(Format<ReadAnswer> && sizeof(ReadAnswer) == 32);
static_assert(Format<Trim> && sizeof(Trim) == 16);
static_assert(Format<TrimAnswer> && sizeof(TrimAnswer) == 16);
static_assert(Format<Status> && sizeof(Status) == 8);
static_assert(Format<StatusAnswer> && sizeof(StatusAnswer) == 176);

// The most bytes of entries that one append or read answer carries.
inline constexpr std::size_t request_entry_bytes_max = entry_bytes_max + entry_header_bytes;

// The gateway for fixed payloads: exactly one T, its reserved bytes zero.
template <Format T>
[[nodiscard]] std::expected<T, RefusalReason> decode_client(Bytes payload) {
  if (payload.size() != sizeof(T)) return std::unexpected(RefusalReason::malformed);
  const auto value = load<T>(payload);
  if constexpr (requires { value.zero; }) {
    if (!is_zero(bytes_of(value.zero))) return std::unexpected(RefusalReason::malformed);
  }
  return value;
}

struct AppendView {
  Append header;
  Bytes entries;
};
[[nodiscard]] std::expected<AppendView, RefusalReason> decode_append(Bytes payload);

[[nodiscard]] std::expected<Appended, RefusalReason> decode_appended(Bytes payload);

struct ReadAnswerView {
  ReadAnswer header;
  Bytes entries;
};
[[nodiscard]] std::expected<ReadAnswerView, RefusalReason> decode_read_answer(Bytes payload);

}  // namespace synod::wire
