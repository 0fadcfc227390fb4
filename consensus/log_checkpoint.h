// The log state as bytes: what a replica writes down so that it need not apply the whole log again when it starts, and what it
// sends to one that is behind a trim (wire and disk carry it in parts).
//
//   LogCheckpointHeader (48 bytes)
//   { id, last, slots since it was active; stretches of remembered LSNs { gap, count }* }*    one a session, in table order
//   CRC32C of all bytes before it (4 bytes)
//
// Numbers behind the header are unsigned varints: 7 bits a byte, the lowest first, the highest bit set in all bytes but the last;
// never longer than needed. A session remembers the LSNs of its newest min(last, session_window_max) entries, oldest first, as
// stretches of consecutive ones: `gap` is the distance from the end of the stretch before (of the first one: from LSN 0). The
// list ends when all are told. So there is one encoding of a state: replicas that applied the same slots write the same bytes.
//
// Sessions keep their places, so that a loaded state goes on exactly as the original would.
//
// Pure: no heap; the caller owns the buffers. Thread: any.
#pragma once

#include <cstdint>
#include <expected>

#include "base/bytes.h"
#include "consensus/log_state.h"
#include "wire/limits.h"

namespace synod::consensus {

inline constexpr std::uint32_t log_checkpoint_version = 1;

struct LogCheckpointHeader {
  std::uint32_t version = log_checkpoint_version;
  std::uint32_t sessions = 0;
  Slot applied;
  Lsn tail;
  wire::Chain chain;
  Lsn trim;
  std::uint64_t zero = 0;
};
static_assert(Format<LogCheckpointHeader> && sizeof(LogCheckpointHeader) == 48);

namespace log_checkpoint {
// A session's id leaves 48 bits for a slot, and a slot has a limit for its entries: no log is longer.
inline constexpr Slot applied_max{(std::uint64_t{1} << 48) - 1};
inline constexpr Lsn tail_max{applied_max.value() * entries_per_body_max};

inline constexpr std::size_t id_bytes_max = 10;    // 64 bits
inline constexpr std::size_t lsn_bytes_max = 9;    // 61 bits; sequences and gaps, too
inline constexpr std::size_t slot_bytes_max = 7;   // 48 bits
inline constexpr std::size_t count_bytes_max = 2;  // at most session_window_max
static_assert(tail_max.value() < (std::uint64_t{1} << (7 * lsn_bytes_max)));
static_assert(applied_max.value() < (std::uint64_t{1} << (7 * slot_bytes_max)));
static_assert(session_window_max < (1U << (7 * count_bytes_max)));
inline constexpr std::size_t session_bytes_max =
    id_bytes_max + lsn_bytes_max + slot_bytes_max + session_window_max * (lsn_bytes_max + count_bytes_max);
}  // namespace log_checkpoint

// Every place taken, and no two of a session's remembered LSNs consecutive: a stretch each. 44 MiB. (A thousand sessions that
// append one entry each in turn need 3 bytes an LSN, 12 MiB; a few busy ones some kilobytes.)
inline constexpr std::size_t log_checkpoint_bytes_max =
    sizeof(LogCheckpointHeader) + sessions_max * log_checkpoint::session_bytes_max + sizeof(std::uint32_t);

// Exactly as many bytes as encoding takes; at most log_checkpoint_bytes_max. Looks at every remembered LSN, as encoding does.
[[nodiscard]] std::size_t log_checkpoint_bytes(const LogState& log);
// Needs a state that keeps LSNs, and room for log_checkpoint_bytes. Returns the bytes used.
std::size_t encode_log_checkpoint(const LogState& log, MutableBytes to);

enum class CheckpointFault : std::uint8_t {
  too_short,
  bad_version,
  bad_checksum,
  bad_reserved,
  bad_position,  // no log stands there
  bad_number,    // cut off, longer than needed, or beyond 64 bits
  bad_session,   // its id, its last sequence or its slot cannot be
  bad_lsns,      // not rising, beyond the tail, or not as many as it must remember
  bad_length,    // bytes behind the last session
};

[[nodiscard]] const char* name(CheckpointFault fault);

// The gateway: hostile bytes into a state that could have come about. A fault leaves `log` as it was. Allocates nothing.
[[nodiscard]] std::expected<void, CheckpointFault> decode_log_checkpoint(Bytes bytes, LogState& log);
// The header of bytes that pass the gateway's first checks: length, version, checksum.
[[nodiscard]] std::expected<LogCheckpointHeader, CheckpointFault> log_checkpoint_header(Bytes bytes);

}  // namespace synod::consensus
