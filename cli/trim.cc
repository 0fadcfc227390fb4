// synod trim: entries below an LSN may go.
#include <fmt/format.h>

#include "cli/command.h"

namespace synod::cli {

namespace {

struct Trim {
  ClusterOptions cluster;
  std::uint64_t to = 0;
  std::string format = "table";

  [[nodiscard]] int run() const {
    auto client = cluster.connect();
    if (!client) return failed(client.error().text);
    // The log would take it for the tail. Who names an LSN that does not exist has most likely mistaken the cluster.
    const auto tail = (*client)->tail();
    if (!tail) return failed(tail.error().text);
    if (Lsn(to) > *tail) {
      return failed(fmt::format("--to {} lies beyond the tail: the log ends at LSN {}; nothing was trimmed", to, tail->value()));
    }
    const auto first_kept = (*client)->trim(Lsn(to));
    if (!first_kept) return failed(first_kept.error().text);
    return print_lsn("trim_lsn", *first_kept, format);
  }
};

}  // namespace

void add_trim(CLI::App& app, Body& body) {
  CLI::App* const command = app.add_subcommand("trim", "let all entries below an LSN go; print the first LSN that is kept");
  static Trim options;  // lives as long as the application that refers to it
  options.cluster.add_to(*command);
  command->add_option("--to", options.to, "the first LSN to keep")->required()->check(check_lsn);
  add_format_option(*command, options.format);
  command->final_callback([&body] { body = [] { return options.run(); }; });
}

}  // namespace synod::cli
