// docs/PROTOCOL.md cannot rot: its diagrams are what the program draws, and it names every scenario.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/scenario/docs.h"
#include "tests/scenario/files.h"
#include "tests/scenario/script.h"

namespace synod::scenario {
namespace {

namespace fs = std::filesystem;

TEST(ProtocolPage, every_diagram_of_the_protocol_is_what_the_program_draws) {
  const std::string text = read_file(root / "docs/PROTOCOL.md");
  int blocks = 0;
  const std::string fresh = refresh_diagrams(
      text, [](const DiagramRequest& request) { return draw_scenario(read_file(folder / (request.scenario + ".txt")), request); },
      blocks);
  EXPECT_EQ(first_difference(text, fresh), "") << "if this is right: ./dev.sh scenario docs --rewrite";
  EXPECT_GE(blocks, 2);
}

TEST(ProtocolPage, the_protocol_names_every_scenario_and_none_that_is_not_there) {
  const std::string text = read_file(root / "docs/PROTOCOL.md");
  for (const std::string& name : scenario_names()) {
    EXPECT_NE(text.find("\n    ./dev.sh scenario " + name + "\n"), std::string::npos) << name << " has no line of its own";
  }
  const std::string command = "./dev.sh scenario ";
  for (std::size_t at = text.find(command); at != std::string::npos; at = text.find(command, at + 1)) {
    const std::size_t begin = at + command.size();
    const std::string name = text.substr(begin, text.find_first_not_of("abcdefghijklmnopqrstuvwxyz-", begin) - begin);
    EXPECT_TRUE(name.empty() || fs::exists(folder / (name + ".txt"))) << name;
  }
}

TEST(ProtocolPage, a_stale_or_missing_block_is_replaced) {
  const auto draw = [](const DiagramRequest& request) {
    return request.scenario + std::to_string(request.first) + std::to_string(request.last) + "\n";
  };
  int blocks = 0;
  const std::string old = "a\n<!-- scenario x text -->\n```text\nold\n```\nb\n<!-- scenario y mermaid 2..3 -->\nc\n";
  EXPECT_EQ(refresh_diagrams(old, draw, blocks),
            "a\n<!-- scenario x text -->\n```text\nx00\n```\nb\n<!-- scenario y mermaid 2..3 -->\n```mermaid\ny23\n```\nc\n");
  EXPECT_EQ(blocks, 2);
}

}  // namespace
}  // namespace synod::scenario
