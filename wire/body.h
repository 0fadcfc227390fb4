// The body: the value of one slot. A batch of runs; each run is a stretch of one session's entries with consecutive
// sequence numbers, copied as the client sent it. An empty body is a no-op. No LSN and no ballot inside.
//
//   BodyHeader (24 bytes) | { RunHeader (32 bytes) | { u32 length | payload }* | zero to a multiple of 8 }*
//
// `assumed_chain` ties a value to everything before it: the proposer writes the chain value (see below) of the log that it was
// extending. A slot whose assumption does not hold where it is chosen is *void*: it takes no LSN and changes no session. That
// happens when a leader dies with several slots in flight and a later leader fills one of them with a no-op. So an entry is in
// the log only behind everything that its leader had put before it, and a client that keeps many appends in flight finds them
// in its own order, across any failover. (Leader-based logs with a prefix property get this from their log matching; Multi-Paxos
// chooses slots independently and needs the chain.) Nobody is answered for a void slot; the client's retry proposes it again.
#pragma once

#include <cstdint>
#include <expected>

#include "base/bytes.h"
#include "base/ids.h"
#include "wire/limits.h"

namespace synod::wire {

// A hash over all values up to a slot. Chain{} is the empty log's.
using Chain = StrongId<struct ChainTag, std::uint64_t>;

// The chain after a slot with this value. A bijection in `before`, so two different logs never meet again by appending the same
// values.
[[nodiscard]] Chain extend(Chain before, Checksum value);

struct BodyHeader {
  Chain assumed_chain;
  std::uint32_t runs = 0;
  std::uint32_t entries = 0;  // that take an LSN
  std::uint64_t zero = 0;     // reserved
};
static_assert(Format<BodyHeader> && sizeof(BodyHeader) == 24);

enum class RunKind : std::uint8_t {
  entries = 1,       // client payloads, one LSN each
  open_session = 2,  // control: opens a session whose id is this run's position. Payload: the client's Uuid. No LSN
  trim = 3,          // control: entries below the LSN that is its payload (8 bytes) may go. No LSN, no session
};

struct RunHeader {
  SessionId session;        // none for open_session and trim
  Sequence first;           // sequence number of the first entry
  std::uint32_t bytes = 0;  // of the entries behind this header, with their lengths, without padding
  std::uint32_t entries = 0;
  RunKind kind = RunKind::entries;
  std::uint8_t zero[7] = {};
};
static_assert(Format<RunHeader> && sizeof(RunHeader) == 32);

inline constexpr std::size_t entry_header_bytes = sizeof(std::uint32_t);

struct RunView {
  RunHeader header;
  Bytes entries;            // { u32 length | payload }*
  std::uint32_t place = 0;  // of this run in its body, counted from 0
};

enum class BodyFault : std::uint8_t { too_short, bad_count, bad_kind, bad_length, bad_entry, bad_reserved };

[[nodiscard]] const char* name(BodyFault fault);

// Checks that `entries` holds exactly `count` entries within the limits.
[[nodiscard]] bool entries_are_valid(Bytes entries, std::uint32_t count);

// The first entry of a valid list, and the rest.
struct EntrySplit {
  Bytes payload;
  Bytes rest;
};
[[nodiscard]] EntrySplit split_entry(Bytes entries);

// A validated body.
class BodyView {
 public:
  // The gateway. An empty `body` is the no-op.
  [[nodiscard]] static std::expected<BodyView, BodyFault> decode(Bytes body);
  // One that the gateway has taken before, or that a BodyWriter has finished.
  [[nodiscard]] static BodyView known(Bytes body);

  [[nodiscard]] bool is_noop() const { return body_.empty(); }
  [[nodiscard]] const BodyHeader& header() const { return header_; }

  // Calls use(const RunView&) for each run in order.
  template <class Use>
  void for_each_run(Use&& use) const {
    Bytes rest = body_.empty() ? body_ : body_.subspan(sizeof(BodyHeader));
    for (std::uint32_t place = 0; place < header_.runs; ++place) {
      const auto run = load<RunHeader>(rest);
      use(RunView{run, rest.subspan(sizeof(RunHeader), run.bytes), place});
      rest = rest.subspan(sizeof(RunHeader) + align_up(run.bytes, 8));
    }
  }

 private:
  Bytes body_;
  BodyHeader header_;
};

// Builds a body in a caller's buffer.
class BodyWriter {
 public:
  BodyWriter() = default;
  BodyWriter(MutableBytes buffer, Chain assumed_chain);

  [[nodiscard]] bool empty() const { return header_.runs == 0; }
  [[nodiscard]] std::uint32_t entries() const { return header_.entries; }
  [[nodiscard]] std::size_t bytes() const { return used_; }
  // Whether a run of so many bytes and entries still fits under `limit` bytes in all.
  [[nodiscard]] bool fits(std::size_t run_bytes, std::uint32_t entries, std::size_t limit) const;
  // Appends entries; returns the place of their run in the body. Entries that continue the last run's session join it, so a run
  // may span many requests. Needs fits().
  std::uint32_t add(RunKind kind, SessionId session, Sequence first, std::uint32_t count, Bytes entries);
  // The finished body.
  [[nodiscard]] Bytes finish();

 private:
  [[nodiscard]] bool continues(RunKind kind, SessionId session, Sequence first) const;
  void put(Bytes entries, std::uint32_t count);

  MutableBytes buffer_;
  BodyHeader header_;
  RunHeader run_;  // the last run; stored when it changes
  std::size_t run_offset_ = 0;
  std::size_t used_ = 0;
};

// The id of the session that the run at `place` of `slot` opens.
[[nodiscard]] constexpr SessionId session_id(Slot slot, std::uint32_t place) {
  return SessionId((slot.value() << 16) | place);
}

[[nodiscard]] constexpr Slot opening_slot(SessionId session) {
  return Slot(session.value() >> 16);
}

}  // namespace synod::wire
