// A directory's segment files, the preparer behind them, and raw block devices: on real files and a real loop device.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "storage/block_reader.h"
#include "storage/file.h"
#include "storage/layout.h"
#include "storage/uring_device.h"
#include "tests/storage/fixture.h"

namespace synod::storage::test {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t segment_bytes = 64U << 20;
constexpr std::uint64_t segments = 6;  // of which format zeroes 4
constexpr PreparerOptions unhurried{.enabled = false};
constexpr PreparerOptions at_once{.bytes_per_second = 0, .bytes_per_second_behind = 0};

std::string error_of(const auto& result) {
  return result ? "no error" : result.error().text;
}

FormatOptions options_of(const std::string& directory) {
  return {.directory = directory,
          .cluster = "test",
          .replica = replica,
          .capacity_bytes = segments * segment_bytes,
          .segment_bytes = segment_bytes};
}

class Segments : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto formatted = format(options_of(path()), {});
    ASSERT_TRUE(formatted) << formatted.error().text;
  }
  [[nodiscard]] const std::string& path() const { return directory_.path(); }
  [[nodiscard]] std::string file(std::uint32_t segment) const { return segment_path(path(), segment); }

 private:
  TemporaryDirectory directory_;
};

std::vector<std::byte> pattern(std::size_t bytes, std::uint64_t seed) {
  Prng prng(seed);
  std::vector<std::byte> data(bytes);
  for (auto& byte : data) byte = static_cast<std::byte>(prng.next());
  return data;
}

void write_pattern(DeviceRef device, std::uint64_t offset, std::uint64_t seed) {
  AlignedBuffer buffer(device_block_bytes);
  copy(buffer.bytes(), pattern(device_block_bytes, seed));
  ASSERT_TRUE(write_now(device, offset, buffer.bytes()));
}

TEST_F(Segments, format_reserves_all_and_zeroes_the_first) {
  for (std::uint32_t i = 0; i < segments; ++i) {
    EXPECT_EQ(fs::exists(file(i)), i < 4) << i;
    EXPECT_EQ(fs::file_size(i < 4 ? file(i) : unprepared_path(path(), i)), segment_bytes) << i;
  }
  const auto device = open_directory(path(), unhurried);
  ASSERT_TRUE(device) << device.error().text;
  const DeviceRef ref(**device);
  EXPECT_EQ(ref.info().size_bytes, segments_offset + segments * segment_bytes);
  EXPECT_EQ(ref.ready_bytes(), segments_offset + 4 * segment_bytes);
}

// As a diskless replica's memory has them. Only a forged or a damaged superblock says so here.
TEST_F(Segments, a_journal_of_smaller_blocks_than_the_device_writes_is_refused) {
  std::fstream journal(path() + "/journal", std::ios::in | std::ios::out | std::ios::binary);
  std::array<std::byte, sizeof(Superblock)> bytes{};
  ASSERT_TRUE(journal.read(reinterpret_cast<char*>(bytes.data()), bytes.size()));
  auto superblock = load<Superblock>(bytes);
  superblock.unit_bytes = unit_bytes_min;
  superblock = seal(superblock);
  for (std::uint32_t i = 0; i < superblock_copies; ++i) {
    journal.seekp(i * device_block_bytes);
    journal.write(reinterpret_cast<const char*>(&superblock), sizeof(superblock));
  }
  journal.close();
  const auto device = open_directory(path(), unhurried);
  ASSERT_TRUE(device) << device.error().text;
  const auto opened = Journal::open(DeviceRef(**device), wire::cluster_id("test"), replica, small_limits, {});
  EXPECT_NE(error_of(opened).find("blocks of 64 bytes"), std::string::npos) << error_of(opened);
}

TEST_F(Segments, flat_offsets_lie_in_the_file_of_their_segment) {
  {
    const auto device = open_directory(path(), unhurried);
    ASSERT_TRUE(device) << device.error().text;
    for (std::uint32_t i = 0; i < 4; ++i) {
      write_pattern(DeviceRef(**device), segments_offset + i * segment_bytes, i);
      write_pattern(DeviceRef(**device), segments_offset + (i + 1) * segment_bytes - device_block_bytes, 100 + i);
    }
  }
  for (std::uint32_t i = 0; i < 4; ++i) {
    std::ifstream in(file(i), std::ios::binary);
    std::vector<char> bytes(device_block_bytes);
    in.read(bytes.data(), device_block_bytes);
    EXPECT_EQ(std::memcmp(bytes.data(), pattern(device_block_bytes, i).data(), bytes.size()), 0) << i;
    in.seekg(segment_bytes - device_block_bytes);
    in.read(bytes.data(), device_block_bytes);
    EXPECT_EQ(std::memcmp(bytes.data(), pattern(device_block_bytes, 100 + i).data(), bytes.size()), 0) << i;
  }
}

