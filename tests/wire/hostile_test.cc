// Bytes from a port or a disk are hostile. These tests feed every gateway with random bytes, and with valid bytes that were
// damaged and sealed again, so that the checks behind the checksums are reached. Whatever a gateway takes is then used to its
// end: a length that was not checked shows as a CHECK or, under `./dev.sh sanitize`, as a read outside the buffer.

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/prng.h"
#include "tests/seed.h"
#include "tests/wire/examples.h"
#include "wire/body.h"
#include "wire/client.h"
#include "wire/packet.h"

namespace synod::wire {
namespace {

constexpr std::uint64_t iterations = 100'000;

std::vector<std::byte> random_bytes(Prng& prng, std::size_t bytes_max) {
  std::vector<std::byte> bytes(prng.below(bytes_max + 1));
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(prng.next());
  return bytes;
}

// A few small changes: a random byte, an interesting value, a cut, an extension.
void damage(Prng& prng, std::vector<std::byte>& bytes) {
  static constexpr std::uint32_t values[] = {0, 1, 7, 8, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF8, 0xFFFFFFFF};
  for (std::uint64_t changes = prng.between(1, 3); changes > 0; --changes) {
    const std::size_t at = bytes.empty() ? 0 : prng.below(bytes.size());
    switch (prng.below(4)) {
      case 0:
        if (!bytes.empty()) bytes[at] = static_cast<std::byte>(prng.next());
        break;
      case 1:
        if (bytes.size() - at >= 4) store(MutableBytes(bytes).subspan(at), values[prng.below(std::size(values))]);
        break;
      case 2: bytes.resize(at); break;
      default: bytes.resize(bytes.size() + prng.below(40)); break;
    }
  }
}

// Sums up bytes, so that each one is read.
std::uint64_t read_all(Bytes bytes) {
  std::uint64_t sum = 0;
  for (const std::byte byte : bytes) sum += static_cast<std::uint64_t>(byte);
  return sum;
}

std::uint64_t read_entries(Bytes entries, std::uint32_t count) {
  std::uint64_t sum = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    const EntrySplit split = split_entry(entries);
    sum += read_all(split.payload);
    entries = split.rest;
  }
  EXPECT_TRUE(entries.empty());
  return sum;
}

std::uint64_t read_body(Bytes body) {
  const auto view = BodyView::decode(body);
  if (!view) return 0;
  std::uint64_t sum = 1;
  std::uint32_t entries = 0;
  view->for_each_run([&](const RunView& run) {
    sum += run.header.kind == RunKind::entries ? read_entries(run.entries, run.header.entries) : read_all(run.entries);
    entries += run.header.entries;
  });
  EXPECT_EQ(entries, view->header().entries);
  return sum;
}

// A message that was taken says the same when it is sent on.
bool read_message(MessageType type, Bytes payload) {
  PacketHeader header;
  header.type = type;
  header.source = ReplicaId(1);
  std::array<PromisedSlot, window_slots_max> slots;
  const auto message = decode_peer_message(header, payload, slots);
  if (!message) return false;
  EXPECT_EQ(to_hex(encoded(message->payload)), to_hex(payload));
  return true;
}

bool read_append(Bytes payload) {
  const auto append = decode_append(payload);
  if (!append) return false;
  (void)read_entries(append->entries, append->header.count);
  return true;
}

bool read_read_answer(Bytes payload) {
  const auto answer = decode_read_answer(payload);
  if (!answer) return false;
  (void)read_entries(answer->entries, answer->header.count);
  return true;
}

// The bytes at the end of a heap block of just their size, where a sanitizer sees one byte too far.
struct Exact {
  explicit Exact(Bytes bytes) : size(bytes.size()), copy(std::make_unique<std::byte[]>(std::max<std::size_t>(size, 1))) {
    std::ranges::copy(bytes, copy.get());
  }
  [[nodiscard]] Bytes view() const { return {copy.get(), size}; }
  std::size_t size;
  std::unique_ptr<std::byte[]> copy;
};

TEST(RandomBytes, NeverPassForAPacketOrARecord) {
  const std::uint64_t first = first_seed();
  for (std::uint64_t seed = first; seed < first + iterations; ++seed) {
    Prng prng(seed);
    const Exact bytes(random_bytes(prng, 300));
    ASSERT_FALSE(decode_packet(bytes.view()).has_value()) << "seed " << seed;
    ASSERT_FALSE(decode_record(bytes.view()).has_value()) << "seed " << seed;
  }
}

TEST(RandomBytes, NeverCrashTheOtherGateways) {
  const std::uint64_t first = first_seed();
  for (std::uint64_t seed = first; seed < first + iterations; ++seed) {
    Prng prng(seed);
    SCOPED_TRACE(seed);
    const Exact bytes(random_bytes(prng, 100));
    (void)read_body(bytes.view());
    (void)read_message(static_cast<MessageType>(prng.between(1, 14)), bytes.view());
    (void)read_append(bytes.view());
    (void)read_read_answer(bytes.view());
    if (testing::Test::HasFailure()) FAIL() << "seed " << seed;
  }
}

TEST(RandomDamage, ToASealedPacketHeaderNeverCrashes) {
  const std::uint64_t first = first_seed();
  std::uint64_t taken = 0;
  for (std::uint64_t seed = first; seed < first + iterations; ++seed) {
    Prng prng(seed);
    PacketHeader header;
    header.type = MessageType::heartbeat;
    const auto payload = random_bytes(prng, 64);
    header.message_bytes = static_cast<std::uint32_t>(payload.size());
    std::vector<std::byte> raw(bytes_of(header).begin(), bytes_of(header).end());
    // The fields between version and cluster: type, fragments, lengths.
    const std::size_t at = prng.between(5, 31);
    raw[at] = static_cast<std::byte>(prng.chance(1, 2) ? prng.below(4) : prng.next());
    header = seal(load<PacketHeader>(raw), payload);
    raw.assign(bytes_of(header).begin(), bytes_of(header).end());
    raw.insert(raw.end(), payload.begin(), payload.end());
    const Exact packet(raw);
    const auto view = decode_packet(packet.view());
    if (!view) continue;
    ++taken;
    ASSERT_LE(view->header.fragment_offset + view->payload.size(), view->header.message_bytes) << "seed " << seed;
    ASSERT_LT(view->header.fragment, view->header.fragments) << "seed " << seed;
  }
  EXPECT_GT(taken, iterations / 100) << "the damage is too heavy to test what lies behind the checks";
  EXPECT_LT(taken, iterations) << "no damage was noticed";
}

TEST(RandomDamage, ToAMessageNeverCrashes) {
  const std::uint64_t first = first_seed();
  const auto examples = message_examples();
  std::uint64_t taken = 0;
  for (std::uint64_t seed = first; seed < first + iterations; ++seed) {
    Prng prng(seed);
    const auto& example = examples[prng.below(examples.size())];
    auto bytes = from_hex(example.golden);
    damage(prng, bytes);
    const Exact exact(bytes);
    taken += read_message(example.type, exact.view()) ? 1 : 0;
    if (testing::Test::HasFailure()) FAIL() << "seed " << seed;
  }
  EXPECT_GT(taken, iterations / 100) << "the damage is too heavy to test what lies behind the checks";
}

std::vector<std::byte> random_entries(Prng& prng, std::uint32_t count) {
  std::vector<std::byte> entries;
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto payload = random_bytes(prng, 12);
    const auto length = static_cast<std::uint32_t>(payload.size());
    entries.insert(entries.end(), bytes_of(length).begin(), bytes_of(length).end());
    entries.insert(entries.end(), payload.begin(), payload.end());
  }
  return entries;
}

