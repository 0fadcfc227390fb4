// The leader's intake: admits appends and gathers them into the body of the next slot.
//
// Batching without timers: everything that one poll of the ports brought becomes one slot, up to a size limit; while the window
// is full the batch goes on growing. Admission follows `proposed`, the log state ahead of the applied one by what this leader has
// proposed, so a duplicate is refused here and is never chosen (rule 8).
//
// Owns: the open batch's body until it is taken. Thread: the node's.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/fixed_vector.h"
#include "consensus/log_state.h"
#include "replica/body_pool.h"
#include "wire/body.h"
#include "wire/client.h"

namespace synod::replica {

class Intake {
 public:
  // No batch becomes larger than `body_max`.
  explicit Intake(BodyPool& pool, std::size_t body_max = body_bytes_max) : pool_(pool), body_max_(body_max) {}

  // This replica became leader: everything that it may extend is in `applied` and was then applied to proposed().
  void begin(const consensus::LogState& applied);
  [[nodiscard]] consensus::LogState& proposed() { return proposed_; }
  // Call after the open slots were applied to proposed().
  void begin_admitting();
  void stop();

  enum class Verdict : std::uint8_t { admitted, duplicate, gap, evicted, busy };
  struct Admission {
    Verdict verdict = Verdict::busy;
    Sequence next;  // for gap: the next sequence that would be admitted; for admitted: the first one that was
    consensus::Sessions::Place place = 0;
    std::uint32_t count = 0;  // admitted
    Lsn lsn;                  // of the first one, if nothing of this leader's ballot is lost
  };
  // Takes the part of the request that was not admitted before. `duplicate`: all of it was. `busy`: no room, or not `may_admit`.
  [[nodiscard]] Admission append(const wire::AppendView& request, bool may_admit = true);
  // Puts an opening into the batch and closes it: what it may evict must be decided before the next append is admitted.
  [[nodiscard]] bool open_session(const Uuid& client);
  // Puts a trim into the batch; false: no room now. Any number may share a batch, and a repeated one does no harm.
  [[nodiscard]] bool trim(Lsn lsn);

  [[nodiscard]] bool has_batch() const { return body_ != no_body && !writer_.empty(); }
  // Who waits for what in the batch (rule 10): openings and trims for a commit.
  [[nodiscard]] bool has(wire::AckLevel level) const { return (levels_ & bit_of(level)) != 0; }
  // No append fits any more until the batch is taken.
  [[nodiscard]] bool is_closed() const { return closed_; }

  // The finished batch, as the value of `slot`; applied to proposed(). The caller owns the body.
  [[nodiscard]] consensus::Value take(Slot slot);

 private:
  [[nodiscard]] static unsigned bit_of(wire::AckLevel level) { return 1U << static_cast<unsigned>(level); }
  [[nodiscard]] bool make_room(std::size_t bytes, std::uint32_t entries);

  BodyPool& pool_;
  std::size_t body_max_;
  consensus::LogState proposed_{false};
  std::array<Sequence, sessions_max> admitted_{};  // by session place: the highest in proposed() or in the batch
  BodyHandle body_ = no_body;
  wire::BodyWriter writer_;
  bool closed_ = false;
  unsigned levels_ = 0;  // a bit each
};

}  // namespace synod::replica
