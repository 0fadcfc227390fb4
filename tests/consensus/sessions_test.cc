// Sessions and the log state that every replica computes from the chosen slots.
#include <gtest/gtest.h>

#include <map>

#include "base/crc32c.h"
#include "base/prng.h"
#include "consensus/log_state.h"
#include "tests/consensus/driver.h"

namespace synod::consensus::testing {
namespace {

// What a session table must do, in the plainest way.
struct ModelSession {
  Sequence last;
  Slot active;
  std::map<Sequence, Lsn> lsns;
};

class Model {
 public:
  void open(SessionId id, Slot slot) {
    if (sessions.size() == sessions_max) {
      auto oldest = sessions.begin();
      for (auto it = sessions.begin(); it != sessions.end(); ++it) {
        if (it->second.active < oldest->second.active) oldest = it;
      }
      evicted.push_back(oldest->first);
      sessions.erase(oldest);
    }
    sessions[id] = {Sequence{}, slot, {}};
  }
  void append(SessionId id, std::uint32_t count, Lsn lsn, Slot slot) {
    ModelSession& session = sessions.at(id);
    for (std::uint32_t i = 0; i < count; ++i) session.lsns[session.last + 1 + i] = lsn + i;
    session.last = session.last + count;
    session.active = slot;
  }
  std::map<SessionId, ModelSession> sessions;
  std::vector<SessionId> evicted;
};

void expect_same(const Sessions& sessions, const Model& model) {
  ASSERT_EQ(sessions.size(), model.sessions.size());
  for (const auto& [id, expected] : model.sessions) {
    const auto place = sessions.find(id);
    ASSERT_TRUE(place.has_value());
    ASSERT_EQ(sessions.at(*place).id, id);
    ASSERT_EQ(sessions.at(*place).last, expected.last);
    ASSERT_EQ(sessions.at(*place).active, expected.active);
    for (const auto& [sequence, lsn] : expected.lsns) {
      const bool is_remembered = expected.last - sequence < session_window_max;
      ASSERT_EQ(sessions.lsn_of(*place, sequence), is_remembered ? std::optional(lsn) : std::nullopt);
    }
  }
  for (const SessionId id : model.evicted) ASSERT_FALSE(sessions.find(id).has_value());
}

TEST(Sessions, AgreeWithAModelOverManyOpeningsAppendsAndEvictions) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(seed);
    Prng prng(seed);
    Sessions sessions(true);
    Model model;
    Slot slot(1);
    Lsn lsn;
    std::vector<SessionId> opened;
    for (int turn = 0; turn < 6'000; ++turn) {
      if (prng.chance(1, 3)) ++slot;
      if (opened.empty() || prng.chance(1, 2)) {
        const SessionId id = wire::session_id(slot, static_cast<std::uint32_t>(turn));
        sessions.open(id, slot);
        model.open(id, slot);
        opened.push_back(id);
        continue;
      }
      const SessionId id = opened[prng.below(opened.size())];
      const auto place = sessions.find(id);
      ASSERT_EQ(place.has_value(), model.sessions.contains(id));
      if (!place) continue;
      const auto count = static_cast<std::uint32_t>(prng.between(1, 20));
      sessions.append(*place, sessions.at(*place).last + 1, count, lsn, slot);
      model.append(id, count, lsn, slot);
      lsn = lsn + count;
    }
    expect_same(sessions, model);
  }
}

TEST(Sessions, RememberTheLsnsOfTheLastWindowOnly) {
  Sessions sessions(true);
  const auto place = sessions.open(SessionId(1), Slot(1));
  for (std::uint64_t i = 1; i <= session_window_max + 10; ++i) sessions.append(place, Sequence(i), 1, Lsn(1000 + i), Slot(2));
  EXPECT_EQ(sessions.lsn_of(place, Sequence(10)), std::nullopt);
  EXPECT_EQ(sessions.lsn_of(place, Sequence(11)), Lsn(1011));
  EXPECT_EQ(sessions.lsn_of(place, Sequence(session_window_max + 10)), Lsn(1000 + session_window_max + 10));
  EXPECT_EQ(sessions.lsn_of(place, Sequence(session_window_max + 11)), std::nullopt);
  EXPECT_EQ(sessions.lsn_of(place, Sequence{}), std::nullopt);
}

