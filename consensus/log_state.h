// The replicated state machine under every log: what the chosen slots, applied in order, say about LSNs and sessions.
//
// Deterministic: a function of the values only, so every replica that applied the same slots holds the same state. A leader keeps
// a second one, which is ahead by the slots that it has proposed, to admit appends (rule 8).
//
// A slot whose value does not continue the log that its proposer assumed (wire/body.h, `assumed_chain`) is void: it changes
// nothing but the chain.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/check.h"
#include "base/ids.h"
#include "base/mutant.h"
#include "consensus/sessions.h"
#include "wire/body.h"

namespace synod::consensus {

struct AppliedRun {
  Sessions::Place place = 0;
  SessionId session;
  wire::RunKind kind{};
  Uuid client;  // of open_session
  Sequence first;
  std::uint32_t count = 0;
  Lsn lsn;  // of the first entry; of trim: the first LSN that is kept from here on
};

class LogState {
 public:
  explicit LogState(bool keeps_lsns) : sessions_(keeps_lsns) {}

  [[nodiscard]] Slot applied() const { return applied_; }
  [[nodiscard]] Lsn tail() const { return tail_; }
  [[nodiscard]] wire::Chain chain() const { return chain_; }
  // The first LSN that is kept: what lies below may go. Never falls, never above the tail.
  [[nodiscard]] Lsn trim() const { return trim_; }
  [[nodiscard]] const Sessions& sessions() const { return sessions_; }

  // Applies the value of the next slot and calls on_run(const AppliedRun&) for each run that took effect.
  template <class OnRun>
  void apply(Slot slot, Checksum checksum, const wire::BodyView& body, OnRun&& on_run) {
    CHECK_EQ(slot, applied_ + 1);
    const bool is_void = !body.is_noop() && body.header().assumed_chain != chain_;
    if (!is_void) body.for_each_run([&](const wire::RunView& run) { apply_run(slot, run, on_run); });
    if (is_void && mutant(Mutant::lsn_from_old_base)) tail_ = tail_ + body.header().entries;
    chain_ = wire::extend(chain_, checksum);
    applied_ = slot;
  }

  // Where a log state stands, but for its sessions.
  struct Position {
    Slot applied;
    Lsn tail;
    wire::Chain chain;
    Lsn trim;
  };
  // Becomes the state at `position`, so far without a session. load_session gives it the next one; load_lsns what that remembers
  // of its entries first .. first + count - 1. (A state from a checkpoint: consensus/log_checkpoint.h.)
  void begin_load(const Position& position) {
    applied_ = position.applied;
    tail_ = position.tail;
    chain_ = position.chain;
    trim_ = position.trim;
    sessions_.clear();
  }
  Sessions::Place load_session(const Session& session) { return sessions_.restore(session); }
  void load_lsns(Sessions::Place place, Sequence first, std::uint32_t count, Lsn lsn) {
    sessions_.remember(place, first, count, lsn);
  }

  // Becomes a copy of another state, but for the LSNs of old appends.
  void assign(const LogState& other) {
    applied_ = other.applied_;
    tail_ = other.tail_;
    chain_ = other.chain_;
    trim_ = other.trim_;
    sessions_.assign(other.sessions_);
  }

 private:
  template <class OnRun>
  void apply_run(Slot slot, const wire::RunView& run, OnRun& on_run) {
    AppliedRun applied;
    applied.kind = run.header.kind;
    applied.first = run.header.first;
    applied.count = run.header.entries;
    applied.lsn = tail_;
    if (run.header.kind == wire::RunKind::open_session) {
      applied.session = wire::session_id(slot, run.place);
      applied.client = load<Uuid>(run.entries);
      applied.place = sessions_.open(applied.session, slot);
      return on_run(applied);
    }
    if (run.header.kind == wire::RunKind::trim) {
      // An old trim that a retry brings again, or one beyond the tail, which says "all that there is".
      const Lsn asked = std::min(load<Lsn>(run.entries), tail_);
      trim_ = mutant(Mutant::trim_falls) ? asked : std::max(trim_, asked);
      applied.lsn = trim_;
      return on_run(applied);
    }
    // The chain holds, so this is the very state on which the leader admitted the run. A run that does not fit is a leader's
    // bug; it must not stop the other replicas, and they all decide alike: it takes its LSNs, and no session remembers it.
    const auto place = sessions_.find(run.header.session);
    const bool fits = place.has_value() && sessions_.at(*place).last + 1 == run.header.first;
    if (fits) sessions_.append(*place, run.header.first, run.header.entries, tail_, slot);
    tail_ = tail_ + run.header.entries;
    if (!fits) return;
    applied.session = run.header.session;
    applied.place = *place;
    on_run(applied);
  }

  Slot applied_;
  Lsn tail_;
  wire::Chain chain_;
  Lsn trim_;
  Sessions sessions_;
};

}  // namespace synod::consensus
