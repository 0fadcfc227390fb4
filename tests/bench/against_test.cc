// A run beside an older one; the older one's file may hold anything.
#include "bench/against.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "bench/environment.h"
#include "bench/outputs.h"
#include "tests/bench/sample_report.h"

namespace synod::bench {
namespace {

class Against : public testing::Test {
 protected:
  [[nodiscard]] OldReport keep(const Report& report) const {
    auto before = read_report(directory.put("old.json", to_json(one(report))));
    EXPECT_TRUE(before);
    return *before;
  }
  [[nodiscard]] std::string refusal(const std::string& text) const {
    const auto before = read_report(directory.put("wrong.json", text));
    return before ? "" : before.error().text;
  }

  TemporaryDirectory directory;
};

TEST_F(Against, ComparesFigureByFigure) {
  const OldReport before = keep(sample_report());
  Report now = sample_report();
  now.run.result.latency_ns = Histogram();
  now.run.result.latency_ns.record(2000, 10);
  now.run.result.appended = 30;
  const Comparison found = compare(before, now);
  EXPECT_TRUE(found.is_comparable());
  EXPECT_TRUE(found.cautions.empty());
  ASSERT_EQ(found.changes.size(), 7U);
  EXPECT_EQ(found.changes[0].figure, "ratio_to_floor") << "first what holds on any machine";
  EXPECT_EQ(found.changes[0].before, 2);
  EXPECT_EQ(found.changes[0].now, 4);
  EXPECT_EQ(found.changes[1].figure, "latency_us/p50");
  EXPECT_EQ(found.changes[1].ratio(), 2);
  EXPECT_EQ(found.changes[4].figure, "appends_per_second");
  EXPECT_EQ(found.changes[4].ratio(), 3);
  EXPECT_EQ(found.changes[6].figure, "floor_us/device");
  EXPECT_EQ(found.changes[6].ratio(), std::nullopt) << "diskless: no ratio to 0";
  EXPECT_EQ(found.percentiles.size(), 20U);
  EXPECT_EQ(found.time_utc, "2026-01-02T03:04:05Z");

  now.against = found;
  const auto json = nlohmann::json::parse(to_json(one(now)));
  EXPECT_EQ(json["against"]["comparable"], true);
  EXPECT_EQ(json["against"]["changes"][0],
            nlohmann::json({{"figure", "ratio_to_floor"}, {"old", 2.0}, {"new", 4.0}, {"ratio", 2.0}}));
  EXPECT_NE(to_table(one(now)).find("latency_us/p50                1.000 ->          2.000   x 2.000"), std::string::npos);
}

TEST_F(Against, OtherConditionsAreNotCompared) {
  const OldReport before = keep(sample_report());
  const auto expect_different = [&](const std::string& key, auto change) {
    Report now = sample_report();
    change(now);
    const Comparison found = compare(before, now);
    ASSERT_EQ(found.differences.size(), 1U) << key;
    EXPECT_EQ(found.differences[0].find(key + " was "), 0U) << found.differences[0];
    EXPECT_TRUE(found.changes.empty());
    EXPECT_TRUE(found.percentiles.empty());
    now.against = found;
    EXPECT_NE(to_table(one(now)).find("not comparable: " + key), std::string::npos);
  };
  expect_different("ack", [](Report& now) { now.options.ack = "leader"; });
  expect_different("payload_bytes", [](Report& now) { now.options.payload_bytes = 1024; });
  expect_different("port", [](Report& now) { now.port = "kernel UDP"; });
  expect_different("in_flight", [](Report& now) { now.options.in_flight = 8; });
  expect_different("replicas", [](Report& now) { now.replicas = 5; });
  expect_different("clients", [](Report& now) { now.options.clients = 2; });
  expect_different("device_stable", [](Report& now) { now.device_stable = true; });
  expect_different("bench", [](Report& now) { now.options.measure = Measure::throughput; });
}

TEST_F(Against, AnotherMachineIsACaution) {
  const OldReport before = keep(sample_report());
  Report now = sample_report();
  now.environment.front().value = "a slow one";
  now.device = "a disk";
  const Comparison found = compare(before, now);
  EXPECT_TRUE(found.is_comparable());
  ASSERT_EQ(found.cautions.size(), 2U);
  EXPECT_EQ(found.cautions[0].find("device was "), 0U);
  EXPECT_EQ(found.cautions[1], R"(cpu was "a <fast> one", is "a slow one")");
}

TEST_F(Against, AWrongFileIsOneLine) {
  const std::string nested = std::string(100'000, '[');
  for (const std::string& text : {std::string(), std::string("hello"), std::string("[]"), std::string("{}"), std::string("null"),
                                  std::string(R"({"bench":7})"), std::string(R"({"bench":"latency"})"),
                                  std::string(R"({"bench":"latency","latency_us":{"p50":"fast"},"floor_us":{}})"),
                                  std::string(R"({"bench":"latency","latency_us":{"p50":1}})"),
                                  std::string(R"({"bench":"sweep","runs":[]})"), std::string("{\"bench\":\"\xff\"}"), nested}) {
    const std::string line = refusal(text);
    EXPECT_NE(line.find("wrong.json is not the JSON of a run of synod bench: "), std::string::npos) << text.substr(0, 60);
    EXPECT_EQ(line.find('\n'), std::string::npos);
  }
  EXPECT_FALSE(read_report(directory / "absent.json"));
  EXPECT_FALSE(read_report(directory.root()));
}

TEST_F(Against, NothingInTheFileReachesATerminalAsItIs) {
  nlohmann::json json = nlohmann::json::parse(to_json(one(sample_report())));
  json["commit"] = "\x1b[2J";
  json["port"] = std::string(1000, '\n');
  json["percentiles"] = {{0, 1}, {"x", 2}};
  json["ratio_to_floor"] = "two";
  Report now = sample_report();
  const auto before = read_report(directory.put("old.json", json.dump()));
  ASSERT_TRUE(before);
  now.against = compare(*before, now);
  EXPECT_TRUE(now.against->percentiles.empty());
  const std::string table = to_table(one(now));
  EXPECT_EQ(table.find('\x1b'), std::string::npos);
  EXPECT_EQ(table.find("\n\n"), std::string::npos);
  EXPECT_LT(table.size(), 4000U);
}

TEST(Outputs, APathThatCannotBeWrittenIsKnownAtOnce) {
  const TemporaryDirectory directory;
  const auto error_of = [](const OutputPaths& paths) {
    const auto outputs = Outputs::open(paths);
    return outputs ? "" : outputs.error().text;
  };
  EXPECT_EQ(error_of({.json = directory / "no/such/place.json"}),
            "cannot write " + (directory / "no/such/place.json") + ": No such file or directory");
  EXPECT_EQ(error_of({.html = directory.root()}), "cannot write " + directory.root() + ": it is a directory");
  EXPECT_NE(error_of({.json = directory / "a", .csv = directory / "./a"}).find("is named for two reports"), std::string::npos);
  EXPECT_EQ(directory.count(), 0U) << "nothing is left of what was opened before";
}

TEST(Outputs, AnOlderReportStaysUntilTheNewOneIsComplete) {
  const TemporaryDirectory directory;
  const std::string path = directory.put("report.json", "old");
  const Report report = sample_report();
  {
    auto outputs = Outputs::open({.json = path});
    ASSERT_TRUE(outputs);
    EXPECT_EQ(text_of(path), "old");
  }
  EXPECT_EQ(text_of(path), "old") << "a run that found nothing leaves everything as it was";
  EXPECT_EQ(directory.count(), 1U);
  auto outputs =
      Outputs::open({.json = path, .csv = directory / "a.csv", .hgrm = directory / "a.hgrm", .html = directory / "a.html"});
  ASSERT_TRUE(outputs);
  ASSERT_TRUE(outputs->write(one(report)));
  EXPECT_EQ(text_of(path), to_json(one(report)) + "\n");
  EXPECT_EQ(text_of(directory / "a.csv"), to_csv(one(report)));
  EXPECT_EQ(text_of(directory / "a.hgrm"), to_hgrm(sample_latency()));
  EXPECT_EQ(text_of(directory / "a.html"), to_html(one(report)));
  EXPECT_EQ(directory.count(), 4U);
}

TEST(Outputs, AFullDeviceIsAFaultAndOthersAreWritten) {
  const TemporaryDirectory directory;
  auto outputs = Outputs::open({.json = "/dev/full", .csv = directory / "a.csv"});
  ASSERT_TRUE(outputs);
  const Report report = sample_report();
  const auto written = outputs->write(one(report));
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().text, "cannot write /dev/full: No space left on device");
  EXPECT_EQ(text_of(directory / "a.csv"), to_csv(one(report)));
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/full")) << "it was not replaced";
}

TEST(Environment, IsReadFromTheMachine) {
  const TemporaryDirectory root;
  (void)root.put("proc/cpuinfo", "processor\t: 0\nmodel name\t: Model  T\nflags\t\t: fpu hypervisor sse\n");
  (void)root.put("proc/meminfo", "MemTotal:  1 kB\nHugePages_Total:     512\nHugepagesize:       2048 kB\n");
  (void)root.put("sys/class/dmi/id/sys_vendor", "QEMU\n");
  (void)root.put("sys/devices/system/cpu/isolated", "\n");
  (void)root.put("sys/devices/system/cpu/intel_pstate/no_turbo", "1\n");
  const Environment facts = read_environment(root.root());
  EXPECT_EQ(value_of(facts, "cpu"), "Model  T");
  EXPECT_EQ(value_of(facts, "hypervisor"), "QEMU");
  EXPECT_EQ(value_of(facts, "huge_pages"), "512 of 2048 kB");
  EXPECT_EQ(value_of(facts, "isolated"), "none");
  EXPECT_EQ(value_of(facts, "turbo"), "off");
  EXPECT_EQ(value_of(facts, "governor"), "unknown");
  EXPECT_EQ(value_of(facts, "no such fact"), "unknown");
  EXPECT_EQ(value_of(facts, "dpdk").find("DPDK "), 0U);
  EXPECT_EQ(value_of(facts, "time_utc").size(), std::string("2026-01-01T00:00:00Z").size());
}

TEST(Environment, WhatCannotBeReadIsUnknown) {
  const TemporaryDirectory root;
  const Environment facts = read_environment(root.root());
  for (const char* const key : {"cpu", "isolated", "governor", "turbo", "huge_pages", "hypervisor"})
    EXPECT_EQ(value_of(facts, key), "unknown") << key;
  for (const Fact& fact : facts) EXPECT_FALSE(fact.value.empty()) << fact.key;
}

}  // namespace
}  // namespace synod::bench
