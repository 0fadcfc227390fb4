// The page is well-formed, needs nothing from elsewhere, and takes no orders from text that came from outside.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "bench/plot.h"
#include "tests/bench/sample_report.h"

namespace synod::bench {
namespace {

constexpr const char* hostile = "</script><script>alert(1)</script><img src=x> \"'&";

Report hostile_report() {
  Report report = sample_with_ladder();
  report.notes = {hostile};
  report.device = report.port = report.cpu_layout = hostile;
  report.environment.push_back({.key = "kernel", .label = "Kernel", .value = hostile});
  report.stages.front().name = hostile;
  report.floors.wire.front().method = hostile;
  report.cut_short = hostile;
  report.against = Comparison{.path = hostile,
                              .commit = hostile,
                              .cautions = {hostile},
                              .changes = {{.figure = "latency_us/p50", .before = 2, .now = 1}},
                              .percentiles = {{0, 1}, {50, 2}, {90, 3}, {100, 4}}};
  return report;
}

std::string page_of(const Report& report) {
  return to_html(one(report));
}

// Every element that opens closes, in order; what the page writes is XML in this respect. Returns what is wrong.
std::string unbalanced(const std::string& page) {
  std::vector<std::string> open;
  for (std::size_t at = page.find('<'); at != std::string::npos; at = page.find('<', at + 1)) {
    const std::size_t end = page.find('>', at);
    if (end == std::string::npos) return "a tag that never ends";
    const std::string tag = page.substr(at + 1, end - at - 1);
    if (tag.starts_with('!') || tag.ends_with('/')) continue;
    if (std::ranges::count(tag, '\'') % 2 != 0) return "quotes in <" + tag;
    const std::string name = tag.substr(tag.starts_with('/') ? 1 : 0, tag.find(' ') - (tag.starts_with('/') ? 1 : 0));
    if (!tag.starts_with('/')) {
      open.push_back(name);
    } else if (open.empty() || open.back() != name) {
      return "</" + name + "> where " + (open.empty() ? "nothing" : "<" + open.back() + ">") + " is open";
    } else {
      open.pop_back();
    }
  }
  return open.empty() ? "" : "<" + open.back() + "> is never closed";
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST(Html, IsWellFormed) {
  Report floor = sample_report();
  floor.options.measure = Measure::floor;
  Report empty;
  Report different = sample_report();
  different.against = Comparison{.path = "old.json", .differences = {R"(ack was "leader", is "quorum")"}};
  for (const Report& report : {sample_report(), sample_with_ladder(), hostile_report(), floor, empty, different})
    EXPECT_EQ(unbalanced(page_of(report)), "");
  const Report several[] = {sample_report(), hostile_report(), floor};
  EXPECT_EQ(unbalanced(to_html(several)), "");
  EXPECT_EQ(unbalanced(to_html({})), "");
}

TEST(Html, TheCheckFindsWhatIsWrong) {
  EXPECT_NE(unbalanced("<p><b></p></b>"), "");
  EXPECT_NE(unbalanced("<p>"), "");
  EXPECT_NE(unbalanced("</p>"), "");
  EXPECT_NE(unbalanced("<p class='a>b</p>"), "");
}

TEST(Html, NeedsNothingFromElsewhere) {
  const std::string page = page_of(sample_with_ladder());
  for (const char* const reference : {"http://", "https://", "//fonts", "src=", "@import", "url(", "<link"})
    EXPECT_EQ(page.find(reference), std::string::npos) << reference;
}

TEST(Html, TextFromOutsideIsOnlyText) {
  const std::string page = page_of(hostile_report());
  EXPECT_EQ(count_of(page, "<script"), 1U) << "that of the data";
  EXPECT_EQ(count_of(page, "</script"), 1U);
  EXPECT_EQ(page.find("<img"), std::string::npos);
  EXPECT_NE(page.find("&lt;img src=x&gt; &quot;&#39;&amp;"), std::string::npos);
  EXPECT_EQ(escape_html("a\x01\x1b[31mb"), "a??[31mb");
}

TEST(Html, HoldsItsFiguresAsJson) {
  const Report report = hostile_report();
  const std::string page = page_of(report);
  const std::string opening = "<script type='application/json' id='report'>";
  const std::size_t begin = page.find(opening) + opening.size();
  const std::size_t end = page.find("</script>", begin);
  ASSERT_NE(end, std::string::npos);
  const auto embedded = nlohmann::json::parse(page.substr(begin, end - begin), nullptr, false);
  EXPECT_EQ(embedded, nlohmann::json::parse(to_json(one(report))));
}

TEST(Html, DrawsWhatThereIs) {
  const std::string plain = page_of(sample_report());
  const std::string full = page_of(hostile_report());
  EXPECT_EQ(count_of(plain, "<svg"), 4U) << "percentiles, histogram, throughput, longest latency";
  EXPECT_EQ(count_of(full, "<svg"), 6U) << "and two of the ladder";
  EXPECT_NE(plain.find("2.00<small> \u00d7"), std::string::npos) << "the ratio";
  EXPECT_EQ(plain.find("Where the time of an append goes"), std::string::npos);
  EXPECT_NE(full.find("Where the time of an append goes"), std::string::npos);
  EXPECT_EQ(plain.find("Partial."), std::string::npos);
  EXPECT_NE(full.find("Partial."), std::string::npos);
  EXPECT_EQ(count_of(full, "class='line old'"), 1U);
  EXPECT_NE(plain.find("Not durable."), std::string::npos);
}

TEST(Html, SaysThatThereIsNothing) {
  Report report;
  report.cut_short = "interrupted";
  const std::string page = page_of(report);
  EXPECT_NE(page.find("nothing was measured"), std::string::npos);
  EXPECT_EQ(count_of(page, "<svg"), 0U);
}

TEST(Html, OfSeveralRunsLinksToEach) {
  const Report several[] = {sample_report(), sample_with_ladder()};
  const std::string page = to_html(several);
  for (const char* const part : {"href='#run-1'", "href='#run-2'", "id='run-1'", "id='run-2'"})
    EXPECT_EQ(count_of(page, part), 1U) << part;
}

TEST(Plot, NumbersHaveThreeDigits) {
  EXPECT_EQ(short_number(0), "0");
  EXPECT_EQ(short_number(999), "999");
  EXPECT_EQ(short_number(1234), "1.23 k");
  EXPECT_EQ(short_number(1'866'110), "1.87 M");
  EXPECT_EQ(short_number(20'000), "20 k");
  EXPECT_EQ(short_time(0.0005), "0.5 ns");
  EXPECT_EQ(short_time(1.26), "1.26 \u00b5s");
  EXPECT_EQ(short_time(154.4), "154 \u00b5s");
  EXPECT_EQ(short_time(27'820), "27.8 ms");
  EXPECT_EQ(short_time(2'000'000), "2 s");
}

TEST(Plot, AxesHoldTheirValues) {
  const Axis axis = log_axis("x", 10, 1000, short_time);
  EXPECT_GT(axis.place(10), 0);
  EXPECT_LT(axis.place(1000), 1);
  EXPECT_NEAR(axis.place(100), 0.5, 1e-9);
  EXPECT_EQ(axis.place(1), 0) << "kept inside";
  const Axis rates = linear_axis("y", 56'000, short_number);
  EXPECT_EQ(rates.to, 60'000);
  EXPECT_EQ(rates.ticks.back().second, "60 k");
}

}  // namespace
}  // namespace synod::bench
