#include "wire/body.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/prng.h"
#include "tests/seed.h"
#include "tests/wire/golden.h"

namespace synod::wire {
namespace {

std::vector<std::byte> entries_of(const std::vector<std::string>& payloads) {
  std::vector<std::byte> bytes;
  for (const auto& payload : payloads) {
    const auto length = static_cast<std::uint32_t>(payload.size());
    bytes.insert(bytes.end(), bytes_of(length).begin(), bytes_of(length).end());
    bytes.insert(bytes.end(), bytes_of(payload).begin(), bytes_of(payload).end());
  }
  return bytes;
}

const Uuid example_client{sixteen_bytes(0x40)};

// A session is opened, and another one appends "ab" and an empty entry.
std::vector<std::byte> example_body() {
  std::vector<std::byte> buffer(1024);
  BodyWriter writer(buffer, Chain(0x1122334455667788));
  writer.add(RunKind::open_session, SessionId{}, Sequence{}, 0, bytes_of(example_client));
  writer.add(RunKind::entries, SessionId(0x070000), Sequence(3), 2, entries_of({"ab", ""}));
  const Bytes body = writer.finish();
  return {body.begin(), body.end()};
}

constexpr std::size_t first_run_at = sizeof(BodyHeader);
constexpr std::size_t second_run_at = first_run_at + sizeof(RunHeader) + sizeof(Uuid);

// The fault that decoding meets, or nothing.
std::expected<bool, BodyFault> verdict(Bytes body) {
  const auto decoded = BodyView::decode(body);
  if (!decoded) return std::unexpected(decoded.error());
  return true;
}

template <class T, class Change>
std::vector<std::byte> changed(std::size_t at, Change change) {
  auto body = example_body();
  auto value = load<T>(Bytes(body).subspan(at));
  change(value);
  store(MutableBytes(body).subspan(at), value);
  return body;
}

TEST(Body, HasGoldenBytes) {
  EXPECT_EQ(to_hex(example_body()), golden(R"(
      88 77 66 55 44 33 22 11
      02 00 00 00 02 00 00 00
      00 00 00 00 00 00 00 00

      00 00 00 00 00 00 00 00
      00 00 00 00 00 00 00 00
      10 00 00 00 00 00 00 00
      02 00 00 00 00 00 00 00
      40 41 42 43 44 45 46 47
      48 49 4a 4b 4c 4d 4e 4f

      00 00 07 00 00 00 00 00
      03 00 00 00 00 00 00 00
      0a 00 00 00 02 00 00 00
      01 00 00 00 00 00 00 00
      02 00 00 00 61 62 00 00
      00 00 00 00 00 00 00 00)"));
}

TEST(Body, GivesBackItsRuns) {
  const auto body = example_body();
  const auto view = BodyView::decode(body);
  ASSERT_TRUE(view.has_value()) << name(view.error());
  EXPECT_FALSE(view->is_noop());
  EXPECT_EQ(view->header().assumed_chain, Chain(0x1122334455667788));
  EXPECT_EQ(view->header().entries, 2U);
  std::vector<RunView> runs;
  view->for_each_run([&](const RunView& run) { runs.push_back(run); });
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[0].header.kind, RunKind::open_session);
  EXPECT_EQ(load<Uuid>(runs[0].entries), example_client);
  EXPECT_EQ(runs[1].place, 1U);
  EXPECT_EQ(runs[1].header.session, SessionId(0x070000));
  EXPECT_EQ(runs[1].header.first, Sequence(3));
  const EntrySplit first = split_entry(runs[1].entries);
  EXPECT_EQ(to_hex(first.payload), to_hex(bytes_of(std::string_view("ab"))));
  const EntrySplit second = split_entry(first.rest);
  EXPECT_TRUE(second.payload.empty());
  EXPECT_TRUE(second.rest.empty());
}

TEST(Body, ThatIsEmptyIsTheNoop) {
  const auto view = BodyView::decode({});
  ASSERT_TRUE(view.has_value());
  EXPECT_TRUE(view->is_noop());
  int runs = 0;
  view->for_each_run([&](const RunView&) { ++runs; });
  EXPECT_EQ(runs, 0);
}

TEST(Body, IsRefusedWhenCutAnywhere) {
  const auto body = example_body();
  for (std::size_t length = 1; length < body.size(); ++length) {
    EXPECT_FALSE(verdict(Bytes(body).first(length)).has_value()) << "length " << length;
  }
}

TEST(Body, IsRefusedWithBytesBehindIt) {
  auto body = example_body();
  body.resize(body.size() + 8);
  EXPECT_EQ(verdict(body), std::unexpected(BodyFault::bad_length));
}

TEST(Body, WithReservedBytesInItsHeaderIsRefused) {
  EXPECT_EQ(verdict(changed<BodyHeader>(0, [](auto& header) { header.zero = 1; })), std::unexpected(BodyFault::bad_reserved));
}

TEST(Body, WithReservedBytesInARunIsRefused) {
  for (std::size_t i = 0; i < 7; ++i) {
    EXPECT_EQ(verdict(changed<RunHeader>(second_run_at, [i](auto& run) { run.zero[i] = 1; })),
              std::unexpected(BodyFault::bad_reserved))
        << "byte " << i;
  }
}

TEST(Body, WithPaddingThatIsNotZeroIsRefused) {
  auto body = example_body();
  body.back() = std::byte{1};
  EXPECT_EQ(verdict(body), std::unexpected(BodyFault::bad_reserved));
}

TEST(Body, WithoutRunsIsRefused) {
  EXPECT_EQ(verdict(changed<BodyHeader>(0, [](auto& header) { header.runs = 0; })), std::unexpected(BodyFault::bad_count));
}

TEST(Body, WithMoreRunsThanASessionIdCanNameIsRefused) {
  EXPECT_EQ(verdict(changed<BodyHeader>(0, [](auto& header) { header.runs = 0x10000; })), std::unexpected(BodyFault::bad_count));
}

TEST(Body, WithOneRunTooFewIsRefused) {
  EXPECT_EQ(verdict(changed<BodyHeader>(0, [](auto& header) { header.runs = 1; })), std::unexpected(BodyFault::bad_length));
}

TEST(Body, WithOneRunTooManyIsRefused) {
  EXPECT_EQ(verdict(changed<BodyHeader>(0, [](auto& header) { header.runs = 3; })), std::unexpected(BodyFault::too_short));
}

TEST(Body, WithAWrongSumOfEntriesIsRefused) {
  EXPECT_EQ(verdict(changed<BodyHeader>(0, [](auto& header) { header.entries = 3; })), std::unexpected(BodyFault::bad_count));
}

TEST(Body, WithMoreEntriesInAllThanTheLimitIsRefused) {
  const auto run_of = [](std::uint32_t count) { return entries_of(std::vector<std::string>(count)); };
  for (const std::uint32_t more : {0U, 1U}) {
    std::vector<std::byte> buffer(body_bytes_max);
    BodyWriter writer(buffer, Chain{});
    writer.add(RunKind::entries, SessionId(1), Sequence(1), 1, run_of(1));
    writer.add(RunKind::entries, SessionId(2), Sequence(1), entries_per_body_max - 1, run_of(entries_per_body_max - 1));
    if (more == 0) {
      EXPECT_TRUE(verdict(writer.finish()).has_value());
      continue;
    }
    // The writer would refuse; so the first run gets its second entry by hand, in its padding.
    store(MutableBytes(buffer).subspan(sizeof(BodyHeader)), RunHeader{SessionId(1), Sequence(1), 8, 2});
    const Bytes body = writer.finish();
    store(MutableBytes(buffer), BodyHeader{Chain{}, 2, entries_per_body_max + 1});
    EXPECT_EQ(verdict(body), std::unexpected(BodyFault::bad_count));
  }
}

TEST(Body, WithAnUnknownRunKindIsRefused) {
  EXPECT_EQ(verdict(changed<RunHeader>(second_run_at, [](auto& run) { run.kind = static_cast<RunKind>(4); })),
            std::unexpected(BodyFault::bad_kind));
}

TEST(Body, WithARunThatReachesBehindItsEndIsRefused) {
  for (const std::uint32_t bytes : {17U, 1000U, 0xFFFFFFF8U, 0xFFFFFFFFU}) {
    EXPECT_EQ(verdict(changed<RunHeader>(second_run_at, [bytes](auto& run) { run.bytes = bytes; })),
              std::unexpected(BodyFault::bad_length))
        << "bytes " << bytes;
  }
}

TEST(Body, WithFewerEntriesThanARunClaimsIsRefused) {
  EXPECT_EQ(verdict(changed<RunHeader>(second_run_at, [](auto& run) { run.entries = 3; })),
            std::unexpected(BodyFault::bad_entry));
}

TEST(Body, WithARunWithoutEntriesIsRefused) {
  EXPECT_EQ(verdict(changed<RunHeader>(second_run_at, [](auto& run) { run.entries = 0; })),
            std::unexpected(BodyFault::bad_entry));
}

TEST(Body, WithEntriesOfNoSessionIsRefused) {
  EXPECT_EQ(verdict(changed<RunHeader>(second_run_at, [](auto& run) { run.session = SessionId{}; })),
            std::unexpected(BodyFault::bad_entry));
}

TEST(Body, WithAnOpenedSessionThatHasEntriesIsRefused) {
  EXPECT_EQ(verdict(changed<RunHeader>(first_run_at, [](auto& run) { run.entries = 1; })), std::unexpected(BodyFault::bad_entry));
}

TEST(Body, WithAnOpenedSessionWithoutAWholeUuidIsRefused) {
  EXPECT_EQ(verdict(changed<RunHeader>(first_run_at, [](auto& run) { run.bytes = 15; })), std::unexpected(BodyFault::bad_entry));
}

// A trim alone.
std::vector<std::byte> trim_body() {
  std::vector<std::byte> buffer(1024);
  BodyWriter writer(buffer, Chain(0x1122334455667788));
  writer.add(RunKind::trim, SessionId{}, Sequence{}, 0, bytes_of(Lsn(0x0102030405060708)));
  const Bytes body = writer.finish();
  return {body.begin(), body.end()};
}

template <class Change>
std::vector<std::byte> changed_trim(Change change) {
  auto body = trim_body();
  auto run = load<RunHeader>(Bytes(body).subspan(first_run_at));
  change(run);
  store(MutableBytes(body).subspan(first_run_at), run);
  return body;
}

TEST(TrimBody, HasGoldenBytes) {
  EXPECT_EQ(to_hex(trim_body()), golden(R"(
      88 77 66 55 44 33 22 11
      01 00 00 00 00 00 00 00
      00 00 00 00 00 00 00 00

      00 00 00 00 00 00 00 00
      00 00 00 00 00 00 00 00
      08 00 00 00 00 00 00 00
      03 00 00 00 00 00 00 00
      08 07 06 05 04 03 02 01)"));
  EXPECT_TRUE(verdict(trim_body()).has_value());
}

TEST(TrimBody, IsRefusedWhenCutAnywhere) {
  const auto body = trim_body();
  for (std::size_t length = 1; length < body.size(); ++length) {
    EXPECT_FALSE(verdict(Bytes(body).first(length)).has_value()) << "length " << length;
  }
}

TEST(TrimBody, WithoutAWholeLsnIsRefused) {
  for (const std::uint32_t bytes : {0U, 1U, 7U}) {
    EXPECT_FALSE(verdict(changed_trim([bytes](auto& run) { run.bytes = bytes; })).has_value()) << "bytes " << bytes;
  }
}

TEST(TrimBody, WithMoreThanAnLsnIsRefused) {
  std::vector<std::byte> buffer(1024);
  BodyWriter writer(buffer, Chain{});
  writer.add(RunKind::trim, SessionId{}, Sequence{}, 0, std::vector<std::byte>(9));
  EXPECT_EQ(verdict(writer.finish()), std::unexpected(BodyFault::bad_entry));
}

TEST(TrimBody, WithEntriesIsRefused) {
  EXPECT_EQ(verdict(changed_trim([](auto& run) { run.entries = 1; })), std::unexpected(BodyFault::bad_entry));
}

TEST(TrimBody, OfASessionIsRefused) {
  EXPECT_EQ(verdict(changed_trim([](auto& run) { run.session = SessionId(1); })), std::unexpected(BodyFault::bad_entry));
}

TEST(TrimBody, WithASequenceIsRefused) {
  EXPECT_EQ(verdict(changed_trim([](auto& run) { run.first = Sequence(1); })), std::unexpected(BodyFault::bad_entry));
}

TEST(TrimBody, HoldsAnyNumberOfTrimsApart) {
  std::vector<std::byte> buffer(1024);
  BodyWriter writer(buffer, Chain{});
  EXPECT_EQ(writer.add(RunKind::trim, SessionId{}, Sequence{}, 0, bytes_of(Lsn(5))), 0U);
  EXPECT_EQ(writer.add(RunKind::trim, SessionId{}, Sequence{}, 0, bytes_of(Lsn(3))), 1U);
  const auto view = BodyView::decode(writer.finish());
  ASSERT_TRUE(view.has_value());
  std::vector<Lsn> trims;
  view->for_each_run([&](const RunView& run) { trims.push_back(load<Lsn>(run.entries)); });
  EXPECT_EQ(trims, (std::vector<Lsn>{Lsn(5), Lsn(3)}));
}

TEST(Body, WithAnEntryThatReachesBehindItsRunIsRefused) {
  for (const std::uint32_t length : {7U, 0xFFFFFFFFU}) {
    EXPECT_EQ(verdict(changed<std::uint32_t>(second_run_at + sizeof(RunHeader), [length](auto& value) { value = length; })),
              std::unexpected(BodyFault::bad_entry))
        << "length " << length;
  }
}

TEST(Entries, AreValidOnlyInTheirExactNumber) {
  const auto entries = entries_of({"a", "", "bcd"});
  for (std::uint32_t count = 0; count < 6; ++count) EXPECT_EQ(entries_are_valid(entries, count), count == 3);
}

TEST(Entries, OfTheLargestSizeAreValidAndOfOneMoreAreNot) {
  EXPECT_TRUE(entries_are_valid(entries_of({std::string(entry_bytes_max, 'x')}), 1));
  EXPECT_FALSE(entries_are_valid(entries_of({std::string(entry_bytes_max + 1, 'x')}), 1));
}

TEST(Entries, AboveTheLimitOfABodyAreRefused) {
  const auto most = entries_of(std::vector<std::string>(entries_per_body_max));
  EXPECT_TRUE(entries_are_valid(most, entries_per_body_max));
  const auto more = entries_of(std::vector<std::string>(entries_per_body_max + 1));
  EXPECT_FALSE(entries_are_valid(more, entries_per_body_max + 1));
}

TEST(BodyWriter, CountsRunsEntriesAndBytes) {
  std::vector<std::byte> buffer(1024);
  BodyWriter writer(buffer, Chain{});
  EXPECT_TRUE(writer.empty());
  EXPECT_EQ(writer.bytes(), sizeof(BodyHeader));
  EXPECT_EQ(writer.add(RunKind::entries, SessionId(1), Sequence(1), 1, entries_of({"abc"})), 0U);
  EXPECT_EQ(writer.add(RunKind::entries, SessionId(2), Sequence(1), 1, entries_of({"abc"})), 1U);
  EXPECT_FALSE(writer.empty());
  EXPECT_EQ(writer.entries(), 2U);
  EXPECT_EQ(writer.bytes(), sizeof(BodyHeader) + 2 * (sizeof(RunHeader) + 8));
}

TEST(BodyWriter, FitsExactlyUpToItsBufferAndTheLimit) {
  std::vector<std::byte> buffer(sizeof(BodyHeader) + sizeof(RunHeader) + 16);
  const BodyWriter writer(buffer, Chain{});
  EXPECT_TRUE(writer.fits(16, 1, body_bytes_max));
  EXPECT_FALSE(writer.fits(17, 1, body_bytes_max));
  EXPECT_TRUE(writer.fits(9, 1, buffer.size()));
  EXPECT_FALSE(writer.fits(9, 1, buffer.size() - 1));
}

TEST(BodyWriter, RefusesEntriesAboveTheLimitOfABody) {
  std::vector<std::byte> buffer(body_bytes_batch);
  BodyWriter writer(buffer, Chain{});
  const auto entries = entries_of(std::vector<std::string>(entries_per_body_max - 1));
  writer.add(RunKind::entries, SessionId(1), Sequence(1), entries_per_body_max - 1, entries);
  EXPECT_TRUE(writer.fits(4, 1, buffer.size()));
  EXPECT_FALSE(writer.fits(8, 2, buffer.size()));
}

TEST(BodyWriter, ThatWasNeverGivenABufferFitsNothing) {
  EXPECT_FALSE(BodyWriter().fits(0, 0, body_bytes_max));
}

TEST(BodyWriterDeathTest, StopsAtARunThatDoesNotFit) {
  std::vector<std::byte> buffer(sizeof(BodyHeader));
  BodyWriter writer(buffer, Chain{});
  EXPECT_DEATH(writer.add(RunKind::entries, SessionId(1), Sequence(1), 1, entries_of({"a"})), "CHECK\\(fits");
}

TEST(BodyWriter, MakesRandomBodiesThatDecodeToTheSame) {
  const std::uint64_t first = first_seed();
  for (std::uint64_t seed = first; seed < first + 300; ++seed) {
    Prng prng(seed);
    std::vector<std::byte> buffer(16384, std::byte{0xEE});  // what is not written must not show
    BodyWriter writer(buffer, Chain(prng.next()));
    std::vector<std::vector<std::byte>> runs;
    const std::uint64_t wanted = prng.between(1, 8);
    for (std::uint64_t i = 0; i < wanted; ++i) {
      std::vector<std::string> payloads(prng.between(1, 10));
      for (auto& payload : payloads) payload.assign(prng.below(100), 'p');
      runs.push_back(entries_of(payloads));
      writer.add(RunKind::entries, SessionId(i + 1), Sequence(1), static_cast<std::uint32_t>(payloads.size()), runs.back());
    }
    const auto view = BodyView::decode(writer.finish());
    ASSERT_TRUE(view.has_value()) << "seed " << seed << ": " << name(view.error());
    view->for_each_run([&](const RunView& run) { EXPECT_EQ(to_hex(run.entries), to_hex(runs[run.place])) << "seed " << seed; });
  }
}

TEST(SessionId, NamesSlotAndPlace) {
  EXPECT_EQ(session_id(Slot(7), 0), SessionId(0x70000));
  EXPECT_EQ(session_id(Slot(7), 0xFFFF), SessionId(0x7FFFF));
}

// The inverse of z ^= z >> shift.
std::uint64_t unshift(std::uint64_t z, int shift) {
  std::uint64_t result = z;
  for (int done = shift; done < 64; done += shift) result = z ^ (result >> shift);
  return result;
}

// The inverse of extend(), for a fixed value. That there is one is what keeps two different logs apart for ever.
Chain retract(Chain after, Checksum value) {
  std::uint64_t z = unshift(after.value() ^ value.value(), 31);
  z = unshift(z * 0x319642B2D24D8EC3, 27);
  z = unshift(z * 0x96DE1B173F119089, 30);
  return Chain(z - 0x9E3779B97F4A7C15);
}

TEST(Chain, HasGoldenValues) {
  EXPECT_EQ(extend(Chain{}, Checksum{}), Chain(0xE220A8397B1DCDAF));
  EXPECT_EQ(extend(Chain(1), Checksum(0xFFFFFFFF)), Chain(0x910A2DEC76FDA33E));
}

TEST(Chain, IsABijectionForRandomValues) {
  const std::uint64_t first = first_seed();
  for (std::uint64_t seed = first; seed < first + 10000; ++seed) {
    Prng prng(seed);
    const Chain before(prng.next());
    const Checksum value(static_cast<std::uint32_t>(prng.next()));
    ASSERT_EQ(retract(extend(before, value), value), before) << "seed " << seed;
  }
}

TEST(Chain, DiffersForDifferentRandomValues) {
  const std::uint64_t first = first_seed();
  for (std::uint64_t seed = first; seed < first + 10000; ++seed) {
    Prng prng(seed);
    const Chain before(prng.next());
    const Checksum value(static_cast<std::uint32_t>(prng.next()));
    const Checksum other(value.value() ^ (1U << prng.below(32)));
    ASSERT_NE(extend(before, value), extend(before, other)) << "seed " << seed;
  }
}

TEST(Chain, OfDifferentRandomLogsNeverMeetsByAppendingTheSame) {
  const std::uint64_t first = first_seed();
  for (std::uint64_t seed = first; seed < first + 100; ++seed) {
    Prng prng(seed);
    Chain left(prng.next());
    Chain right(left.value() ^ (std::uint64_t{1} << prng.below(64)));
    for (int slot = 0; slot < 1000; ++slot) {
      const Checksum value(static_cast<std::uint32_t>(prng.chance(1, 4) ? 0 : prng.next()));
      left = extend(left, value);
      right = extend(right, value);
      ASSERT_NE(left, right) << "seed " << seed << ", slot " << slot;
    }
  }
}

TEST(Chain, ChangesWithTheOrderOfValues) {
  EXPECT_NE(extend(extend(Chain{}, Checksum(1)), Checksum(2)), extend(extend(Chain{}, Checksum(2)), Checksum(1)));
  EXPECT_NE(extend(Chain{}, Checksum{}), Chain{}) << "a no-op is a slot too";
}

}  // namespace
}  // namespace synod::wire
