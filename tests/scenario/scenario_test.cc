// Every scenario's file holds exactly what happens. And the driver itself: a script that is wrong says so, a trace that differs
// is found.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "tests/scenario/docs.h"
#include "tests/scenario/files.h"
#include "tests/scenario/script.h"

namespace synod::scenario {
namespace {

class Scenario : public ::testing::TestWithParam<std::string> {};

TEST_P(Scenario, happens_as_its_file_says) {
  const std::string text = read_file(folder / (GetParam() + ".txt"));
  const Script script = parse_script(text);
  EXPECT_FALSE(script.header.empty()) << "a scenario begins with a comment that explains it";
  const Played played = play(script);
  EXPECT_EQ(first_difference(text, played.text), "") << "if this is right: ./dev.sh scenario " << GetParam() << " --rewrite";
  EXPECT_EQ(played.text.find("error:"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(All, Scenario, ::testing::ValuesIn(scenario_names()), [](const auto& param) {
  std::string name = param.param;
  std::ranges::replace(name, '-', '_');
  return name;
});

TEST(ScenarioDriver, a_trace_that_differs_is_found) {
  const std::string text = "# One.\n\ncluster 3\n----\nok\n\nstate\n----\nathens is elsewhere\n";
  const std::string actual = play(parse_script(text)).text;
  EXPECT_NE(first_difference(text, actual).find("expected: athens is elsewhere"), std::string::npos);
  EXPECT_EQ(first_difference(actual, play(parse_script(actual)).text), "");
}

TEST(ScenarioDriver, a_line_that_makes_no_sense_is_an_error_in_its_place) {
  const std::vector<std::string> lines{
      "deliver all", "dance athens", "campaign troy",    "tick 30",     "drop accept",          "hide laughter",
      "crash",       "cluster 3",    "deliver nonsense", "read athens", "run until leader 1ms", "restart athens"};
  Commands commands;
  EXPECT_NE(commands.run("state").find("error: first say"), std::string::npos);
  EXPECT_NE(commands.run("members ada ann").find("error: usage"), std::string::npos);
  EXPECT_NE(commands.run("cluster 3 phase1 1 phase2 2").find("error: usage"), std::string::npos);
  ASSERT_EQ(commands.run("cluster 3"), "");
  for (const std::string& line : lines) EXPECT_NE(commands.run(line).find("error: "), std::string::npos) << line;
}

constexpr std::string_view short_script =
    "cluster 3\nhide suspect heartbeat\ncampaign athens\n----\n\n"
    "deliver athens->byzantium prepare\n----\n\n"
    "drop athens->cyrene prepare\n----\n";

TEST(ScenarioDriver, diagrams_show_what_arrives_and_what_is_lost) {
  const std::string text = draw_scenario(short_script, {});
  EXPECT_NE(text.find("prepare (1,a) "), std::string::npos) << text;
  EXPECT_NE(text.find("->|"), std::string::npos) << text;
  EXPECT_NE(text.find("-x|"), std::string::npos) << text;
  const std::string mermaid = draw_scenario(short_script, {.is_mermaid = true});
  EXPECT_NE(mermaid.find("athens->>byzantium: prepare (1,a)\n"), std::string::npos) << mermaid;
  EXPECT_NE(mermaid.find("athens-xcyrene: prepare (1,a)\n"), std::string::npos) << mermaid;
}

TEST(ScenarioDriver, a_diagram_of_some_blocks_shows_those_alone) {
  const std::string text = draw_scenario(short_script, {.is_mermaid = true, .first = 2, .last = 2});
  EXPECT_NE(text.find("athens->>byzantium"), std::string::npos) << text;
  EXPECT_EQ(text.find("athens-xcyrene"), std::string::npos) << text;
  EXPECT_EQ(text.find("campaigns"), std::string::npos) << text;
}

}  // namespace
}  // namespace synod::scenario
