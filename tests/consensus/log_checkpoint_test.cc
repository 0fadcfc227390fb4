// Checkpoints of the log state: golden bytes, hostile bytes, and that a loaded state goes on as the original does.
#include "consensus/log_checkpoint.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <vector>

#include "base/crc32c.h"
#include "base/prng.h"
#include "tests/seed.h"
#include "tests/wire/golden.h"

namespace synod::consensus::testing {
namespace {

using wire::golden;
using wire::to_hex;
using Blob = std::vector<std::byte>;

Blob encode(const LogState& log) {
  Blob blob(log_checkpoint_bytes(log));
  EXPECT_EQ(encode_log_checkpoint(log, blob), blob.size());
  return blob;
}

// The fault that decoding meets, or nothing.
std::optional<CheckpointFault> fault_of(Bytes blob) {
  LogState log(true);
  const auto decoded = decode_log_checkpoint(blob, log);
  return decoded ? std::nullopt : std::optional(decoded.error());
}

// One slot at a time; each body continues the chain unless told otherwise.
class Body {
 public:
  explicit Body(wire::Chain chain) : writer_(buffer_, chain) {}
  Body& open(std::uint64_t client) {
    Uuid uuid;
    store(MutableBytes(uuid.bytes), client);
    writer_.add(wire::RunKind::open_session, {}, {}, 0, bytes_of(uuid));
    return *this;
  }
  Body& append(SessionId session, Sequence first, std::uint32_t count) {
    const Blob entries(count * wire::entry_header_bytes);  // empty payloads
    writer_.add(wire::RunKind::entries, session, first, count, entries);
    return *this;
  }
  Body& trim(Lsn lsn) {
    writer_.add(wire::RunKind::trim, {}, {}, 0, bytes_of(lsn));
    return *this;
  }
  [[nodiscard]] bool empty() const { return writer_.empty(); }
  [[nodiscard]] Bytes finish() { return writer_.finish(); }

