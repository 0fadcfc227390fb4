// Directories and devices, on real files.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "storage/layout.h"
#include "storage/uring_device.h"
#include "tests/storage/fixture.h"

namespace synod::storage::test {
namespace {

FormatOptions small_format(const std::string& directory) {
  return {.directory = directory, .cluster = "test", .replica = replica, .capacity_bytes = 1U << 20, .segment_bytes = 256U << 10};
}

std::string error_of(const auto& result) {
  return result ? "no error" : result.error().text;
}

TEST(Format, makes_a_directory_that_opens_with_the_identity_it_returned) {
  const TemporaryDirectory parent;
  const std::string directory = parent.path() + "/a/b";
  std::uint64_t reported = 0;
  const auto identity = format(small_format(directory), [&](std::uint64_t done, std::uint64_t total) {
    EXPECT_LE(done, total);
    reported = done;
  });
  ASSERT_TRUE(identity) << identity.error().text;
  EXPECT_EQ(reported, 1U << 20);
  EXPECT_EQ(std::filesystem::file_size(directory + "/journal"), segments_offset);
  EXPECT_EQ(std::filesystem::file_size(directory + "/segment-000003"), 256U << 10);
  const auto read = read_identity(directory);
  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ(read->disk, identity->disk);
  EXPECT_EQ(read->cluster, cluster);
  EXPECT_EQ(read->replica, replica);
  EXPECT_EQ(read->open_count, 0U);
}

TEST(Format, refuses_a_directory_that_is_already_formatted_and_leaves_it_alone) {
  const TemporaryDirectory directory;
  const auto first = format(small_format(directory.path()), {});
  ASSERT_TRUE(first);
  const auto second = format(small_format(directory.path()), {});
  EXPECT_NE(error_of(second).find("already formatted"), std::string::npos) << error_of(second);
  EXPECT_EQ(read_identity(directory.path())->disk, first->disk);
}

TEST(Format, finishes_over_the_rest_of_an_interrupted_one) {
  const TemporaryDirectory directory;
  std::ofstream(directory.path() + "/journal.unfinished") << "half a journal";
  EXPECT_FALSE(read_identity(directory.path()));
  const auto identity = format(small_format(directory.path()), {});
  ASSERT_TRUE(identity) << identity.error().text;
  EXPECT_FALSE(std::filesystem::exists(directory.path() + "/journal.unfinished"));
}

TEST(Format, refuses_a_memory_file_system_with_advice) {
  if (::access("/dev/shm", W_OK) != 0) GTEST_SKIP() << "no writable /dev/shm here";
  const TemporaryDirectory directory("/dev/shm");
  const auto formatted = format(small_format(directory.path()), {});
  EXPECT_NE(error_of(formatted).find("put --data on a disk file system, or use --data memory"), std::string::npos)
      << error_of(formatted);
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

TEST(Format, refuses_more_than_the_disk_has_and_leaves_nothing) {
  const TemporaryDirectory directory;
  auto options = small_format(directory.path());
  options.segment_bytes = 0;
  options.capacity_bytes = std::uint64_t{1} << 46;
  const auto formatted = format(options, {});
  ASSERT_FALSE(formatted);
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

TEST(Format, a_missing_directory_says_how_to_make_one) {
  const TemporaryDirectory directory;
  EXPECT_NE(error_of(open_directory(directory.path() + "/none")).find("synod format"), std::string::npos);
  EXPECT_NE(error_of(read_identity(directory.path() + "/none")).find("synod format"), std::string::npos);
}

TEST(Format, opening_does_not_write_into_a_foreign_file) {
  const TemporaryDirectory directory;
  const std::string text(200000, 'x');
  std::ofstream(directory.path() + "/journal") << text;
  EXPECT_NE(error_of(open_directory(directory.path())).find("not a Synod journal"), std::string::npos);
  std::ifstream file(directory.path() + "/journal");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), text);
}

TEST(Uring, a_second_process_is_told_that_the_directory_is_in_use) {
  const TemporaryDirectory directory;
  ASSERT_TRUE(format(small_format(directory.path()), {}));
  const auto first = open_directory(directory.path());
  ASSERT_TRUE(first) << first.error().text;
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const auto second = open_directory(directory.path());
    ::_exit(error_of(second).find("in use by another process") != std::string::npos ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(Uring, the_description_names_file_system_cache_and_method) {
  const TemporaryDirectory directory;
  ASSERT_TRUE(format(small_format(directory.path()), {}));
  const auto device = open_directory(directory.path());
  ASSERT_TRUE(device) << device.error().text;
  const DeviceInfo& info = (*device)->info();
  EXPECT_NE(info.description.find("O_DIRECT + "), std::string::npos) << info.description;
  EXPECT_NE(info.description.find("cache"), std::string::npos) << info.description;
  EXPECT_EQ(info.size_bytes, segments_offset + (1U << 20));
  EXPECT_EQ((*device)->method_times().size(), durability_methods.size());
  EXPECT_TRUE(yields((*device)->method()) || !(*device)->needs_flush()) << "a spinning method can stall for a scheduler tick";
}

TEST(Uring, every_method_writes_what_is_read_back_with_several_in_flight) {
  const TemporaryDirectory directory;
  ASSERT_TRUE(create_prewritten(directory.path() + "/file", 1U << 20, {}));
  for (const DurabilityMethod method : durability_methods) {
    const auto device = UringDevice::open(directory.path() + "/file", method);
    ASSERT_TRUE(device) << device.error().text;
    AlignedBuffer out(64U << 10);
    Prng prng(static_cast<std::uint64_t>(method));
    for (auto& byte : out.bytes()) byte = static_cast<std::byte>(prng.next());
    for (std::uint64_t i = 0; i < 4; ++i) (*device)->write_durable(i << 16, out.bytes(), 100 + i);
    (*device)->submit();
    std::vector<std::uint64_t> tokens;
    std::array<Completion, 8> finished;
    const auto wait = [&](std::size_t count) {
      for (tokens.clear(); tokens.size() < count;) {
        const std::size_t done = (*device)->poll(finished);
        for (std::size_t i = 0; i < done; ++i) {
          EXPECT_EQ(finished[i].error, 0) << name(method);
          tokens.push_back(finished[i].token);
        }
      }
    };
    wait(4);
    std::ranges::sort(tokens);
    EXPECT_EQ(tokens, (std::vector<std::uint64_t>{100, 101, 102, 103}));
    AlignedBuffer back(64U << 10);
    (*device)->read(3U << 16, back.bytes(), 7);
    (*device)->submit();
    wait(1);
    EXPECT_TRUE(std::ranges::equal(out.bytes(), back.bytes())) << name(method);
  }
}

TEST(Uring, a_read_beyond_the_end_is_an_error) {
  const TemporaryDirectory directory;
  ASSERT_TRUE(create_prewritten(directory.path() + "/file", 64U << 10, {}));
  const auto device = UringDevice::open(directory.path() + "/file", DurabilityMethod::dsync_yield);
  ASSERT_TRUE(device) << device.error().text;
  AlignedBuffer buffer(8192);
  Completion finished;
  (*device)->read(60U << 10, buffer.bytes(), 3);
  (*device)->submit();
  while ((*device)->poll(std::span(&finished, 1)) == 0) {
  }
  EXPECT_EQ(finished.token, 3U);
  EXPECT_EQ(finished.error, EIO);
}

TEST(Uring, a_failed_write_is_reported_by_every_method) {
  const TemporaryDirectory directory;
  ASSERT_TRUE(create_prewritten(directory.path() + "/file", 64U << 10, {}));
  for (const DurabilityMethod method : durability_methods) {
    const auto device = UringDevice::open(directory.path() + "/file", method);
    ASSERT_TRUE(device) << device.error().text;
    AlignedBuffer buffer(4096);
    Completion finished;
    (*device)->write_durable(100, buffer.bytes(), 9);  // not aligned: the kernel refuses it
    (*device)->submit();
    while ((*device)->poll(std::span(&finished, 1)) == 0) {
    }
    EXPECT_EQ(finished.token, 9U);
    EXPECT_EQ(finished.error, EINVAL) << name(method);
  }
}

TEST(ChooseMethod, never_takes_a_spinning_method_where_a_write_needs_the_cpu) {
  const std::array<MethodTime, 4> times = {{{DurabilityMethod::dsync_yield, 70, 120},
                                            {DurabilityMethod::dsync_spin, 10, 20},
                                            {DurabilityMethod::linked_yield, 69, 119},
                                            {DurabilityMethod::linked_spin, 5, 5}}};
  EXPECT_EQ(choose_method(times, true), DurabilityMethod::dsync_yield);
  EXPECT_EQ(choose_method(times, false), DurabilityMethod::dsync_spin);
}

TEST(ChooseMethod, takes_a_clearly_better_method) {
  const std::array<MethodTime, 2> times = {{{DurabilityMethod::dsync_yield, 70, 120}, {DurabilityMethod::linked_yield, 40, 80}}};
  EXPECT_EQ(choose_method(times, true), DurabilityMethod::linked_yield);
}

}  // namespace
}  // namespace synod::storage::test
