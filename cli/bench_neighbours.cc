// synod bench neighbours: the same load on Synod and on others, side by side.
#include <fmt/format.h>

#include "bench/neighbours/contest.h"
#include "bench/neighbours/neighbour.h"
#include "cli/command.h"
#include "replica/stop.h"

namespace synod::cli {

namespace {

struct Neighbours {
  bench::ContestOptions options;
  std::string format = "table";

  void add_to(CLI::App& command);
  [[nodiscard]] int run() const;
};

void Neighbours::add_to(CLI::App& command) {
  for (const bench::NeighbourKind& kind : bench::neighbour_kinds()) options.with.emplace_back(kind.name);
  command.add_option("--with", options.with, "neighbours, of: " + bench::neighbour_names())
      ->delimiter(',')
      ->capture_default_str();
  command.add_flag("--box", options.box, "Synod also with all replicas in one process");
  command.add_option("--rounds", options.rounds, "how often each is measured, in turns")->capture_default_str();
  command.add_option("--payload", options.payload_bytes, "bytes of one entry")->capture_default_str();
  command.add_option("--clients", options.clients, "that append, over a connection each")->capture_default_str();
  command.add_option("--in-flight", options.in_flight, "appends in flight of each client")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--seconds", options.seconds, "how long to measure each in a round, after a warm-up")->capture_default_str();
  command.add_option("--data", options.data, "an empty directory for their files (default: a temporary directory on a disk)");
  add_format_option(command, format);
}

int Neighbours::run() const {
  if (auto checked = bench::check(options); !checked) return usage(checked.error().text);
  replica::stop_on_signals();
  bench::Watch watch;
  const auto report = [&] {
    const bench::ProgressLine line(watch);
    return bench::hold_contest(options, watch);
  }();
  if (!report) return failed(report.error().text);
  fmt::print("{}{}", format == "json" ? bench::to_json(*report) : bench::to_table(*report), format == "json" ? "\n" : "");
  if (!report->cut_short.empty()) return failed(report->cut_short + ": what was measured until then is in the report");
  for (const bench::Contender& contender : report->contenders) {
    if (!contender.failure.empty()) return failed(contender.name + ": " + contender.failure);
    if (!contender.is_verified) return failed(contender.name + ": what was read back is not what was written");
  }
  return finish_output(exit_done);
}

}  // namespace

void add_bench_neighbours(CLI::App& bench, Body& body) {
  CLI::App* const command = bench.add_subcommand("neighbours", "the same load on Synod, etcd and NATS, side by side");
  const auto neighbours = std::make_shared<Neighbours>();
  neighbours->add_to(*command);
  command->callback([neighbours, &body] { body = [neighbours] { return neighbours->run(); }; });
}

}  // namespace synod::cli
