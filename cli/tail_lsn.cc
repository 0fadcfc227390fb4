// synod tail-lsn: the LSN of the next entry, linearizable.
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
    return print_lsn("tail_lsn", *tail, format);
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