TEST_F(Segments, a_reader_stops_at_files_and_sees_zeros_where_nothing_is_ready) {
  const auto device = open_directory(path(), unhurried);
  ASSERT_TRUE(device) << device.error().text;
  const std::uint64_t last = segments_offset + segment_bytes - device_block_bytes;
  write_pattern(DeviceRef(**device), last, 1);
  write_pattern(DeviceRef(**device), last + device_block_bytes, 2);
  BlockReader reader(DeviceRef(**device), (*device)->info().size_bytes);
  for (const std::uint64_t seed : {1U, 2U}) {
    const auto bytes = reader.view(last + (seed - 1) * device_block_bytes, device_block_bytes);
    EXPECT_TRUE(std::ranges::equal(bytes, pattern(device_block_bytes, seed)));
  }
  const auto behind = reader.view((*device)->ready_bytes(), device_block_bytes);
  EXPECT_TRUE(is_zero(behind));
}

TEST_F(Segments, reading_ahead_goes_on_from_file_to_file) {
  const auto device = open_directory(path(), unhurried);
  ASSERT_TRUE(device) << device.error().text;
  const std::uint64_t end = (*device)->ready_bytes();
  constexpr std::uint64_t step = BlockReader::sequential - device_block_bytes;  // so that windows and views meet everywhere
  std::uint64_t seed = 0;
  for (std::uint64_t at = segments_offset; at < end; at += step) write_pattern(DeviceRef(**device), at, ++seed);
  BlockReader reader(DeviceRef(**device), end);
  seed = 0;
  for (std::uint64_t at = segments_offset; at < end; at += device_block_bytes) {
    const Bytes seen = reader.view(at, device_block_bytes);
    if ((at - segments_offset) % step == 0) {
      ASSERT_TRUE(std::ranges::equal(seen, pattern(device_block_bytes, ++seed))) << at;
    } else {
      ASSERT_TRUE(is_zero(seen)) << at;
    }
  }
}

TEST_F(Segments, a_write_over_the_end_of_a_segment_is_a_bug) {
  const auto device = open_directory(path(), unhurried);
  ASSERT_TRUE(device) << device.error().text;
  const AlignedBuffer buffer(2 * device_block_bytes);
  const std::uint64_t last = segments_offset + segment_bytes - device_block_bytes;
  EXPECT_DEATH((*device)->write_durable(last, buffer.bytes(), 1), "");
  EXPECT_DEATH((*device)->write_durable((*device)->ready_bytes(), buffer.bytes(), 1), "");
}

TEST_F(Segments, the_preparer_makes_all_ready_while_the_device_writes) {
  {
    const auto device = open_directory(path(), at_once);
    ASSERT_TRUE(device) << device.error().text;
    ASSERT_NE((*device)->preparer(), nullptr);
    write_pattern(DeviceRef(**device), segments_offset + 3 * segment_bytes, 7);
    (*device)->preparer()->wait();
    EXPECT_EQ((*device)->preparer()->error(), "");
    EXPECT_EQ((*device)->ready_bytes(), (*device)->info().size_bytes);
    write_pattern(DeviceRef(**device), segments_offset + 5 * segment_bytes, 8);
    BlockReader reader(DeviceRef(**device), (*device)->info().size_bytes);
    EXPECT_TRUE(
        std::ranges::equal(reader.view(segments_offset + 5 * segment_bytes, device_block_bytes), pattern(device_block_bytes, 8)));
  }
  EXPECT_FALSE(fs::exists(unprepared_path(path(), 5)));
  const auto again = open_directory(path());
  ASSERT_TRUE(again) << again.error().text;
  EXPECT_EQ((*again)->preparer(), nullptr) << "nothing is left to do";
  EXPECT_EQ((*again)->ready_bytes(), (*again)->info().size_bytes);
}

