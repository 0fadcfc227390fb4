// synod bench: latency, throughput, and the floors beneath them.
#include <fmt/format.h>

#include "bench/run.h"
#include "cli/command.h"
#include "replica/stop.h"

namespace synod::cli {

namespace {

struct Bench {
  bench::Options options;
  bool box = false;
  bool processes = false;
  bool no_verify = false;
  std::string format = "table";

  void add_to(CLI::App& command);
  [[nodiscard]] int run() const;
};

void Bench::add_to(CLI::App& command) {
  CLI::Option* const in_box =
      command.add_flag("--box", box, "all replicas in this process on one core, the client on another (default)");
  CLI::Option* const in_processes = command.add_flag("--processes", processes, "a process for each replica")->excludes(in_box);
  command.add_option("--cluster", options.addresses, "HOST:PORT,... of a cluster that runs already")
      ->excludes(in_box)
      ->excludes(in_processes);
  command.add_option("--cluster-name", options.cluster, "the cluster's name, as given to format")->capture_default_str();
  command.add_option("--data", options.data,
                     "an empty directory for journals, or 'memory' (default: a temporary directory on a disk)");
  command.add_option("--ack", options.ack, "when an append is answered: memory, leader, one, quorum or all")
      ->capture_default_str();
  command.add_option("--payload", options.payload_bytes, "bytes of one entry")->capture_default_str();
  command.add_option("--clients", options.clients, "sessions that append")->capture_default_str();
  command.add_option("--in-flight", options.in_flight,
                     "appends in flight of each client (default: latency 1, throughput 1024, with a rate as many as can be)");
  command.add_option("--entries-per-packet", options.entries_per_packet, "at most (default: as many as fit)");
  command.add_option("--replicas", options.replicas, "of a cluster that is started here")->capture_default_str();
  command.add_option("--rate", options.rate,
                     "appends a second, sent whether answers come or not (default: as fast as answers come)");
  command.add_flag("--poisson", options.poisson, "with a rate: random arrivals of that mean, instead of evenly spaced ones");
  command.add_flag("--ladder", options.ladder, "latency too at 10, 50, 80 and 95 % of the peak, which is looked for first");
  command.add_option("--seed", options.seed, "of random arrivals")->capture_default_str();
  command.add_option("--seconds", options.seconds, "how long to measure, after a warm-up")->capture_default_str();
  command.add_flag("--no-verify", no_verify, "do not read everything back");
  add_format_option(command, format);
}

int Bench::run() const {
  bench::Options asked = options;
  if (processes) asked.where = bench::Where::processes;
  if (!asked.addresses.empty()) asked.where = bench::Where::cluster;
  asked.verify = !no_verify;
  const auto complete = bench::complete(asked);
  if (!complete) return usage(complete.error().text);
  replica::stop_on_signals();
  bench::Watch watch;
  const auto report = [&] {
    const bench::ProgressLine line(watch);
    return bench::run(*complete, watch);
  }();
  if (!report) return failed(report.error().text);
  fmt::print("{}{}", format == "json" ? bench::to_json(*report) : bench::to_table(*report), format == "json" ? "\n" : "");
  if (!report->cut_short.empty()) return failed(report->cut_short + ": what was measured until then is in the report");
  if (report->is_verified == false) return failed("what was read back is not what was written: see the report");
  return finish_output(exit_done);
}

}  // namespace

void add_bench(CLI::App& app, Body& body) {
  CLI::App* const command = app.add_subcommand("bench", "measure a cluster, and how near it is to the wire and the disk alone");
  command->require_subcommand(1);
  const auto add = [&](const char* name, const char* description, bench::Measure measure) {
    CLI::App* const sub = command->add_subcommand(name, description);
    const auto bench = std::make_shared<Bench>();
    bench->options.measure = measure;
    bench->add_to(*sub);
    sub->callback([bench, &body] { body = [bench] { return bench->run(); }; });
  };
  add("latency", "how long one append takes", bench::Measure::latency);
  add("throughput", "how many appends a second", bench::Measure::throughput);
  add("floor", "what the wire and the disk alone ask for", bench::Measure::floor);
}

}  // namespace synod::cli
