#include "tests/scenario/docs.h"

#include <fmt/format.h>

#include <regex>
#include <sstream>

#include "tests/scenario/diagram.h"
#include "tests/scenario/script.h"

namespace synod::scenario {

std::string draw_scenario(std::string_view script, const DiagramRequest& request) {
  const Played played = play(parse_script(script));
  if (!played.commands.has_world()) return "";
  const Names& names = played.commands.world().names();
  const std::span<const Event> events = events_of(played, request.first, request.last);
  return request.is_mermaid ? mermaid_diagram(names, events) : text_diagram(names, events);
}

std::string refresh_diagrams(std::string_view document, const Draw& draw, int& blocks) {
  static const std::regex marker("<!-- scenario ([a-z0-9-]+) (text|mermaid)(?: ([0-9]+)\\.\\.([0-9]+))? -->");
  std::istringstream stream{std::string(document)};
  std::string result;
  blocks = 0;
  for (std::string line; std::getline(stream, line);) {
    result += line + "\n";
    std::smatch match;
    if (!std::regex_match(line, match, marker)) continue;
    ++blocks;
    DiagramRequest request{.scenario = match[1].str(), .is_mermaid = match[2] == "mermaid"};
    if (match[3].matched) {
      request.first = std::stoul(match[3].str());
      request.last = std::stoul(match[4].str());
    }
    result += fmt::format("```{}\n{}```\n", match[2].str(), draw(request));
    // The old block, if there is one, is skipped.
    const auto begin = stream.tellg();
    if (!std::getline(stream, line) || !line.starts_with("```")) {
      stream.clear();
      stream.seekg(begin);
      continue;
    }
    while (std::getline(stream, line) && line != "```") {
    }
  }
  return result;
}

}  // namespace synod::scenario