 private:
  Blob buffer_ = Blob(body_bytes_max);
  wire::BodyWriter writer_;
};

std::vector<AppliedRun> apply_to(LogState& log, Bytes body) {
  std::vector<AppliedRun> runs;
  const auto view = wire::BodyView::decode(body);
  CHECK(view.has_value());
  log.apply(log.applied() + 1, Checksum(body.empty() ? 0 : crc32c(body)), *view,
            [&](const AppliedRun& run) { runs.push_back(run); });
  return runs;
}

const SessionId first_session = wire::session_id(Slot(1), 0);
const SessionId second_session = wire::session_id(Slot(2), 0);

// Two sessions of which the first has two stretches, and a trim.
std::unique_ptr<LogState> example() {
  auto log = std::make_unique<LogState>(true);
  apply_to(*log, Body(log->chain()).open(1).finish());
  apply_to(*log, Body(log->chain()).open(2).finish());
  apply_to(*log, Body(log->chain()).append(first_session, Sequence(1), 3).append(second_session, Sequence(1), 200).finish());
  apply_to(*log, Body(log->chain()).append(first_session, Sequence(4), 1).trim(Lsn(2)).finish());
  return log;
}

TEST(LogCheckpoint, HasGoldenBytes) {
  LogState log(true);
  log.begin_load({Slot(9), Lsn(204), wire::Chain(0x1122334455667788), Lsn(2)});
  log.load_lsns(log.load_session({SessionId(0x10000), Sequence(4), Slot(9)}), Sequence(1), 3, Lsn(0));
  log.load_lsns(0, Sequence(4), 1, Lsn(203));
  log.load_lsns(log.load_session({SessionId(0x20000), Sequence(200), Slot(8)}), Sequence(1), 200, Lsn(3));
  const Blob blob = encode(log);
  EXPECT_EQ(to_hex(blob), golden(R"(
      01 00 00 00 02 00 00 00
      09 00 00 00 00 00 00 00
      cc 00 00 00 00 00 00 00
      88 77 66 55 44 33 22 11
      02 00 00 00 00 00 00 00
      00 00 00 00 00 00 00 00
      80 80 04 04 00 00 03 c8 01 01
      80 80 08 c8 01 01 03 c8 01
      8c 80 a0 44)"));
  EXPECT_EQ(fault_of(blob), std::nullopt);
}

TEST(LogCheckpoint, OfAnEmptyLogIsItsHeader) {
  const LogState log(true);
  const Blob blob = encode(log);
  EXPECT_EQ(blob.size(), sizeof(LogCheckpointHeader) + 4);
  EXPECT_EQ(fault_of(blob), std::nullopt);
}

TEST(LogCheckpoint, IsTheSameForReplicasThatAppliedTheSame) {
  EXPECT_EQ(to_hex(encode(*example())), to_hex(encode(*example())));
}

TEST(LogCheckpoint, OfALoadedStateIsTheSame) {
  const Blob blob = encode(*example());
  LogState loaded(true);
  ASSERT_TRUE(decode_log_checkpoint(blob, loaded).has_value());
  EXPECT_EQ(to_hex(encode(loaded)), to_hex(blob));
}

TEST(LogCheckpoint, ReplacesWhatAStateHeldBefore) {
  const Blob blob = encode(*example());
  LogState other(true);
  for (std::uint64_t client = 0; client < 5; ++client) apply_to(other, Body(other.chain()).open(client).finish());
  ASSERT_TRUE(decode_log_checkpoint(blob, other).has_value());
  EXPECT_EQ(to_hex(encode(other)), to_hex(blob));
  EXPECT_FALSE(other.sessions().find(wire::session_id(Slot(5), 0)).has_value());
}

TEST(LogCheckpoint, RemembersTheNewestLsnsOnly) {
  LogState log(true);
  apply_to(log, Body(log.chain()).open(1).finish());
  for (std::uint64_t i = 0; i < 3; ++i) {
    apply_to(log, Body(log.chain()).append(first_session, Sequence(1 + i * 2'000), 2'000).finish());
  }
  LogState loaded(true);
  ASSERT_TRUE(decode_log_checkpoint(encode(log), loaded).has_value());
  EXPECT_EQ(loaded.sessions().lsn_of(0, Sequence(6'000 - session_window_max)), std::nullopt);
  EXPECT_EQ(loaded.sessions().lsn_of(0, Sequence(6'001 - session_window_max)), Lsn(6'000 - session_window_max));
  EXPECT_EQ(loaded.sessions().lsn_of(0, Sequence(6'000)), Lsn(5'999));
}

// The limit that buffers are sized by. LSNs a gap of 2^48 apart: what a real log never reaches.
TEST(LogCheckpoint, OfTheWorstStateStaysWithinItsLimit) {
  LogState log(true);
  constexpr std::uint64_t gap = std::uint64_t{1} << 48;
  log.begin_load({log_checkpoint::applied_max, log_checkpoint::tail_max, wire::Chain(~std::uint64_t{0}), Lsn{}});
  for (std::uint64_t i = 1; i <= sessions_max; ++i) {
    const auto place =
        log.load_session({SessionId(~std::uint64_t{0} - i), Sequence(session_window_max), log_checkpoint::applied_max});
    for (std::uint64_t j = 0; j < session_window_max; ++j) log.load_lsns(place, Sequence(j + 1), 1, Lsn((j + 1) * gap + i));
  }
  EXPECT_LE(log_checkpoint_bytes(log), log_checkpoint_bytes_max);
  EXPECT_EQ(fault_of(encode(log)), std::nullopt);
  EXPECT_GT(log_checkpoint_bytes(log), log_checkpoint_bytes_max / 2) << "the limit is far too high";
}

// --- hostile bytes ----------------------------------------------------------------------------------------------------------

Blob sealed(Blob blob) {
  const std::size_t size = blob.size() - 4;
  store(MutableBytes(blob).subspan(size), crc32c(Bytes(blob).first(size)));
  return blob;
}

template <class Change>
Blob changed(Change change) {
  Blob blob = encode(*example());
  auto header = load<LogCheckpointHeader>(blob);
  change(header);
  store(MutableBytes(blob), header);
  return sealed(std::move(blob));
}

// A header for `sessions` sessions, and these bytes for them.
Blob with_sessions(std::uint32_t sessions, std::initializer_list<unsigned> bytes, std::uint64_t tail = 100) {
  LogCheckpointHeader header;
  header.sessions = sessions;
  header.applied = Slot(50);
  header.tail = Lsn(tail);
  Blob blob(bytes_of(header).begin(), bytes_of(header).end());
  for (const unsigned byte : bytes) blob.push_back(static_cast<std::byte>(byte));
  blob.resize(blob.size() + 4);
  return sealed(std::move(blob));
}

// A session that was opened in slot 1 and appended 2 entries at 5 and 6 in slot 50.
TEST(HostileCheckpoint, MadeByHandIsTakenWhenNothingIsWrong) {
  EXPECT_EQ(fault_of(with_sessions(1, {0x80, 0x80, 0x04, 2, 0, 5, 2})), std::nullopt);
}

TEST(HostileCheckpoint, CutAnywhereIsRefused) {
  const Blob blob = encode(*example());
  for (std::size_t length = 0; length < blob.size(); ++length) {
    EXPECT_NE(fault_of(Bytes(blob).first(length)), std::nullopt) << "length " << length;
    if (length < sizeof(LogCheckpointHeader) + 4) continue;
    EXPECT_NE(fault_of(sealed(Blob(blob.begin(), blob.begin() + static_cast<std::ptrdiff_t>(length)))), std::nullopt)
        << "sealed again, length " << length;
  }
}

TEST(HostileCheckpoint, WithAnyBitFlippedIsRefused) {
  const Blob blob = encode(*example());
  for (std::size_t bit = 0; bit < 8 * blob.size(); ++bit) {
    Blob damaged = blob;
    damaged[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    EXPECT_NE(fault_of(damaged), std::nullopt) << "bit " << bit;
  }
}

TEST(HostileCheckpoint, OfAnotherVersionIsRefused) {
  EXPECT_EQ(fault_of(changed([](auto& header) { header.version = 2; })), CheckpointFault::bad_version);
}

TEST(HostileCheckpoint, WithReservedBytesIsRefused) {
  EXPECT_EQ(fault_of(changed([](auto& header) { header.zero = 1; })), CheckpointFault::bad_reserved);
}

TEST(HostileCheckpoint, TrimmedBeyondItsTailIsRefused) {
  EXPECT_EQ(fault_of(changed([](auto& header) { header.trim = header.tail + 1; })), CheckpointFault::bad_position);
}

TEST(HostileCheckpoint, WithEntriesInNoSlotIsRefused) {
  EXPECT_EQ(fault_of(changed([](auto& header) { header.applied = Slot{}; })), CheckpointFault::bad_position);
}

TEST(HostileCheckpoint, BeyondTheLastSlotThatAnIdCanNameIsRefused) {
  EXPECT_EQ(fault_of(changed([](auto& header) { header.applied = log_checkpoint::applied_max + 1; })),
            CheckpointFault::bad_position);
}

TEST(HostileCheckpoint, WithMoreEntriesThanItsSlotsCanHoldIsRefused) {
  const auto tail_at = [](std::uint64_t tail) { return fault_of(changed([tail](auto& header) { header.tail = Lsn(tail); })); };
  EXPECT_EQ(tail_at(4 * entries_per_body_max), std::nullopt);
  EXPECT_EQ(tail_at(4 * entries_per_body_max + 1), CheckpointFault::bad_position);
}

TEST(HostileCheckpoint, OfMoreSessionsThanThereArePlacesIsRefused) {
  EXPECT_EQ(fault_of(changed([](auto& header) { header.sessions = sessions_max + 1; })), CheckpointFault::bad_session);
}

TEST(HostileCheckpoint, WithASessionTooManyIsRefused) {
  EXPECT_EQ(fault_of(changed([](auto& header) { ++header.sessions; })), CheckpointFault::bad_number);
}

TEST(HostileCheckpoint, WithASessionTooFewIsRefused) {
  EXPECT_EQ(fault_of(changed([](auto& header) { --header.sessions; })), CheckpointFault::bad_length);
}

TEST(HostileCheckpoint, WithANumberLongerThanNeededIsRefused) {
  EXPECT_EQ(fault_of(with_sessions(1, {0x80, 0x80, 0x04, 0x82, 0, 0, 5, 2})), CheckpointFault::bad_number);
}

TEST(HostileCheckpoint, WithANumberBeyond64BitsIsRefused) {
  EXPECT_EQ(fault_of(with_sessions(1, {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2, 2, 0, 5, 2})),
            CheckpointFault::bad_number);
}

TEST(HostileCheckpoint, WithANumberThatDoesNotEndIsRefused) {
  EXPECT_EQ(fault_of(with_sessions(1, {0x80, 0x80, 0x80})), CheckpointFault::bad_number);
}

TEST(HostileCheckpoint, OfASessionWithoutAnOpeningSlotIsRefused) {
  EXPECT_EQ(fault_of(with_sessions(1, {7, 2, 0, 5, 2})), CheckpointFault::bad_session);
}

TEST(HostileCheckpoint, OfASessionActiveBeforeItsOpeningIsRefused) {
  EXPECT_EQ(fault_of(with_sessions(1, {0x80, 0x80, 0x08, 2, 49, 5, 2})), CheckpointFault::bad_session);
}

TEST(HostileCheckpoint, OfASessionActiveBeforeTheFirstSlotIsRefused) {
  EXPECT_EQ(fault_of(with_sessions(1, {0x80, 0x80, 0x04, 2, 51, 5, 2})), CheckpointFault::bad_session);
}

TEST(HostileCheckpoint, OfAnUnusedSessionActiveAfterItsOpeningIsRefused) {
  EXPECT_EQ(fault_of(with_sessions(1, {0x80, 0x80, 0x04, 0, 49})), std::nullopt);
  EXPECT_EQ(fault_of(with_sessions(1, {0x80, 0x80, 0x04, 0, 48})), CheckpointFault::bad_session);
}

TEST(HostileCheckpoint, OfASessionTwiceIsRefused) {
  EXPECT_EQ(fault_of(with_sessions(2, {0x80, 0x80, 0x04, 1, 0, 5, 1, 0x80, 0x80, 0x04, 1, 0, 6, 1})),
            CheckpointFault::bad_session);
}

TEST(HostileCheckpoint, WithMoreEntriesThanTheLogHasIsRefused) {
  EXPECT_EQ(fault_of(with_sessions(1, {0x80, 0x80, 0x04, 3, 0, 0, 3}, 3)), std::nullopt);
  EXPECT_EQ(fault_of(with_sessions(1, {0x80, 0x80, 0x04, 4, 0, 0, 4}, 3)), CheckpointFault::bad_session);
}

TEST(HostileCheckpoint, WithMoreEntriesInAllThanTheLogHasIsRefused) {
  EXPECT_EQ(fault_of(with_sessions(2, {0x80, 0x80, 0x04, 3, 0, 0, 3, 0x80, 0x80, 0x08, 3, 0, 3, 3}, 6)), std::nullopt);
  EXPECT_EQ(fault_of(with_sessions(2, {0x80, 0x80, 0x04, 3, 0, 0, 3, 0x80, 0x80, 0x08, 3, 0, 3, 3}, 5)),
            CheckpointFault::bad_session);
}

TEST(HostileCheckpoint, WithAnLsnBeyondTheTailIsRefused) {
  EXPECT_EQ(fault_of(with_sessions(1, {0x80, 0x80, 0x04, 2, 0, 98, 2})), std::nullopt);
  EXPECT_EQ(fault_of(with_sessions(1, {0x80, 0x80, 0x04, 2, 0, 99, 2})), CheckpointFault::bad_lsns);
}

TEST(HostileCheckpoint, WithAGapThatWrapsAroundIsRefused) {
  EXPECT_EQ(
      fault_of(with_sessions(1, {0x80, 0x80, 0x04, 2, 0, 5, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 1})),
      CheckpointFault::bad_lsns);
}

TEST(HostileCheckpoint, WithAStretchCutInTwoIsRefused) {
  EXPECT_EQ(fault_of(with_sessions(1, {0x80, 0x80, 0x04, 2, 0, 5, 1, 0, 1})), CheckpointFault::bad_lsns);
}

TEST(HostileCheckpoint, WithAnEmptyStretchIsRefused) {
  EXPECT_EQ(fault_of(with_sessions(1, {0x80, 0x80, 0x04, 2, 0, 5, 0, 1, 2})), CheckpointFault::bad_lsns);
}

TEST(HostileCheckpoint, WithMoreLsnsThanEntriesIsRefused) {
  EXPECT_EQ(fault_of(with_sessions(1, {0x80, 0x80, 0x04, 2, 0, 5, 3})), CheckpointFault::bad_lsns);
}

TEST(HostileCheckpoint, WithoutRoomForEntriesThatAreForgottenIsRefused) {
  // 4,097 entries, of which the newest 4,096 are remembered: the first of those lies at 1 at least.
  EXPECT_EQ(fault_of(with_sessions(1, {0x80, 0x80, 0x04, 0x81, 0x20, 0, 1, 0x80, 0x20}, 9'000)), std::nullopt);
  EXPECT_EQ(fault_of(with_sessions(1, {0x80, 0x80, 0x04, 0x81, 0x20, 0, 0, 0x80, 0x20}, 9'000)), CheckpointFault::bad_lsns);
}

TEST(HostileCheckpoint, LeavesTheStateAsItWas) {
  const auto log = example();
  const Blob before = encode(*log);
  // The fault comes last: a session twice.
  const Blob bad = with_sessions(2, {0x80, 0x80, 0x04, 1, 0, 5, 1, 0x80, 0x80, 0x04, 1, 0, 6, 1});
  EXPECT_FALSE(decode_log_checkpoint(bad, *log).has_value());
  EXPECT_EQ(to_hex(encode(*log)), to_hex(before));
}

// --- a loaded state goes on as the original does ---------------------------------------------------------------------------

// Random logs: sessions open, append to the right place or to a wrong one, trims, no-ops, slots that are void.
class RandomLog {
 public:
  explicit RandomLog(std::uint64_t seed) : prng_(seed) {}

  Blob next(const LogState& log) {
    if (prng_.chance(1, 12)) return {};
    Body body(prng_.chance(1, 12) ? wire::Chain(prng_.next()) : log.chain());
    for (std::uint64_t runs = prng_.between(1, 6); runs > 0; --runs) add(body, log);
    const Bytes bytes = body.finish();
    return {bytes.begin(), bytes.end()};
  }
  Prng& prng() { return prng_; }

 private:
  void add(Body& body, const LogState& log) {
    const Sessions& sessions = log.sessions();
    if (sessions.size() == 0 || prng_.chance(2, 5)) {
      body.open(prng_.next());
      return;
    }
    if (prng_.chance(1, 10)) {
      body.trim(Lsn(prng_.below(log.tail().value() + 10)));
      return;
    }
    const Session& session = sessions.at(static_cast<Sessions::Place>(prng_.below(std::min<std::size_t>(sessions.size(), 40))));
    const auto count = static_cast<std::uint32_t>(prng_.chance(1, 30) ? prng_.between(1, 1'200) : prng_.between(1, 3));
    body.append(session.id, session.last + (prng_.chance(1, 10) ? 2 : 1), count);
  }

  Prng prng_;
};

void expect_same_runs(const std::vector<AppliedRun>& a, const std::vector<AppliedRun>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].place, b[i].place);
    EXPECT_EQ(a[i].session, b[i].session);
    EXPECT_EQ(a[i].kind, b[i].kind);
    EXPECT_EQ(a[i].client, b[i].client);
    EXPECT_EQ(a[i].first, b[i].first);
    EXPECT_EQ(a[i].count, b[i].count);
    EXPECT_EQ(a[i].lsn, b[i].lsn);
  }
}

void expect_same_answers(const LogState& a, const LogState& b) {
  ASSERT_EQ(a.sessions().size(), b.sessions().size());
  for (Sessions::Place place = 0; place < a.sessions().size(); ++place) {
    const Session& session = a.sessions().at(place);
    ASSERT_EQ(b.sessions().find(session.id), place);
    ASSERT_EQ(b.sessions().at(place).last, session.last);
    for (std::uint64_t back = 0; back <= session_window_max && back <= session.last.value(); ++back) {
      ASSERT_EQ(a.sessions().lsn_of(place, session.last - back), b.sessions().lsn_of(place, session.last - back));
    }
  }
}

TEST(RandomLogs, GoOnFromACheckpointAsFromTheWholeLog) {
  const std::uint64_t first = first_seed();
  for (std::uint64_t seed = first; seed < first + 12; ++seed) {
    SCOPED_TRACE(seed);
    RandomLog random(seed);
    LogState original(true);
    auto loaded = std::make_unique<LogState>(true);
    for (int slot = 0; slot < 1'500; ++slot) {
      const Blob body = random.next(original);
      const auto runs = apply_to(original, body);
      expect_same_runs(runs, apply_to(*loaded, body));
      if (::testing::Test::HasFailure()) return;
      if (!random.prng().chance(1, 150)) continue;
      const Blob blob = encode(original);
      ASSERT_EQ(to_hex(blob), to_hex(encode(*loaded)));
      loaded = std::make_unique<LogState>(true);
      const auto decoded = decode_log_checkpoint(blob, *loaded);
      ASSERT_TRUE(decoded.has_value()) << name(decoded.error());
      expect_same_answers(original, *loaded);
      if (::testing::Test::HasFailure()) return;
    }
    EXPECT_EQ(to_hex(encode(original)), to_hex(encode(*loaded)));
    EXPECT_EQ(original.sessions().size(), sessions_max) << "no session was ever evicted";
    EXPECT_GT(original.trim(), Lsn(0));
  }
}

}  // namespace
}  // namespace synod::consensus::testing
