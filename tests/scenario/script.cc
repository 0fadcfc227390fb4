#include "tests/scenario/script.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>
#include <utility>

namespace synod::scenario {

namespace {

constexpr std::string_view separator = "----";

std::vector<std::string> lines_of(std::string_view text) {
  std::istringstream stream{std::string(text)};
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

bool is_comment(std::string_view line) {
  return line.starts_with("#");
}

}  // namespace

Script parse_script(std::string_view text) {
  Script script;
  Block block;
  bool in_output = false;
  for (const std::string& line : lines_of(text)) {
    if (in_output && !line.empty()) {
      block.expected += line + "\n";
    } else if (line == separator) {
      in_output = true;
    } else if (!line.empty()) {
      block.lines.push_back(line);
    } else if (in_output) {
      script.blocks.push_back(std::exchange(block, {}));
      in_output = false;
    } else if (script.blocks.empty() && std::ranges::all_of(block.lines, is_comment)) {
      for (const std::string& comment : block.lines) script.header += comment + "\n";
      block = {};
    }
  }
  if (!block.lines.empty()) script.blocks.push_back(block);
  return script;
}

Played play(const Script& script) {
  Played played;
  played.text = script.header;
  for (const Block& block : script.blocks) {
    std::string output;
    if (!played.text.empty()) played.text += "\n";
    for (const std::string& line : block.lines) {
      played.text += line + "\n";
      if (!is_comment(line)) output += played.commands.run(line);
    }
    played.text += fmt::format("{}\n{}", separator, output.empty() ? "ok\n" : output);
    played.ends.push_back(played.commands.has_world() ? played.commands.world().trace().events().size() : 0);
  }
  return played;
}

std::span<const Event> events_of(const Played& played, std::size_t first, std::size_t last) {
  if (!played.commands.has_world()) return {};
  const std::span<const Event> events = played.commands.world().trace().events();
  const std::size_t begin = first <= 1 ? 0 : played.ends.at(std::min(first - 2, played.ends.size() - 1));
  const std::size_t end = last == 0 ? events.size() : played.ends.at(std::min(last - 1, played.ends.size() - 1));
  return events.subspan(begin, std::max(end, begin) - begin);
}

std::string first_difference(std::string_view expected, std::string_view actual) {
  const std::vector<std::string> left = lines_of(expected);
  const std::vector<std::string> right = lines_of(actual);
  for (std::size_t i = 0; i < std::max(left.size(), right.size()); ++i) {
    const std::string end = "(the end)";
    const std::string& a = i < left.size() ? left[i] : end;
    const std::string& b = i < right.size() ? right[i] : end;
    if (a != b) return fmt::format("line {}\n  expected: {}\n  actual:   {}\n", i + 1, a, b);
  }
  return expected == actual ? "" : "the end of the last line differs\n";
}

}  // namespace synod::scenario
