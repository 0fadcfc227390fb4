#include "bench/plan.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "bench/wal_sizes.h"

namespace synod::bench {
namespace {

TEST(Plan, is_every_combination_and_the_last_sweep_runs_fastest) {
  const std::vector<Sweep> sweeps{{"payload", {"128", "4096"}}, {"in-flight", {"1", "8", "64"}}, {"seconds", {"2.5"}}};
  const auto plan = make_plan({.measure = Measure::throughput}, "a title", sweeps);
  ASSERT_TRUE(plan) << plan.error().text;
  ASSERT_EQ(plan->points.size(), 6U);
  EXPECT_EQ(plan->points[1].name, "payload 128, in-flight 8");
  EXPECT_EQ(plan->points[1].options.payload_bytes, 128U);
  EXPECT_EQ(plan->points[1].options.in_flight, 8U);
  EXPECT_EQ(plan->points[5].options.payload_bytes, 4096U);
  EXPECT_EQ(plan->points[5].options.seconds, 2.5);
  EXPECT_EQ(plan->title, "a title");
}

TEST(Plan, without_a_sweep_is_one_point_without_a_name) {
  const auto plan = make_plan({}, "", {});
  ASSERT_TRUE(plan);
  ASSERT_EQ(plan->points.size(), 1U);
  EXPECT_EQ(plan->points[0].name, "");
  EXPECT_EQ(plan->points[0].options.in_flight, 1U) << "completed";
}

TEST(Plan, refuses_what_cannot_be_measured_in_one_line) {
  const auto error = [](std::vector<Sweep> sweeps) {
    const auto plan = make_plan({}, "", sweeps);
    return plan ? std::string("accepted") : plan.error().text;
  };
  EXPECT_EQ(error({{"payload", {"12x"}}}), "payload = 12x is not possible: it takes a number of bytes");
  EXPECT_EQ(error({{"bench", {"floor"}}}), "bench = floor is not possible: it takes latency or throughput");
  EXPECT_EQ(error({{"payload", {"0"}}}), "--payload 0 is not possible: choose 1 to 1048576 bytes");
  EXPECT_EQ(error({{"poisson", {"maybe"}}}), "poisson = maybe is not possible: it takes true or false");
  const std::vector<std::string> many(30, "1");
  EXPECT_EQ(error({{"clients", many}, {"payload", many}}), "more than 500 combinations: sweep over fewer values");
}

TEST(Workload, file_has_the_options_as_keys) {
  const auto file =
      parse_workload("title = 'the title'\nin-flight = [1, 8]\nbench = 'throughput'\nseconds = 2.5\npoisson = true\n", "f");
  ASSERT_TRUE(file) << file.error().text;
  EXPECT_EQ(file->title, "the title");
  ASSERT_EQ(file->sweeps.size(), 4U);
  EXPECT_EQ(file->sweeps[0].key, "bench");
  EXPECT_EQ(file->sweeps[1].key, "in-flight");
  EXPECT_EQ(file->sweeps[1].values, (std::vector<std::string>{"1", "8"}));
}

TEST(Workload, file_with_a_fault_is_refused_in_one_line) {
  const auto error = [](const char* text) {
    const auto file = parse_workload(text, "f.toml");
    return file ? std::string("accepted") : file.error().text;
  };
  EXPECT_TRUE(error("paylod = 1").starts_with("f.toml: there is no key 'paylod'; there are: bench, where,"))
      << error("paylod = 1");
  EXPECT_EQ(error("payload = []"), "f.toml: the list of 'payload' is empty");
  EXPECT_EQ(error("payload = {a = 1}"),
            "f.toml: the value of 'payload' is neither a number, a text, true, false nor a list of these");
  EXPECT_TRUE(error("a = \n").starts_with("f.toml:1: ")) << error("a = \n");
  EXPECT_EQ(load_workload("/nowhere").error().text, "cannot read the workload file /nowhere");
}

TEST(Sweeps, are_a_key_and_values) {
  const auto sweep = parse_sweep("payload=1,20");
  ASSERT_TRUE(sweep);
  EXPECT_EQ(sweep->values, (std::vector<std::string>{"1", "20"}));
  EXPECT_FALSE(parse_sweep("payload"));
  EXPECT_FALSE(parse_sweep("payload="));
  EXPECT_FALSE(parse_sweep("nothing=1"));
}

// ---- sizes of a real WAL ----

std::vector<std::byte> wal_page(std::vector<std::byte> records) {
  std::vector<std::byte> page(8192);
  const std::uint16_t magic = 0xD110;
  const std::uint16_t info = 2;
  const std::uint32_t page_bytes = 8192;
  store(MutableBytes(page), magic);
  store(MutableBytes(page).subspan(2), info);
  store(MutableBytes(page).subspan(36), page_bytes);
  std::ranges::copy(records, page.begin() + 40);
  return page;
}

void add_record(std::vector<std::byte>& records, std::uint32_t bytes, std::uint8_t manager, std::uint8_t info) {
  const std::size_t at = records.size();
  records.resize(at + align_up(std::size_t{bytes}, 8));
  store(MutableBytes(records).subspan(at), bytes);
  store(MutableBytes(records).subspan(at + 16), info);
  store(MutableBytes(records).subspan(at + 17), manager);
}

TEST(WalSizes, are_what_each_commit_flushes) {
  std::vector<std::byte> records;
  add_record(records, 50, 10, 0);    // 56 with padding
  add_record(records, 100, 11, 0);   // 104
  add_record(records, 34, 1, 0x80);  // 40: a commit
  add_record(records, 24, 1, 0x20);  // 24: an abort
  add_record(records, 64, 10, 0);    // nobody flushes it
  const auto sizes = wal_entry_sizes(wal_page(records));
  ASSERT_TRUE(sizes) << sizes.error().text;
  EXPECT_EQ(*sizes, (std::vector<std::uint32_t>{200, 24}));
}

TEST(WalSizes, of_something_else_are_refused) {
  EXPECT_FALSE(wal_entry_sizes(std::vector<std::byte>(10)));
  EXPECT_FALSE(wal_entry_sizes(std::vector<std::byte>(8192)));
  EXPECT_FALSE(wal_entry_sizes(wal_page({}))) << "no commit";
  auto page = wal_page({});
  store(MutableBytes(page).subspan(36), std::uint32_t{7});
  EXPECT_FALSE(wal_entry_sizes(page));
  store(MutableBytes(page).subspan(36), std::uint32_t{8192});
  store(MutableBytes(page).subspan(16), ~std::uint32_t{0});  // a record goes on for ever
  EXPECT_FALSE(wal_entry_sizes(page));
  EXPECT_EQ(load_wal_sizes("/nowhere").error().text, "/nowhere is no PostgreSQL WAL segment: it cannot be read");
}

TEST(WalSizes, of_the_real_one_are_those_of_pgbench) {
  const auto sizes = load_wal_sizes(SYNOD_TEST_WAL);
  ASSERT_TRUE(sizes) << sizes.error().text;
  EXPECT_GT(sizes->size(), 1000U);
  std::uint64_t sum = 0;
  for (const std::uint32_t size : *sizes) sum += size;
  EXPECT_LE(sum, 16U << 20);
  EXPECT_GT(sum, 8U << 20);
}

}  // namespace
}  // namespace synod::bench