TEST(Sessions, EvictTheLeastRecentlyActive) {
  Sessions sessions(true);
  for (std::uint64_t i = 1; i <= sessions_max; ++i) sessions.open(SessionId(i), Slot(i));
  sessions.append(*sessions.find(SessionId(1)), Sequence(1), 1, Lsn{}, Slot(sessions_max + 1));
  sessions.open(SessionId(9'999), Slot(sessions_max + 2));
  EXPECT_TRUE(sessions.find(SessionId(1)).has_value());
  EXPECT_FALSE(sessions.find(SessionId(2)).has_value());
  EXPECT_EQ(sessions.size(), sessions_max);
}

TEST(Sessions, AReusedPlaceAnswersNothingOfItsFormerSession) {
  Sessions sessions(true);
  for (std::uint64_t i = 1; i <= sessions_max; ++i) sessions.open(SessionId(i), Slot(i));
  sessions.append(*sessions.find(SessionId(1)), Sequence(1), 5, Lsn(7), Slot(1));
  const auto place = sessions.open(SessionId(9'999), Slot(5'000));
  EXPECT_EQ(sessions.lsn_of(place, Sequence(1)), std::nullopt);
}

// Log states are fed with real bodies.
class Log {
 public:
  explicit Log(bool keeps_lsns = true) : state(keeps_lsns) {}

  struct Batch {
    std::vector<std::byte> buffer = std::vector<std::byte>(8192);
    wire::BodyWriter writer;
    explicit Batch(wire::Chain chain) : writer(buffer, chain) {}
    void open(std::uint64_t client) {
      const Uuid uuid = uuid_of(client);
      writer.add(wire::RunKind::open_session, SessionId{}, Sequence{}, 0, std::as_bytes(std::span(uuid.bytes)));
    }
    void append(SessionId session, std::uint64_t first, std::uint32_t count) {
      const std::vector<std::byte> entries(count * wire::entry_header_bytes);  // empty payloads
      writer.add(wire::RunKind::entries, session, Sequence(first), count, entries);
    }
    void trim(std::uint64_t lsn) { writer.add(wire::RunKind::trim, SessionId{}, Sequence{}, 0, bytes_of(Lsn(lsn))); }
  };
  std::size_t apply_trim(std::uint64_t lsn) {
    Batch batch(state.chain());
    batch.trim(lsn);
    return apply(batch);
  }
  std::size_t apply(Batch& batch) { return apply(batch.writer.finish()); }
  std::size_t apply(Bytes body) {
    runs.clear();
    const auto view = wire::BodyView::decode(body);
    CHECK(view.has_value());
    state.apply(state.applied() + 1, Checksum(crc32c(body)), *view, [&](const AppliedRun& run) { runs.push_back(run); });
    return runs.size();
  }

  LogState state;
  std::vector<AppliedRun> runs;
};

SessionId open_session(Log& log) {
  Log::Batch batch(log.state.chain());
  batch.open(1);
  CHECK_EQ(log.apply(batch), 1U);
  return log.runs[0].session;
}

TEST(LogStates, GiveDenseLsnsAcrossSessionsAndSlots) {
  Log log;
  const SessionId a = open_session(log);
  const SessionId b = open_session(log);
  EXPECT_EQ(a, wire::session_id(Slot(1), 0));
  Log::Batch batch(log.state.chain());
  batch.append(a, 1, 3);
  batch.append(b, 1, 2);
  batch.append(a, 4, 1);
  ASSERT_EQ(log.apply(batch), 3U);
  EXPECT_EQ(log.runs[1].lsn, Lsn(3));
  EXPECT_EQ(log.runs[2].lsn, Lsn(5));
  EXPECT_EQ(log.state.tail(), Lsn(6));
}

TEST(LogStates, AVoidSlotChangesNothingButTheChain) {
  Log log;
  const SessionId session = open_session(log);
  Log::Batch batch(wire::Chain(12345));
  batch.append(session, 1, 3);
  const wire::Chain before = log.state.chain();
  EXPECT_EQ(log.apply(batch), 0U);
  EXPECT_EQ(log.state.tail(), Lsn(0));
  EXPECT_EQ(log.state.sessions().at(*log.state.sessions().find(session)).last, Sequence{});
  EXPECT_NE(log.state.chain(), before);
}

TEST(LogStates, ANoOpBreaksTheChainOfWhatWasProposedBehindTheHole) {
  Log log;
  const SessionId session = open_session(log);
  Log::Batch batch(log.state.chain());
  batch.append(session, 1, 1);
  log.apply(Bytes{});
  EXPECT_EQ(log.apply(batch), 0U);
  EXPECT_EQ(log.state.applied(), Slot(3));
}

TEST(LogStates, ARepeatedSequenceIsNotRememberedTwice) {
  Log log;
  const SessionId session = open_session(log);
  for (int repeat = 0; repeat < 2; ++repeat) {
    Log::Batch batch(log.state.chain());
    batch.append(session, 1, 2);
    EXPECT_EQ(log.apply(batch), repeat == 0 ? 1U : 0U);
  }
  const auto place = log.state.sessions().find(session);
  EXPECT_EQ(log.state.sessions().at(*place).last, Sequence(2));
  EXPECT_EQ(log.state.sessions().lsn_of(*place, Sequence(1)), Lsn(0));
}

TEST(LogStates, AnUnknownSessionIsNeverTakenAsNew) {
  Log log;
  Log::Batch batch(log.state.chain());
  batch.append(SessionId(77), 1, 1);
  EXPECT_EQ(log.apply(batch), 0U);
  EXPECT_FALSE(log.state.sessions().find(SessionId(77)).has_value());
}

// A log of `entries` entries.
Log log_of(std::uint32_t entries) {
  Log log;
  const SessionId session = open_session(log);
  Log::Batch batch(log.state.chain());
  batch.append(session, 1, entries);
  CHECK_EQ(log.apply(batch), 1U);
  return log;
}

TEST(Trims, SayWhatIsKept) {
  Log log = log_of(10);
  EXPECT_EQ(log.state.trim(), Lsn(0));
  ASSERT_EQ(log.apply_trim(4), 1U);
  EXPECT_EQ(log.runs[0].kind, wire::RunKind::trim);
  EXPECT_EQ(log.runs[0].lsn, Lsn(4));
  EXPECT_EQ(log.state.trim(), Lsn(4));
  EXPECT_EQ(log.state.tail(), Lsn(10)) << "a trim takes no LSN";
}

TEST(Trims, NeverFall) {
  Log log = log_of(10);
  log.apply_trim(7);
  ASSERT_EQ(log.apply_trim(4), 1U);
  EXPECT_EQ(log.runs[0].lsn, Lsn(7)) << "what is reported is what is kept";
  EXPECT_EQ(log.state.trim(), Lsn(7));
}

TEST(Trims, BeyondTheTailMeanTheTail) {
  Log log = log_of(10);
  log.apply_trim(1'000);
  EXPECT_EQ(log.state.trim(), Lsn(10));
}

TEST(Trims, MeanTheTailWhereTheyStandInTheirSlot) {
  Log log = log_of(10);
  const SessionId session = wire::session_id(Slot(1), 0);
  Log::Batch batch(log.state.chain());
  batch.append(session, 11, 2);
  batch.trim(1'000);
  batch.append(session, 13, 5);
  ASSERT_EQ(log.apply(batch), 3U);
  EXPECT_EQ(log.state.trim(), Lsn(12));
  EXPECT_EQ(log.state.tail(), Lsn(17));
}

TEST(Trims, InAVoidSlotDoNothing) {
  Log log = log_of(10);
  Log::Batch batch(wire::Chain(12345));
  batch.trim(4);
  EXPECT_EQ(log.apply(batch), 0U);
  EXPECT_EQ(log.state.trim(), Lsn(0));
}

TEST(Trims, TouchNoSession) {
  Log log = log_of(10);
  const Session before = log.state.sessions().at(0);
  log.apply_trim(10);
  EXPECT_EQ(log.state.sessions().at(0).active, before.active);
  EXPECT_EQ(log.state.sessions().lsn_of(0, Sequence(1)), Lsn(0)) << "a retry is answered even when its entry is gone";
}

TEST(Trims, AreInAnAssignedCopy) {
  Log log = log_of(10);
  log.apply_trim(4);
  Log copy(false);
  copy.state.assign(log.state);
  EXPECT_EQ(copy.state.trim(), Lsn(4));
}

TEST(LogStates, AnAssignedCopyGoesOnAsTheOriginalWould) {
  Log log;
  const SessionId session = open_session(log);
  Log copy(false);
  copy.state.assign(log.state);
  for (Log* each : {&log, &copy}) {
    Log::Batch batch(each->state.chain());
    batch.append(session, 1, 4);
    EXPECT_EQ(each->apply(batch), 1U);
  }
  EXPECT_EQ(copy.state.chain(), log.state.chain());
  EXPECT_EQ(copy.state.tail(), log.state.tail());
  EXPECT_EQ(copy.state.sessions().at(*copy.state.sessions().find(session)).last, Sequence(4));
}

}  // namespace
}  // namespace synod::consensus::testing
