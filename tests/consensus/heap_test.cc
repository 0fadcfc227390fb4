// No heap after start: every operator new of this process is counted while engines replicate. An executable of its own, because
// it replaces the global allocation functions.
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>
#include <vector>

#include "consensus/engine_trio.h"
#include "consensus/log_checkpoint.h"

namespace {
std::uint64_t allocations = 0;
}  // namespace

// What stands below operator new.
// NOLINTBEGIN(cppcoreguidelines-no-malloc)
void* operator new(std::size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  std::abort();
}
void* operator new[](std::size_t bytes) {
  return operator new(bytes);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  std::free(memory);
}
// NOLINTEND(cppcoreguidelines-no-malloc)

namespace synod::consensus {
namespace {

TEST(Heap, IsNotTouchedWhileEnginesReplicate) {
  const std::uint64_t before_construction = allocations;
  EngineTrio trio;
  ASSERT_GT(allocations, before_construction);  // the count counts
  const std::uint64_t before = allocations;
  const Slot commit = trio.leader().commit();
  for (int i = 0; i < 10'000; ++i) {
    trio.append(128);
    if (i % 16 == 0) trio.tick();
  }
  EXPECT_EQ(allocations, before);
  EXPECT_EQ(trio.leader().commit(), commit + 10'000);
}

TEST(Heap, IsNotTouchedByAnElection) {
  EngineTrio trio;
  trio.append(128);
  const std::uint64_t before = allocations;
  const std::uint64_t elections = trio.leader().counters().elections;
  trio.cut_off();
  trio.heal();
  EXPECT_EQ(allocations, before);
  EXPECT_GT(trio.leader().counters().elections, elections);
  EXPECT_TRUE(trio.leader().is_leader());
}

TEST(Heap, IsNotTouchedByACheckpointOfTheLogState) {
  LogState log(true);
  LogState loaded(true);
  log.begin_load({Slot(9), Lsn(20'000), wire::Chain(5), Lsn(77)});
  for (std::uint64_t i = 1; i <= 3; ++i) {
    const auto place = log.load_session({wire::session_id(Slot(i), 0), Sequence(20), Slot(9)});
    for (std::uint64_t j = 0; j < 20; ++j) log.load_lsns(place, Sequence(j + 1), 1, Lsn(j * 100 + i));
  }
  std::vector<std::byte> buffer(log_checkpoint_bytes(log));
  const std::uint64_t before = allocations;
  const std::size_t used = encode_log_checkpoint(log, buffer);
  const auto decoded = decode_log_checkpoint(buffer, loaded);
  EXPECT_EQ(allocations, before);
  EXPECT_EQ(used, buffer.size());
  EXPECT_TRUE(decoded.has_value());
}

}  // namespace
}  // namespace synod::consensus
