// Client sessions (rule 8): what makes a retry safe.
//
// A session is opened by a logged entry, whose position is its id. It admits sequence numbers contiguously from 1 and remembers
// the LSNs of its last `session_window_max` entries, so that a repeated append is answered again and never appended twice. At
// most `sessions_max` are open; opening one more evicts the least recently active. Everything here depends on chosen slots only,
// so every replica holds the same table. An id that is not in the table is answered `evicted`, never taken as new.
//
// Fixed memory; the LSN rings are touched as they are used.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/check.h"
#include "base/ids.h"
#include "wire/limits.h"

namespace synod::consensus {

struct Session {
  SessionId id;   // none: a free place
  Sequence last;  // the highest appended sequence number
  Slot active;    // the slot of its last entry, or of its opening
};

class Sessions {
 public:
  using Place = std::uint32_t;

  // Without LSNs it serves a leader for admission only.
  explicit Sessions(bool keeps_lsns);

  [[nodiscard]] std::optional<Place> find(SessionId id) const;
  [[nodiscard]] const Session& at(Place place) const { return sessions_[place]; }
  [[nodiscard]] std::size_t size() const { return size_; }

  // Opens a session, evicting one if the table is full.
  Place open(SessionId id, Slot slot);
  // Entries first .. first + count - 1 are at lsn .. ; `first` is last + 1.
  void append(Place place, Sequence first, std::uint32_t count, Lsn lsn, Slot slot);
  // The LSN of an appended sequence, while it is remembered.
  [[nodiscard]] std::optional<Lsn> lsn_of(Place place, Sequence sequence) const;

  // The LSNs that a session remembers, oldest first, as stretches of consecutive ones: use(first LSN, count).
  template <class Use>
  void for_each_stretch(Place place, Use&& use) const {
    CHECK(lsns_ != nullptr);
    const std::uint64_t last = sessions_[place].last.value();
    if (last == 0) return;
    const std::uint64_t count = std::min<std::uint64_t>(last, session_window_max);
    const Lsn::rep* const ring = lsns_.get() + std::size_t{place} * session_window_max;
    Lsn::rep first = ring[(last - count + 1) % session_window_max];
    Lsn::rep end = first + 1;
    for (std::uint64_t sequence = last - count + 2; sequence <= last; ++sequence) {
      const Lsn::rep lsn = ring[sequence % session_window_max];
      if (lsn != end) {
        use(Lsn(first), end - first);
        first = lsn;
        end = lsn;
      }
      ++end;
    }
    use(Lsn(first), end - first);
  }

  // Rebuilding a table from a checkpoint: empty it, put sessions into its places in order, say what they remember.
  void clear();
  Place restore(const Session& session);
  void remember(Place place, Sequence first, std::uint32_t count, Lsn lsn);
  [[nodiscard]] bool keeps_lsns() const { return lsns_ != nullptr; }

  // Takes over what another table knows, but for the LSNs.
  void assign(const Sessions& other);

 private:
  static constexpr std::size_t buckets = 2 * sessions_max;
  static constexpr std::uint32_t empty_bucket = 0xFFFFFFFF;

  [[nodiscard]] static std::size_t bucket_of(SessionId id);
  [[nodiscard]] Place least_active() const;
  void index(SessionId id, Place place);
  void unindex(SessionId id);

  std::vector<Session> sessions_;
  std::vector<std::uint32_t> index_;  // open addressing, linear probing: places by id
  std::unique_ptr<Lsn::rep[]> lsns_;  // session_window_max a place
  std::size_t size_ = 0;
};

}  // namespace synod::consensus
