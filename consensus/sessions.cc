#include "consensus/sessions.h"

#include <algorithm>
#include <tuple>

#include "base/check.h"
#include "base/mutant.h"

namespace synod::consensus {

Sessions::Sessions(bool keeps_lsns) : sessions_(sessions_max), index_(buckets, empty_bucket) {
  // Not initialised on purpose: untouched rings cost no memory, and lsn_of reads only what append wrote. (An array of Lsn would
  // be: its default constructor writes a zero.)
  if (keeps_lsns) lsns_ = std::make_unique_for_overwrite<Lsn::rep[]>(sessions_max * session_window_max);
}

std::size_t Sessions::bucket_of(SessionId id) {
  std::uint64_t hash = id.value() * 0x9E3779B97F4A7C15;
  return (hash >> 32) % buckets;
}

std::optional<Sessions::Place> Sessions::find(SessionId id) const {
  if (id == SessionId{}) return std::nullopt;
  for (std::size_t bucket = bucket_of(id);; bucket = (bucket + 1) % buckets) {
    const std::uint32_t place = index_[bucket];
    if (place == empty_bucket) return std::nullopt;
    if (sessions_[place].id == id) return place;
  }
}

void Sessions::index(SessionId id, Place place) {
  std::size_t bucket = bucket_of(id);
  while (index_[bucket] != empty_bucket) bucket = (bucket + 1) % buckets;
  index_[bucket] = place;
}

void Sessions::unindex(SessionId id) {
  std::size_t hole = bucket_of(id);
  while (sessions_[index_[hole]].id != id) hole = (hole + 1) % buckets;
  // Close the hole: move back what was pushed past it (Knuth, volume 3, 6.4, algorithm R).
  for (std::size_t bucket = (hole + 1) % buckets; index_[bucket] != empty_bucket; bucket = (bucket + 1) % buckets) {
    const std::size_t home = bucket_of(sessions_[index_[bucket]].id);
    const std::size_t from_home = (bucket + buckets - home) % buckets;
    const std::size_t from_hole = (bucket + buckets - hole) % buckets;
    if (from_home >= from_hole) {
      index_[hole] = index_[bucket];
      hole = bucket;
    }
  }
  index_[hole] = empty_bucket;
}

Sessions::Place Sessions::least_active() const {
  const auto oldest = std::ranges::min_element(
      sessions_, [](const Session& a, const Session& b) { return std::tie(a.active, a.id) < std::tie(b.active, b.id); });
  return static_cast<Place>(oldest - sessions_.begin());
}

Sessions::Place Sessions::open(SessionId id, Slot slot) {
  CHECK(!find(id).has_value());
  const Place place = least_active();  // a free place has slot 0 and so comes first
  if (sessions_[place].id != SessionId{}) {
    unindex(sessions_[place].id);
    --size_;
  }
  sessions_[place] = {id, Sequence{}, slot};
  index(id, place);
  ++size_;
  return place;
}

void Sessions::append(Place place, Sequence first, std::uint32_t count, Lsn lsn, Slot slot) {
  Session& session = sessions_[place];
  CHECK_EQ(first, session.last + 1);
  session.last = session.last + count;
  session.active = slot;
  remember(place, first, count, lsn);
}

void Sessions::remember(Place place, Sequence first, std::uint32_t count, Lsn lsn) {
  if (lsns_ == nullptr) return;
  Lsn::rep* ring = lsns_.get() + std::size_t{place} * session_window_max;
  for (std::uint32_t i = 0; i < count; ++i) ring[(first.value() + i) % session_window_max] = lsn.value() + i;
}

std::optional<Lsn> Sessions::lsn_of(Place place, Sequence sequence) const {
  CHECK(lsns_ != nullptr);
  const Session& session = sessions_[place];
  if (sequence == Sequence{} || sequence > session.last) return std::nullopt;
  if (session.last - sequence >= session_window_max) return std::nullopt;
  return Lsn(lsns_[std::size_t{place} * session_window_max + sequence.value() % session_window_max]);
}

void Sessions::clear() {
  std::ranges::fill(sessions_, Session{});
  std::ranges::fill(index_, empty_bucket);
  size_ = 0;
}

// Places are taken in order and never freed, only given to another session, so the first `size_` are the taken ones.
Sessions::Place Sessions::restore(const Session& session) {
  CHECK_LT(size_, sessions_max);
  CHECK(session.id != SessionId{} && !find(session.id).has_value());
  const auto place = static_cast<Place>(size_++);
  sessions_[place] = session;
  index(session.id, place);
  return place;
}

void Sessions::assign(const Sessions& other) {
  if (mutant(Mutant::session_lost_on_failover)) return;
  sessions_ = other.sessions_;
  index_ = other.index_;
  size_ = other.size_;
}

}  // namespace synod::consensus