TEST(RandomDamage, ToABodyNeverCrashes) {
  const std::uint64_t first = first_seed();
  std::uint64_t taken = 0;
  for (std::uint64_t seed = first; seed < first + iterations; ++seed) {
    Prng prng(seed);
    std::vector<std::byte> buffer(1024);
    BodyWriter writer(buffer, Chain(prng.next()));
    for (std::uint64_t runs = prng.between(1, 3); runs > 0; --runs) {
      const auto count = static_cast<std::uint32_t>(prng.between(1, 4));
      if (prng.chance(1, 4)) writer.add(RunKind::trim, SessionId{}, Sequence{}, 0, bytes_of(Lsn(prng.next())));
      writer.add(RunKind::entries, SessionId(runs), Sequence(1), count, random_entries(prng, count));
    }
    const Bytes body = writer.finish();
    std::vector<std::byte> bytes(body.begin(), body.end());
    damage(prng, bytes);
    const Exact exact(bytes);
    taken += read_body(exact.view()) > 0 ? 1 : 0;
    if (testing::Test::HasFailure()) FAIL() << "seed " << seed;
  }
  EXPECT_GT(taken, iterations / 100) << "the damage is too heavy to test what lies behind the checks";
}

TEST(RandomDamage, ToAClientMessageNeverCrashes) {
  const std::uint64_t first = first_seed();
  std::uint64_t taken = 0;
  for (std::uint64_t seed = first; seed < first + iterations; ++seed) {
    Prng prng(seed);
    const auto count = static_cast<std::uint32_t>(prng.between(1, 4));
    const Append append{SessionId(1), Sequence(1), count};
    const ReadAnswer answer{1, Lsn(1), Lsn(9), count};
    const bool is_append = prng.chance(1, 2);
    const Bytes head = is_append ? bytes_of(append) : bytes_of(answer);
    std::vector<std::byte> bytes(head.begin(), head.end());
    const auto entries = random_entries(prng, count);
    bytes.insert(bytes.end(), entries.begin(), entries.end());
    damage(prng, bytes);
    const Exact exact(bytes);
    const bool was_taken = is_append ? read_append(exact.view()) : read_read_answer(exact.view());
    taken += was_taken ? 1 : 0;
    if (testing::Test::HasFailure()) FAIL() << "seed " << seed;
  }
  EXPECT_GT(taken, iterations / 100) << "the damage is too heavy to test what lies behind the checks";
}

}  // namespace
}  // namespace synod::wire
