// Each form of a report, from known figures.
#include "bench/report.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/prng.h"
#include "bench/commit.h"
#include "bench/percentiles.h"
#include "tests/bench/sample_report.h"
#include "tests/seed.h"

namespace synod::bench {
namespace {

using Json = nlohmann::json;

// Made by hand from HdrHistogram's rules: five steps for each halving of the distance to 100 %, each at the highest value of its
// bucket (4,000 lies in one of 2 ns, 100,000 in one of 64 ns), the mean over the middles of buckets.
constexpr const char* sample_hgrm =
    "       Value     Percentile TotalCount 1/(1-Percentile)\n"
    "\n"
    "       1.000 0.000000000000          5           1.00\n"
    "       1.000 0.100000000000          5           1.11\n"
    "       1.000 0.200000000000          5           1.25\n"
    "       1.000 0.300000000000          5           1.43\n"
    "       1.000 0.400000000000          5           1.67\n"
    "       1.000 0.500000000000          5           2.00\n"
    "       2.000 0.550000000000          8           2.22\n"
    "       2.000 0.600000000000          8           2.50\n"
    "       2.000 0.650000000000          8           2.86\n"
    "       2.000 0.700000000000          8           3.33\n"
    "       2.000 0.750000000000          8           4.00\n"
    "       2.000 0.775000000000          8           4.44\n"
    "       2.000 0.800000000000          8           5.00\n"
    "       4.001 0.825000000000          9           5.71\n"
    "       4.001 0.850000000000          9           6.67\n"
    "       4.001 0.875000000000          9           8.00\n"
    "       4.001 0.887500000000          9           8.89\n"
    "       4.001 0.900000000000          9          10.00\n"
    "     100.031 0.912500000000         10          11.43\n"
    "     100.031 1.000000000000         10\n"
    "#[Mean    =       11.500, StdDeviation   =       29.514]\n"
    "#[Max     =      100.031, Total count    =           10]\n"
    "#[Buckets =           32, SubBuckets     =         2048]\n";

TEST(ReportHgrm, IsWhatHdrHistogramPrints) {
  EXPECT_EQ(to_hgrm(sample_latency()), sample_hgrm);
}

TEST(ReportHgrm, OfNothingHasNoLines) {
  const std::string text = to_hgrm(Histogram());
  EXPECT_EQ(std::ranges::count(text, '\n'), 5);
}

TEST(ReportCsv, HasARowForTheRun) {
  const std::string text = to_csv(one(sample_report()));
  EXPECT_EQ(text,
            "bench,part,share,where,ack,port,device,device_stable,payload_bytes,replicas,clients,in_flight,arrivals,rate,"
            "seconds,appended,errors,appends_per_second,bytes_per_second,p50_us,p90_us,p99_us,p999_us,p9999_us,max_us,"
            "wire_floor_us,device_floor_us,ratio_to_floor,peak,entries_per_packet,late_sends,unsent,busy,messages_resent,"
            "packets_dropped,elections,settled,keeps_up,verified,cut_short,commit,time_utc\n"
            "latency,run,,box,quorum,net_ring,\"memory, \"\"as is\"\"\",false,128,3,1,1,closed,,"
            "0.500,10,1,20.000,2560.000,1.000,4.001,100.000,100.000,100.000,100.000,"
            "0.500,0.000,2.000,,2.000,0,0,0,0,0,0,true,false,true,," +
                std::string(commit) + ",2026-01-02T03:04:05Z\n");
}

// Cells of a row whose quoted cells hold no line breaks.
std::size_t cells_of(std::string_view row) {
  bool is_quoted = false;
  std::size_t cells = 1;
  for (const char c : row) {
    if (c == '"') is_quoted = !is_quoted;
    if (c == ',' && !is_quoted) ++cells;
  }
  return cells;
}

TEST(ReportCsv, RowsAreAsLongAsTheHeader) {
  Report floor = sample_report();
  floor.options.measure = Measure::floor;
  const Report reports[] = {sample_with_ladder(), floor};
  std::istringstream text(to_csv(reports));
  std::string row;
  std::vector<std::size_t> cells;
  while (std::getline(text, row)) cells.push_back(cells_of(row));
  ASSERT_EQ(cells.size(), 5U) << "the header, a run, two rungs, a floor";
  for (const std::size_t count : cells) EXPECT_EQ(count, cells[0]);
}

TEST(ReportJson, OfOneRunIsOneObject) {
  const Json json = Json::parse(to_json(one(sample_with_ladder())));
  EXPECT_EQ(json["bench"], "latency");
  EXPECT_EQ(json["latency_us"]["p50"], 1.0);
  EXPECT_EQ(json["floor_us"]["wire"], 0.5);
  EXPECT_EQ(json["ratio_to_floor"], 2.0);
  EXPECT_EQ(json["environment"]["cpu"], "a <fast> one");
  EXPECT_EQ(json["percentiles"].front(), Json({0.0, 1.0}));
  EXPECT_EQ(json["percentiles"].back(), Json({100.0, 100.0})) << "the largest value, not the end of its bucket";
  EXPECT_EQ(json["stages"][1]["mean_us"], 1.5);
  EXPECT_TRUE(json["against"].is_null());
  ASSERT_EQ(json["ladder"].size(), 2U);
  for (const Json& part : {json, json["ladder"][0], json["ladder"][1]}) {
    std::uint64_t count = 0;
    for (const Json& bar : part["histogram"]) count += bar[1].get<std::uint64_t>();
    EXPECT_EQ(count, 10U);
  }
}

TEST(ReportJson, OfSeveralRunsIsASweep) {
  const Report reports[] = {sample_report(), sample_with_ladder()};
  const Json json = Json::parse(to_json(reports));
  EXPECT_EQ(json["bench"], "sweep");
  EXPECT_EQ(json["environment"]["cpu"], "a <fast> one");
  ASSERT_EQ(json["runs"].size(), 2U);
  EXPECT_EQ(json["runs"][0]["bench"], "latency");
  EXPECT_EQ(json["runs"][1]["peak"], 40.0);
}

TEST(ReportJson, CurvesAreALineEach) {
  Report report = sample_with_ladder();
  report.device = R"(a "quoted [ 1, 2 ]" \ disk)";
  const std::string text = to_json(one(report));
  EXPECT_NE(text.find("\n  \"percentiles\": [[0.0,1.0],[10.0,1.0],"), std::string::npos) << text;
  EXPECT_NE(text.find("\n    \"appended\": [2,2,2,2,2],\n"), std::string::npos);
  EXPECT_NE(text.find("\n      \"share\": 0.5,\n"), std::string::npos);
  EXPECT_NE(text.find("\n  \"notes\": [],\n"), std::string::npos);
  EXPECT_EQ(Json::parse(text)["ladder"][1]["share"], 1.0);
  EXPECT_EQ(Json::parse(text)["device"], report.device);
}

TEST(ReportJson, TakesBytesThatAreNoText) {
  Report report = sample_report();
  report.device = "\xff\xfe";
  EXPECT_FALSE(Json::parse(to_json(one(report)), nullptr, false).is_discarded());
}

TEST(ReportTable, TellsThatItIsPartial) {
  Report report = sample_with_ladder();
  EXPECT_EQ(to_table(one(report)).find("2.00 x the floor"), 0U);
  report.cut_short = "interrupted";
  EXPECT_EQ(to_table(one(report)).find("PARTIAL: interrupted\n"), 0U);
}

TEST(Percentiles, RandomBarsHoldEveryValueOnce) {
  const std::uint64_t seed = first_seed();
  for (std::uint64_t round = 0; round < 50; ++round) {
    SCOPED_TRACE(testing::Message() << "seed " << seed + round);
    Prng prng(seed + round);
    Histogram latency_ns;
    const std::uint64_t bits = 1 + prng.next() % 44;
    for (int i = 0; i < 1000; ++i) latency_ns.record(prng.next() % (std::uint64_t{1} << (1 + prng.next() % bits)));
    const std::vector<Bar> bars = log_bars(latency_ns);
    ASSERT_FALSE(bars.empty());
    EXPECT_LE(bars.size(), bars_max);
    std::uint64_t count = 0;
    for (std::size_t i = 0; i < bars.size(); ++i) {
      count += bars[i].count;
      if (i > 0) {
        EXPECT_DOUBLE_EQ(bars[i].lower_ns, bars[i - 1].upper_ns);
      }
    }
    EXPECT_EQ(count, latency_ns.count());
  }
}

TEST(Percentiles, RandomStepsRiseToTheLastValue) {
  Prng prng(first_seed());
  Histogram latency_ns;
  for (int i = 0; i < 100'000; ++i) latency_ns.record(1 + prng.next() % 1'000'000);
  const std::vector<PercentileStep> steps = percentile_steps(latency_ns);
  EXPECT_LT(steps.size(), 150U);
  for (std::size_t i = 1; i < steps.size(); ++i) {
    EXPECT_GT(steps[i].percent, steps[i - 1].percent);
    EXPECT_GE(steps[i].value_ns, steps[i - 1].value_ns);
    EXPECT_GE(static_cast<double>(steps[i].total), steps[i].percent / 100 * 100'000 - 1e-6);
  }
  EXPECT_EQ(steps.back().percent, 100);
  EXPECT_EQ(steps.back().total, latency_ns.count());
  EXPECT_TRUE(percentile_steps(Histogram()).empty());
}

}  // namespace
}  // namespace synod::bench
