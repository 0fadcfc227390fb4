// synod tail-lsn: the LSN of the next entry, linearizable.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/command.h"

namespace synod::cli {

namespace {

struct TailLsn {
  ClusterOptions cluster;
  std::string format = "table";

  [[nodiscard]] int run() const {
    auto client = cluster.connect();
    if (!client) return failed(client.error().text);
    const auto tail = (*client)->tail();
    if (!tail) return failed(tail.error().text);
    if (format == "json") {
      fmt::print("{}\n", nlohmann::json{{"tail_lsn", tail->value()}}.dump());
    } else {
      fmt::print("{}\n", tail->value());
    }
    return finish_output(exit_done);
  }
};

}  // namespace

void add_tail_lsn(CLI::App& app, Body& body) {
  CLI::App* const command = app.add_subcommand("tail-lsn", "print the LSN that the next entry will get");
  static TailLsn options;  // lives as long as the application that refers to it
  options.cluster.add_to(*command);
  add_format_option(*command, options.format);
  command->final_callback([&body] { body = [] { return options.run(); }; });
}

}  // namespace synod::cli
