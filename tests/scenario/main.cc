// `scenario FILE...`: plays scenarios and prints them with what really happens. See commands.h for what a script can say.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/scenario/docs.h"
#include "tests/scenario/script.h"

namespace synod::scenario {
namespace {

struct Options {
  std::vector<std::string> files;
  std::string diagram;
  std::string docs;
  bool rewrite = false;
  std::size_t first = 0;
  std::size_t last = 0;
};

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

bool write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  return file.good();
}

// True if the text was as expected, or is now.
bool compare(const std::string& path, const std::string& expected, const std::string& actual, bool rewrite) {
  const std::string difference = first_difference(expected, actual);
  if (difference.empty()) return true;
  if (rewrite) return write_file(path, actual);
  fmt::print(stderr, "{} is not what happens now: {}", path, difference);
  return false;
}

bool run_file(const std::string& path, const Options& options) {
  const std::string text = read_file(path);
  if (!options.diagram.empty()) {
    const bool is_mermaid = options.diagram == "mermaid";
    fmt::print("{}", draw_scenario(text, {.is_mermaid = is_mermaid, .first = options.first, .last = options.last}));
    return true;
  }
  const Played played = play(parse_script(text));
  if (!options.rewrite) fmt::print("{}", played.text);
  return compare(path, text, played.text, options.rewrite);
}

bool run_docs(const Options& options, const std::filesystem::path& folder) {
  const std::string text = read_file(options.docs);
  int blocks = 0;
  const std::string fresh = refresh_diagrams(
      text,
      [&](const DiagramRequest& request) {
        return draw_scenario(read_file((folder / (request.scenario + ".txt")).string()), request);
      },
      blocks);
  return compare(options.docs, text, fresh, options.rewrite);
}

int run(int argc, char** argv) {
  CLI::App app{"Plays scenarios of Paxos on Synod's own engines and prints what happens."};
  Options options;
  app.add_option("file", options.files, "scenario files")->check(CLI::ExistingFile);
  app.add_option("--diagram", options.diagram, "draw the messages instead")->check(CLI::IsMember({"text", "mermaid"}));
  app.add_option("--from", options.first, "draw from this block on, counted from 1");
  app.add_option("--to", options.last, "draw up to this block");
  app.add_flag("--rewrite", options.rewrite, "write what happens into the file");
  app.add_option("--docs", options.docs, "check (or rewrite) the marked diagrams of this document")->check(CLI::ExistingFile);
  std::string folder;
  app.add_option("--scenarios", folder, "where --docs finds the scenarios")->check(CLI::ExistingDirectory);
  CLI11_PARSE(app, argc, argv);
  bool good = true;
  for (const std::string& file : options.files) good = run_file(file, options) && good;
  if (!options.docs.empty()) good = run_docs(options, folder) && good;
  return good ? 0 : 1;
}

}  // namespace
}  // namespace synod::scenario

int main(int argc, char** argv) {
  try {
    return synod::scenario::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