TEST_F(Segments, a_stopped_preparer_is_resumed_and_its_leftover_written_again) {
  {
    std::ofstream(unprepared_path(path(), 4), std::ios::binary) << std::string(1U << 20, 'x');  // also shorter than it should be
    const auto device = open_directory(path(), {.ahead = 0, .bytes_per_second = 1U << 20});     // a minute for a segment
    ASSERT_TRUE(device) << device.error().text;
  }  // joins at once: the test's time limit is the check
  EXPECT_FALSE(fs::exists(file(4)));
  const auto device = open_directory(path(), at_once);
  ASSERT_TRUE(device) << device.error().text;
  (*device)->preparer()->wait();
  EXPECT_EQ((*device)->preparer()->error(), "");
  std::ifstream in(file(4), std::ios::binary);
  std::vector<char> bytes(1U << 20);
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  EXPECT_TRUE(is_zero(std::as_bytes(std::span(bytes))));
}

TEST_F(Segments, a_preparer_that_cannot_write_says_why_and_adds_nothing) {
  fs::remove(unprepared_path(path(), 5));
  fs::create_directory(unprepared_path(path(), 5));  // EISDIR even for root
  const auto device = open_directory(path(), at_once);
  ASSERT_TRUE(device) << device.error().text;
  (*device)->preparer()->wait();
  EXPECT_NE((*device)->preparer()->error().find("segment-000005.new"), std::string::npos) << (*device)->preparer()->error();
  EXPECT_EQ((*device)->ready_bytes(), segments_offset + 5 * segment_bytes);
}

// What the journal says while no more segments get ready: it goes on with those it has, and keeps its reserve at their end.
TEST_F(Segments, a_journal_goes_on_with_the_segments_it_has_until_more_can_be_made_ready) {
  const std::string stuck = unprepared_path(path(), 4);
  fs::remove(stuck);
  fs::create_directory(stuck);
  PreparerOptions impatient = at_once;
  impatient.try_again_after = std::chrono::milliseconds(10);
  const auto device = open_directory(path(), impatient);
  ASSERT_TRUE(device) << device.error().text;
  (*device)->preparer()->wait();
  EXPECT_TRUE((*device)->preparing_failed());
  auto opened = open(DeviceRef(**device), {});
  ASSERT_TRUE(opened.journal) << opened.error;
  Journal& journal = *opened.journal;
  EXPECT_EQ(journal.segments_ready(), 4U);
  EXPECT_GT(journal.bytes_free(), 3 * segment_bytes);
  EXPECT_LT(journal.bytes_free(), 4 * segment_bytes);
  for (std::uint64_t slot = 1; journal.has_space(); ++slot) {
    while (!journal.can_stage(wire::RecordKind::accepted, body_bytes_max)) drain(journal);
    stage(journal, vote(slot, 1, body_bytes_max));
    ASSERT_LT(slot, 4 * segment_bytes / body_bytes_max) << "it has space without end";
  }
  drain(journal);
  EXPECT_FALSE(journal.can_stage(wire::RecordKind::accepted, body_bytes_max));
  EXPECT_TRUE(journal.can_stage(wire::RecordKind::promise, 0)) << "the reserve is kept";
  EXPECT_LT(journal.bytes_free(), 4U << 20);
  fs::remove(stuck);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while ((*device)->ready_bytes() < segments_offset + segments * segment_bytes) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "it is not tried again: " << (*device)->preparer()->error();
    ::sched_yield();
  }
  EXPECT_EQ((*device)->preparer()->error(), "");
  EXPECT_FALSE((*device)->preparing_failed());
  EXPECT_EQ(journal.segments_ready(), 4U) << "before it has looked";
  (void)journal.collect();
  EXPECT_EQ(journal.segments_ready(), segments);
  EXPECT_TRUE(journal.has_space());
  EXPECT_TRUE(journal.can_stage(wire::RecordKind::accepted, body_bytes_max));
}

