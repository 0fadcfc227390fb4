// Reading ahead: views over the ends of windows, bad sectors, jumps, and that nothing stays in flight.
#include "storage/block_reader.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <set>

#include "storage/layout.h"
#include "tests/storage/fixture.h"

namespace synod::storage::test {
namespace {

constexpr std::uint64_t window = BlockReader::sequential;
constexpr std::uint64_t page = device_block_bytes;
constexpr std::uint64_t device_bytes = 7 * window + 3 * page;

// A memory device with sectors that cannot be read.
class Scratched {
 public:
  Scratched() : memory(device_bytes) {
    Prng prng(7);
    for (std::uint64_t at = 0; at < device_bytes; at += sizeof(std::uint64_t)) store(memory.contents().subspan(at), prng.next());
  }
  void write_durable(std::uint64_t offset, Bytes data, std::uint64_t token) { memory.write_durable(offset, data, token); }
  void read(std::uint64_t offset, MutableBytes to, std::uint64_t token) {
    const auto first_bad = bad.lower_bound(offset);
    if (first_bad != bad.end() && *first_bad < offset + to.size()) bad_tokens.insert(token);
    memory.read(offset, to, token);
    ++in_flight;
    ++reads;
  }
  void submit() { memory.submit(); }
  std::size_t poll(std::span<Completion> out) {
    const std::size_t count = memory.poll(out);
    for (Completion& completion : out.first(count)) {
      if (bad_tokens.erase(completion.token) > 0) completion.error = EIO;
    }
    in_flight -= count;
    return count;
  }
  [[nodiscard]] const DeviceInfo& info() const { return memory.info(); }
  [[nodiscard]] std::uint64_t ready_bytes() const { return memory.ready_bytes(); }

  MemoryDevice memory;
  std::set<std::uint64_t> bad;  // offsets of blocks
  std::set<std::uint64_t> bad_tokens;
  std::size_t in_flight = 0;
  std::size_t reads = 0;
};

bool is_as_written(Scratched& device, std::uint64_t offset, Bytes seen) {
  return std::ranges::equal(seen, device.memory.contents().subspan(offset, seen.size()));
}

// As a chain is read: each block's header first, and then all of it, in lengths that fit no window.
TEST(BlockReader, blocks_that_lie_in_two_windows_are_whole_up_to_the_end) {
  Scratched device;
  BlockReader reader(DeviceRef(device), device_bytes);
  std::uint64_t over_an_end = 0;
  for (std::uint64_t offset = 0, step = 0; offset < device_bytes; ++step) {
    const std::uint64_t bytes = std::min(device_bytes - offset, (1 + step * 37 % 300) * device_block_bytes);
    ASSERT_TRUE(is_as_written(device, offset, reader.view(offset, device_block_bytes))) << offset;
    ASSERT_TRUE(is_as_written(device, offset, reader.view(offset, bytes))) << offset;
    if (offset / window != (offset + bytes - 1) / window) ++over_an_end;
    offset += bytes;
  }
  EXPECT_GE(over_an_end, 5U);
  EXPECT_EQ(device.reads, 8U) << "each window once";
}

TEST(BlockReader, the_longest_view_from_anywhere) {
  Scratched device;
  BlockReader reader(DeviceRef(device), device_bytes);
  for (std::uint64_t offset = 0; offset + BlockReader::view_bytes_max <= device_bytes; offset += window - device_block_bytes) {
    ASSERT_TRUE(is_as_written(device, offset, reader.view(offset, BlockReader::view_bytes_max))) << offset;
  }
}

TEST(BlockReader, a_bad_sector_of_a_window_ahead_is_zero_and_its_neighbours_are_not) {
  Scratched device;
  device.bad = {window + 5 * page, 3 * window - page, 3 * window};
  BlockReader reader(DeviceRef(device), device_bytes);
  for (std::uint64_t offset = 0; offset < device_bytes; offset += device_block_bytes) {
    const Bytes seen = reader.view(offset, device_block_bytes);
    if (device.bad.contains(offset)) {
      ASSERT_TRUE(is_zero(seen)) << offset;
    } else {
      ASSERT_TRUE(is_as_written(device, offset, seen)) << offset;
    }
  }
}

TEST(BlockReader, a_bad_sector_in_the_first_part_of_a_block_over_two_windows) {
  Scratched device;
  device.bad = {2 * window - device_block_bytes};
  BlockReader reader(DeviceRef(device), device_bytes);
  for (std::uint64_t offset = 0; offset < window; offset += device_block_bytes) (void)reader.view(offset, device_block_bytes);
  (void)reader.view(window, device_block_bytes);
  const std::uint64_t start = 2 * window - 2 * page;
  const Bytes seen = reader.view(start, 4 * page);
  EXPECT_TRUE(is_as_written(device, start, seen.first(device_block_bytes)));
  EXPECT_TRUE(is_zero(seen.subspan(device_block_bytes, device_block_bytes)));
  EXPECT_TRUE(is_as_written(device, 2 * window, seen.subspan(std::size_t{2} * device_block_bytes)));
}

TEST(BlockReader, jumps_ahead_and_back) {
  Scratched device;
  BlockReader reader(DeviceRef(device), device_bytes);
  Prng prng(11);
  std::uint64_t offset = 0;
  for (int i = 0; i < 300; ++i) {
    const std::uint64_t bytes = (1 + prng.below(64)) * device_block_bytes;
    if (offset + bytes > device_bytes || prng.chance(1, 20))
      offset = prng.below(6 * window) / device_block_bytes * device_block_bytes;
    ASSERT_TRUE(is_as_written(device, offset, reader.view(offset, bytes))) << offset;
    offset += bytes + (prng.chance(1, 4) ? prng.below(2 * window) / device_block_bytes * device_block_bytes : 0);
  }
}

// The unused end of a segment: what lies ahead already is not asked for again.
TEST(BlockReader, what_is_skipped_costs_no_second_read) {
  Scratched device;
  BlockReader reader(DeviceRef(device), device_bytes);
  for (const std::uint64_t offset :
       {std::uint64_t{0}, window, 2 * window - page, 3 * window + 8 * page, 6 * window, 7 * window}) {
    ASSERT_TRUE(is_as_written(device, offset, reader.view(offset, device_block_bytes))) << offset;
  }
  EXPECT_EQ(device.reads, 8U);
}

TEST(BlockReader, one_view_reads_nothing_ahead_and_a_reader_that_ends_leaves_nothing_in_flight) {
  Scratched device;
  {
    BlockReader reader(DeviceRef(device), device_bytes);
    (void)reader.view(window, device_block_bytes);
    EXPECT_EQ(device.reads, 1U);
    EXPECT_EQ(device.in_flight, 0U);
    (void)reader.view(2 * window, device_block_bytes);
    EXPECT_GT(device.in_flight, 0U);
  }
  EXPECT_EQ(device.in_flight, 0U);
}

TEST(BlockReader, what_is_forgotten_is_asked_for_again) {
  Scratched device;
  BlockReader reader(DeviceRef(device), device_bytes);
  (void)reader.view(0, device_block_bytes);
  (void)reader.view(window, device_block_bytes);
  std::ranges::fill(device.memory.contents().first(3 * window), std::byte{9});
  for (const std::uint64_t ahead : {std::uint64_t{device_block_bytes}, BlockReader::sequential}) {
    reader.forget(ahead);
    for (const std::uint64_t offset : {window, 2 * window}) {
      ASSERT_TRUE(is_as_written(device, offset, reader.view(offset, device_block_bytes))) << offset;
    }
  }
}

}  // namespace
}  // namespace synod::storage::test
