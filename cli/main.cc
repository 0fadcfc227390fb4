// synod: one binary, one file per command.
#include <cstdio>
#include <exception>
#include <string>

#include "cli/command.h"

namespace {

using Add = void (*)(CLI::App&, synod::cli::Body&);

constexpr Add commands[] = {
    synod::cli::add_format, synod::cli::add_start,    synod::cli::add_dev,    synod::cli::add_append,
    synod::cli::add_read,   synod::cli::add_tail_lsn, synod::cli::add_trim,   synod::cli::add_status,
    synod::cli::add_bench,  synod::cli::add_inspect,  synod::cli::add_verify,
};

int report_usage(const CLI::App& app, const CLI::ParseError& error, const std::string& first_word) {
  // --help and --version are "errors" with exit code 0.
  if (error.get_exit_code() == 0) return app.exit(error);
  // Before a command is known, the first word is a better culprit than a missing subcommand.
  const bool unknown = app.get_subcommands().empty() && !first_word.empty();
  const char* const kind = unknown && first_word.front() == '-' ? "option" : "command";
  std::string text = unknown ? std::string("unknown ") + kind + " '" + first_word + "'" : error.what();
  for (char& letter : text) {
    if (letter == '\n') letter = ' ';
  }
  std::string path = "synod";
  for (const CLI::App* command : app.get_subcommands()) path += " " + command->get_name();
  std::fprintf(stderr, "synod: %s: see '%s --help'\n", text.c_str(), path.c_str());
  return synod::cli::exit_usage;
}

int run(int argc, char** argv) {
  CLI::App app("A replicated log: append entries, read them back in one agreed order.", "synod");
  app.set_version_flag("--version", SYNOD_VERSION);
  app.require_subcommand(1);
  synod::cli::Body body;
  for (const Add add : commands) add(app, body);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return report_usage(app, error, argc > 1 ? argv[1] : "");
  }
  return body();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {  // of a library: out of memory, text that is no UTF-8
    std::fprintf(stderr, "synod: %s\n", error.what());
    return synod::cli::exit_failed;
  } catch (...) {
    return synod::cli::exit_failed;
  }
}
