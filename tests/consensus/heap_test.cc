// No heap after start: every operator new of this process is counted while engines replicate. An executable of its own, because
// it replaces the global allocation functions.
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>

#include "consensus/engine_trio.h"

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

}  // namespace
}  // namespace synod::consensus
