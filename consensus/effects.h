// What goes into the engine and what comes out of it.
//
// The engine never acts. It fills a caller-owned, fixed-size Effects, which the caller carries out in this order:
//   persists (staged in order: the n-th persist ever asked for has PersistNumber n), sends, serves, commits, then releases.
// Nothing in `sends` speaks of a promise or a vote that is not on stable storage: those are held inside the engine until
// on_durable covers their record (durable before visible, by structure).
#pragma once

#include <array>
#include <cstdint>

#include "base/fixed_vector.h"
#include "base/ids.h"
#include "wire/message.h"
#include "wire/record.h"

namespace synod::consensus {

// A body in the caller's pool. The engine passes it on and says when it needs it no more; it never looks inside.
using BodyHandle = StrongId<struct BodyTag, std::uint32_t>;
inline constexpr BodyHandle no_body{0xFFFFFFFF};  // also the body of a no-op

// The value of a slot as the engine sees it.
struct Value {
  Checksum checksum;
  std::uint32_t body_bytes = 0;
  BodyHandle body = no_body;
};

// One message to one peer. Where the payload holds a record its body is empty: the caller puts `body` there.
struct Send {
  ReplicaId to;
  Ballot ballot;
  Slot commit;
  Probe probe;
  wire::PeerPayload payload;
  BodyHandle body = no_body;
};

// One record for the journal.
struct Persist {
  wire::RecordKind kind{};
  Slot slot;
  Ballot ballot;
  Value value;  // of accepted and chosen; for members the caller writes the uuids that Engine::member_uuids tells
  // Of repair: `slot` and `ballot` are Doubt::last and Doubt::bound, none where there is no bound.
};

// A slot that is now committed; they come in slot order, each once. The body is alive until its release.
struct Commit {
  Slot slot;
  Value value;
};

// A peer asks for chosen slots: send each as Chosen, from the journal.
struct Serve {
  ReplicaId to;
  Slot from;
  Slot last;
};

struct Effects {
  FixedVector<Persist, 40> persists;
  FixedVector<Send, 48> sends;
  FixedVector<Serve, 8> serves;
  FixedVector<Commit, 16> commits;
  FixedVector<BodyHandle, 2 * window_slots_max + 64> releases;
  std::array<wire::PromisedSlot, window_slots_max> report{};  // what the promise among `sends` lists
  // How many records the caller can take now, set before each call (clear keeps them). While the disk is behind or space is out,
  // these are 0: the engine then neither votes nor promises, and goes on with everything that needs no disk.
  std::size_t votes_max = decltype(persists)::capacity();
  std::size_t controls_max = decltype(persists)::capacity();
  // Set when this replica becomes leader (all values that it must re-propose are held and staged), and when it stops being it.
  bool leadership_changed = false;
  // Not 0: this disk is older than others know. The caller puts an open count of at least this on stable storage, sends under it
  // from then on, and tells Engine::raise_open_count. Asked for again until that was done.
  std::uint64_t open_count_floor = 0;
  std::size_t votes = 0;     // of `persists`, those of kind accepted and chosen
  std::size_t controls = 0;  // and the others

  void clear() {
    persists.clear();
    sends.clear();
    serves.clear();
    commits.clear();
    releases.clear();
    votes = 0;
    controls = 0;
    leadership_changed = false;
    open_count_floor = 0;
  }
  [[nodiscard]] bool may_stage_vote() const { return !persists.full() && votes < votes_max; }
  [[nodiscard]] bool may_stage_control() const { return !persists.full() && controls < controls_max; }
  [[nodiscard]] bool empty() const {
    return persists.empty() && sends.empty() && serves.empty() && commits.empty() && releases.empty() && !leadership_changed;
  }
};

// Time is microseconds of a monotonic clock that the caller reads once per loop.
struct Timeouts {
  std::uint64_t heartbeat_us = 5'000;
  std::uint64_t ask_us = 12'000;  // silence before a follower asks its leader whether it is there; again each heartbeat_us
  // Silence before a leader is suspected, randomised between min and max. So long that a thread that others kept from its core
  // does not count as dead (0.4 s were seen where cores are shared); what is dead is mostly known sooner, see election.h.
  std::uint64_t election_us_min = 500'000;
  std::uint64_t election_us_max = 650'000;
  std::uint64_t campaign_us = 60'000;    // a phase 1 that takes longer is given up; randomised up to twice this
  std::uint64_t resend_us = 20'000;      // before a request is sent again
  std::uint64_t catch_up_us = 5'000;     // lag this long behind a known commit watermark before fetching
  std::uint64_t step_down_us = 870'000;  // a leader that hears no quorum so long steps down
  std::uint64_t stall_us = 2'000'000;  // and one whose disk completes nothing so long; busy disks take half a second now and then
  std::uint64_t silence_us_per_tick_max = 10'000;  // a paused machine does not hold an election when it wakes
};

struct Counters {
  std::uint64_t elections = 0;         // ballots raised here
  std::uint64_t refused_identity = 0;  // messages of a voter with another uuid, or of an older incarnation
  std::uint64_t refused_not_member = 0;
  std::uint64_t conflicting_values = 0;  // two values at one (ballot, slot), or two chosen ones: a bug of a sender
  std::uint64_t step_downs = 0;
  std::uint64_t resends = 0;
  std::uint64_t stale_found = 0;  // this disk turned out to be older than others know
};

}  // namespace synod::consensus
