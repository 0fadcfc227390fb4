// No heap on the data path: while a box takes appends, a call of malloc by its nodes (or by anything below them: DPDK, io_uring,
// the client's session) is counted. An executable of its own, because it stands in front of the C library's functions.
//
// To see who it was: gdb, and a break point at synod::replica::test::note_allocation.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/target.h"
#include "dataplane/clock.h"
#include "dataplane/eal.h"
#include "replica/box.h"
#include "replica/config.h"
#include "storage/format.h"

namespace synod::replica::test {

thread_local bool is_trapping = false;
thread_local std::uint64_t allocations = 0;

[[gnu::noinline]] void note_allocation() {
  if (is_trapping) ++allocations;
}

}  // namespace synod::replica::test

#if defined(__SANITIZE_ADDRESS__)
constexpr bool traps = false;  // the sanitizer stands there itself
#else
constexpr bool traps = true;

// NOLINTBEGIN: the C library's own names
extern "C" {
void* __libc_malloc(std::size_t bytes);
void* __libc_calloc(std::size_t count, std::size_t bytes);
void* __libc_realloc(void* old, std::size_t bytes);
void* __libc_memalign(std::size_t alignment, std::size_t bytes);

void* malloc(std::size_t bytes) {
  synod::replica::test::note_allocation();
  return __libc_malloc(bytes);
}
void* calloc(std::size_t count, std::size_t bytes) {
  synod::replica::test::note_allocation();
  return __libc_calloc(count, bytes);
}
void* realloc(void* old, std::size_t bytes) {
  synod::replica::test::note_allocation();
  return __libc_realloc(old, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  synod::replica::test::note_allocation();
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void** to, std::size_t alignment, std::size_t bytes) {
  synod::replica::test::note_allocation();
  *to = __libc_memalign(alignment, bytes);
  return *to == nullptr ? ENOMEM : 0;
}
}
// NOLINTEND
#endif

namespace synod::replica::test {
namespace {

constexpr std::uint16_t replicas = 3;
constexpr std::uint64_t patience_us = 60'000'000;

class Heap : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!traps) GTEST_SKIP() << "the sanitizer has its own malloc";
    const auto started = dataplane::start_eal({});
    ASSERT_TRUE(started) << started.error().text;
  }
  void TearDown() override {
    std::error_code ignored;
    if (!directory_.empty()) std::filesystem::remove_all(directory_, ignored);
  }

  void make_directories() {
    std::string name = "/tmp/synod-heap-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
    for (std::size_t place = 0; place < replicas; ++place) {
      const auto formatted = storage::format({.directory = Box::directory(directory_, place),
                                              .cluster = "synod",
                                              .replica = ReplicaId(static_cast<std::uint16_t>(place + 1)),
                                              .members = replicas,
                                              .capacity_bytes = 64U << 20},
                                             {});
      ASSERT_TRUE(formatted) << formatted.error().text;
    }
  }

  // Counts what is allocated behind the first tenth of `appends`: by then there is a leader and a session, and everything that is
  // made once has been made.
  void expect_none(const std::string& data, std::size_t payload_bytes, std::size_t in_flight, std::uint64_t appends) {
    auto box = Box::make({.replicas = replicas, .data = data, .memory_bytes = 64U << 20, .client_links = true});
    ASSERT_TRUE(box) << box.error().text;
    bench::Link link(bench::ways_to(**box, "synod"), {.in_flight = in_flight, .payload_bytes = payload_bytes});
    const std::vector<std::byte> payload(payload_bytes);
    std::vector<bench::Finished> finished(in_flight);
    const std::uint64_t end_us = dataplane::now_us() + patience_us;
    std::uint64_t taken = 0;
    std::uint64_t done = 0;
    allocations = 0;
    while (done < appends && dataplane::now_us() < end_us) {
      const std::uint64_t now_ns = dataplane::now_ns();
      while (taken - done < in_flight && link.try_append(0, taken, payload, 0, now_ns)) ++taken;
      is_trapping = done >= appends / 10;
      link.turn(now_ns);
      (*box)->poll_once(now_ns / 1000);
      is_trapping = false;
      done += link.take_finished(finished);
    }
    EXPECT_GE(done, appends);
    EXPECT_EQ(allocations, 0U);
  }

  std::string directory_;
};

TEST_F(Heap, is_counted) {
  is_trapping = true;
  void* volatile memory = std::malloc(100);  // else the compiler leaves it out
  std::uint64_t* volatile object = new std::uint64_t;
  is_trapping = false;
  std::free(memory);
  delete object;
  EXPECT_EQ(std::exchange(allocations, 0), 2U);
}

TEST_F(Heap, is_not_touched_by_appends_one_at_a_time) {
  expect_none(data_memory, 128, 1, 5'000);
}

// Pages of the index and checkpoints are written meanwhile.
TEST_F(Heap, is_not_touched_by_many_appends) {
  expect_none(data_memory, 128, 256, 100'000);
}

TEST_F(Heap, is_not_touched_by_appends_of_many_packets) {
  expect_none(data_memory, 50'000, 8, 600);
}

TEST_F(Heap, is_not_touched_by_durable_appends) {
  make_directories();
  expect_none(directory_, 128, 64, 20'000);
}

}  // namespace
}  // namespace synod::replica::test