TEST_F(Segments, a_preparer_that_cannot_reserve_says_so) {
  fs::resize_file(unprepared_path(path(), 4), 0);
  const pid_t child = ::fork();  // the limit is the process's
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const struct rlimit limit{.rlim_cur = segment_bytes / 2, .rlim_max = segment_bytes / 2};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const auto device = open_directory(path(), at_once);
    if (!device) ::_exit(2);
    (*device)->preparer()->wait();
    ::_exit((*device)->preparer()->error().find("reserve") != std::string::npos ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(Segments, a_missing_segment_is_refused) {
  fs::remove(file(2));
  EXPECT_NE(error_of(open_directory(path())).find("segment-000002 is missing"), std::string::npos);
}

TEST_F(Segments, a_missing_segment_that_was_not_ready_is_refused) {
  fs::remove(unprepared_path(path(), 5));
  EXPECT_NE(error_of(open_directory(path())).find("segment-000005 is missing"), std::string::npos);
}

TEST_F(Segments, a_segment_that_was_cut_off_is_refused) {
  fs::resize_file(file(1), segment_bytes / 2);
  EXPECT_NE(error_of(open_directory(path())).find("cut off"), std::string::npos);
}

TEST_F(Segments, segments_without_their_journal_are_not_formatted_over) {
  fs::remove(path() + "/journal");
  EXPECT_NE(error_of(format(options_of(path()), {})).find("segments without their journal"), std::string::npos);
  EXPECT_TRUE(fs::exists(file(0)));
}

TEST_F(Segments, a_format_that_is_told_to_stop_makes_no_journal_and_can_be_repeated) {
  std::atomic<bool> stop = true;
  const std::string other = path() + "/other";
  FormatOptions options = options_of(other);
  options.stop = &stop;
  EXPECT_EQ(error_of(format(options, {})), "interrupted");
  EXPECT_FALSE(fs::exists(journal_path(other)));
  stop = false;
  EXPECT_TRUE(format(options, {}));
}

TEST_F(Segments, an_interrupted_format_is_repeated) {
  fs::rename(path() + "/journal", path() + "/journal.unfinished");
  fs::rename(file(3), unprepared_path(path(), 3));
  EXPECT_FALSE(read_identity(path()));
  const auto formatted = format(options_of(path()), {});
  ASSERT_TRUE(formatted) << formatted.error().text;
  const auto device = open_directory(path(), unhurried);
  EXPECT_TRUE(device) << device.error().text;
}

TEST_F(Segments, too_few_descriptors_are_said_clearly) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const struct rlimit limit{.rlim_cur = 100, .rlim_max = 200};
    ::setrlimit(RLIMIT_NOFILE, &limit);
    ::_exit(error_of(open_directory(path())).find("open files") != std::string::npos ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(Segments, the_soft_limit_of_descriptors_is_raised) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const struct rlimit limit{.rlim_cur = 100, .rlim_max = 1000};
    ::setrlimit(RLIMIT_NOFILE, &limit);
    ::_exit(open_directory(path(), unhurried) ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(Seam, a_flat_device_is_ready_from_the_start) {
  MemoryDevice memory(1U << 20);
  EXPECT_EQ(DeviceRef(memory).ready_bytes(), 1U << 20);
}

TEST(PrepareAll, leaves_nothing_to_the_preparer) {
  const TemporaryDirectory directory;
  auto options = options_of(directory.path());
  options.prepare_all = true;
  ASSERT_TRUE(format(options, {}));
  const auto device = open_directory(directory.path());
  ASSERT_TRUE(device) << device.error().text;
  EXPECT_EQ((*device)->preparer(), nullptr);
  EXPECT_EQ((*device)->ready_bytes(), (*device)->info().size_bytes);
}

// A loop device over a file on the disk. Needs root.
class RawDevice : public ::testing::Test {
 protected:
  static constexpr std::uint64_t bytes = 32U << 20;

  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "a loop device needs root";
    const std::string file = directory_.path() + "/disk";
    std::ofstream(file).flush();
    fs::resize_file(file, bytes);
    FILE* const pipe = ::popen(("losetup --find --show " + file + " 2>/dev/null").c_str(), "r");
    ASSERT_NE(pipe, nullptr);
    std::array<char, 64> line{};
    if (::fgets(line.data(), line.size(), pipe) != nullptr) path_ = std::string(line.data());
    ::pclose(pipe);
    while (!path_.empty() && path_.back() == '\n') path_.pop_back();
    if (path_.empty()) GTEST_SKIP() << "no loop device can be had here (losetup)";
  }
  void TearDown() override {
    if (!path_.empty()) (void)::system(("losetup --detach " + path_).c_str());
  }

  [[nodiscard]] FormatOptions options() const {
    return {.directory = path_, .cluster = "test", .replica = replica, .capacity_bytes = 0, .segment_bytes = 4U << 20};
  }
  void put(std::uint64_t offset, std::string_view text) const {
    std::fstream file(path_, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(offset));
    file << text;
  }

  std::string path_;

 private:
  TemporaryDirectory directory_;
};

TEST_F(RawDevice, holds_a_journal_that_is_read_back) {
  const auto identity = format(options(), {});
  ASSERT_TRUE(identity) << identity.error().text;
  EXPECT_EQ(journal_path(path_), path_);
  EXPECT_EQ(read_identity(path_)->disk, identity->disk);
  std::vector<TestRecord> written;
  for (std::uint64_t slot = 1; slot <= 9; ++slot) written.push_back(vote(slot, 1, body_bytes_max));
  {
    const auto device = open_directory(path_);
    ASSERT_TRUE(device) << device.error().text;
    EXPECT_EQ((*device)->ready_bytes(), bytes);
    EXPECT_NE((*device)->info().description.find("loop"), std::string::npos) << (*device)->info().description;
    EXPECT_TRUE((*device)->info().stable) << (*device)->info().description;
    auto opened = open(DeviceRef(**device), {});
    ASSERT_TRUE(opened.journal) << opened.error;
    for (const TestRecord& record : written) {
      while (!opened.journal->can_stage(record.header.kind, record.body.size())) drain(*opened.journal);
      stage(*opened.journal, record);
    }
    drain(*opened.journal);
  }
  const auto device = open_directory(path_);
  ASSERT_TRUE(device) << device.error().text;
  EXPECT_EQ(open(DeviceRef(**device), {}).records, written);
}

TEST_F(RawDevice, a_second_owner_is_refused) {
  ASSERT_TRUE(format(options(), {}));
  const auto first = open_directory(path_);
  ASSERT_TRUE(first) << first.error().text;
  EXPECT_NE(error_of(open_directory(path_)).find("mounted or in use"), std::string::npos);
}

TEST_F(RawDevice, a_mounted_one_is_refused_even_by_force) {
  if (::system(("mkfs.ext4 -q " + path_ + " 2>/dev/null").c_str()) != 0) GTEST_SKIP() << "no mkfs.ext4";
  const TemporaryDirectory mount;
  if (::system(("mount " + path_ + " " + mount.path() + " 2>/dev/null").c_str()) != 0) GTEST_SKIP() << "cannot mount here";
  auto forced = options();
  forced.force = true;
  const auto formatted = format(forced, {});
  EXPECT_EQ(::system(("umount " + mount.path()).c_str()), 0);
  EXPECT_NE(error_of(formatted).find("mounted or in use"), std::string::npos) << error_of(formatted);
}

TEST_F(RawDevice, one_that_is_not_blank_is_refused_without_force) {
  for (const std::uint64_t offset : {std::uint64_t{1080}, std::uint64_t{65600}, bytes - 512}) {
    put(offset, "a file system");
    EXPECT_NE(error_of(format(options(), {})).find("not blank"), std::string::npos) << offset;
    auto forced = options();
    forced.force = true;
    ASSERT_TRUE(format(forced, {})) << offset;
    EXPECT_NE(error_of(format(options(), {})).find("already formatted"), std::string::npos);
    put(0, std::string(1U << 20, '\0'));
  }
}

TEST_F(RawDevice, blocks_of_an_earlier_journal_do_not_come_back) {
  ASSERT_TRUE(format(options(), {}));
  {
    const auto device = open_directory(path_);
    ASSERT_TRUE(device) << device.error().text;
    auto opened = open(DeviceRef(**device), {});
    for (std::uint64_t slot = 1; slot <= 3; ++slot) stage(*opened.journal, vote(slot, 1, 5000));
    drain(*opened.journal);
  }
  auto forced = options();
  forced.force = true;
  ASSERT_TRUE(format(forced, {}));
  const auto device = open_directory(path_);
  ASSERT_TRUE(device) << device.error().text;
  const auto opened = open(DeviceRef(**device), {});
  ASSERT_TRUE(opened.journal) << opened.error;
  EXPECT_TRUE(opened.records.empty());
}

TEST_F(RawDevice, a_capacity_beyond_its_size_is_refused) {
  auto options = this->options();
  options.capacity_bytes = bytes;
  EXPECT_NE(error_of(format(options, {})).find("smaller --capacity"), std::string::npos);
}

}  // namespace
}  // namespace synod::storage::test
