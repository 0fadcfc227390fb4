// The limits that every layer shares. What is sized at start is sized from these.
#pragma once

#include <cstddef>
#include <cstdint>

namespace synod {

inline constexpr std::size_t members_max = 7;
inline constexpr std::size_t groups_max = 64;                          // of one process
inline constexpr std::size_t entry_bytes_max = 1U << 20;               // one client payload
inline constexpr std::size_t body_bytes_max = entry_bytes_max + 4096;  // the value of one slot
inline constexpr std::size_t body_bytes_batch = 64U << 10;             // a batch stops growing here, unless one entry is larger
inline constexpr std::size_t entries_per_body_max = 8192;
inline constexpr std::size_t window_slots_max = 256;     // open slots; a promise lists at most so many
inline constexpr std::size_t sessions_max = 1024;        // open at a time; the least recently active one is evicted
inline constexpr std::size_t session_window_max = 4096;  // a session's entries in flight, and the LSNs remembered for it
inline constexpr std::size_t message_bytes_max = body_bytes_max + 4096;

static_assert(body_bytes_batch <= body_bytes_max);

}  // namespace synod
