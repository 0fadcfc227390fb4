// Strong ids: no bare integer stands for a slot, a ballot or a position. The words are those of docs/ARCHITECTURE.md.
#pragma once

#include <array>
#include <bit>
#include <compare>
#include <cstddef>
#include <cstdint>

namespace synod {

template <class Tag, class Rep>
class StrongId {
 public:
  using rep = Rep;

  constexpr StrongId() = default;
  constexpr explicit StrongId(Rep value) : value_(value) {}

  [[nodiscard]] constexpr Rep value() const { return value_; }

  constexpr auto operator<=>(const StrongId&) const = default;
  constexpr StrongId& operator++() {
    ++value_;
    return *this;
  }
  [[nodiscard]] constexpr StrongId operator+(Rep count) const { return StrongId(static_cast<Rep>(value_ + count)); }
  [[nodiscard]] constexpr StrongId operator-(Rep count) const { return StrongId(static_cast<Rep>(value_ - count)); }
  // The distance between two ids; the left one is not below the right one.
  [[nodiscard]] constexpr Rep operator-(StrongId other) const { return static_cast<Rep>(value_ - other.value_); }

 private:
  Rep value_ = 0;
};

// The position of one Paxos instance. The first is 1; 0 means "none yet", so that a commit watermark of 0 is an empty log.
using Slot = StrongId<struct SlotTag, std::uint64_t>;
// The position of one entry, from 0: the number of entries before it.
using Lsn = StrongId<struct LsnTag, std::uint64_t>;
// A member's id, from 1, never reused. 0 is "nobody" (and the source of every client message).
using ReplicaId = StrongId<struct ReplicaTag, std::uint16_t>;
// One Paxos log with its own ballots, journal and core.
using GroupId = StrongId<struct GroupTag, std::uint32_t>;
// The position of the logged entry that opened the session: slot * 65,536 + its place in the slot. 0 is "no session".
using SessionId = StrongId<struct SessionTag, std::uint64_t>;
// A client's number for one append within its session, from 1.
using Sequence = StrongId<struct SequenceTag, std::uint64_t>;
// A hash of the cluster's name: packets and blocks of another cluster are refused by it.
using ClusterId = StrongId<struct ClusterTag, std::uint64_t>;
// The order in which one replica handed records to its journal, from 1. Durability is a prefix of it.
using PersistNumber = StrongId<struct PersistTag, std::uint64_t>;
// Counts the leader's probes of its own leadership (tail reads, rule 7).
using Probe = StrongId<struct ProbeTag, std::uint64_t>;
// CRC32C of a value's body: the value's identity in votes (a no-op's is 0).
using Checksum = StrongId<struct ChecksumTag, std::uint32_t>;

// (round, replica id), totally ordered. Packed: round * 65,536 + replica. 0 is below every ballot that was ever used.
class Ballot {
 public:
  constexpr Ballot() = default;
  constexpr Ballot(std::uint64_t round, ReplicaId replica) : packed_((round << 16) | replica.value()) {}
  [[nodiscard]] static constexpr Ballot from_packed(std::uint64_t packed) {
    Ballot ballot;
    ballot.packed_ = packed;
    return ballot;
  }

  static constexpr std::uint64_t round_max = (std::uint64_t{1} << 48) - 1;

  [[nodiscard]] constexpr std::uint64_t round() const { return packed_ >> 16; }
  [[nodiscard]] constexpr ReplicaId replica() const { return ReplicaId(static_cast<std::uint16_t>(packed_)); }
  [[nodiscard]] constexpr std::uint64_t value() const { return packed_; }
  [[nodiscard]] constexpr bool is_none() const { return packed_ == 0; }

  constexpr auto operator<=>(const Ballot&) const = default;

 private:
  std::uint64_t packed_ = 0;
};

// Names a disk (drawn by `synod format`), a diskless process or a client process (drawn at start).
struct Uuid {
  std::array<std::byte, 16> bytes{};

  [[nodiscard]] constexpr bool is_none() const { return *this == Uuid{}; }
  constexpr auto operator<=>(const Uuid&) const = default;
  // Of every message, twice: not byte by byte.
  constexpr bool operator==(const Uuid& other) const {
    using Words = std::array<std::uint64_t, 2>;
    return std::bit_cast<Words>(bytes) == std::bit_cast<Words>(other.bytes);
  }
};

// One process lifetime of one replica on one disk.
struct Incarnation {
  Uuid disk;
  std::uint64_t open_count = 0;

  constexpr auto operator<=>(const Incarnation&) const = default;
};

// How far the journal of one disk is known to have got: the newest block that is durable, by the open of the journal that wrote
// it and its number in the chain. Positions of one disk only grow, unless the disk loses something. Position{}: nothing is known.
struct Position {
  std::uint64_t open_count = 0;
  std::uint64_t sequence = 0;

  [[nodiscard]] constexpr bool is_none() const { return *this == Position{}; }
  constexpr auto operator<=>(const Position&) const = default;
};

}  // namespace synod
