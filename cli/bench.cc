// synod bench: latency, throughput, and the floors beneath them.
#include <fmt/format.h>

#include "bench/outputs.h"
#include "bench/plan.h"
#include "bench/run.h"
#include "cli/command.h"
#include "replica/stop.h"

namespace synod::cli {

namespace {

struct Bench {
  const CLI::App* given = nullptr;  // what stands on the command line
  bench::Options options;
  bool box = false;
  bool processes = false;
  bool no_verify = false;
  std::string format = "table";
  bench::OutputPaths outputs;
  std::string against;
  std::string workload;
  std::vector<std::string> sweeps;

  void add_to(CLI::App& command);
  void add_plan_to(CLI::App& command);
  void add_reports_to(CLI::App& command);
  [[nodiscard]] int run() const;

 private:
  [[nodiscard]] Result<bench::Plan> plan() const;
  [[nodiscard]] int report(std::span<const bench::Report> reports, bench::Outputs& files) const;
};

void Bench::add_to(CLI::App& command) {
  CLI::Option* const in_box =
      command.add_flag("--box", box, "all replicas in this process on one core, the client on another (default)");
  CLI::Option* const in_processes = command.add_flag("--processes", processes, "a process for each replica")->excludes(in_box);
  command.add_option("--port", options.port, "of a box: ring, pair, af_packet, af_xdp or udp")
      ->excludes(in_processes)
      ->capture_default_str();
  command.add_option("--cluster", options.addresses, "HOST:PORT,... of a cluster that runs already")
      ->excludes(in_box)
      ->excludes(in_processes);
  command.add_option("--group", options.group, "of a cluster that runs already: which of its logs")
      ->check(CLI::Range(std::uint32_t{0}, static_cast<std::uint32_t>(groups_max - 1)))
      ->capture_default_str();
  command.add_option("--cluster-name", options.cluster, "the cluster's name, as given to format")->capture_default_str();
  command.add_option("--data", options.data,
                     "an empty directory for journals, or 'memory' (default: a temporary directory on a disk)");
  command
      .add_option("--capacity", options.capacity_bytes,
                  "size of each journal that is made, e.g. 1GiB (default: what the load may need)")
      ->transform(CLI::AsSizeValue(false));
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
  if (options.measure != bench::Measure::floor) add_plan_to(command);
  add_reports_to(command);
}

void Bench::add_plan_to(CLI::App& command) {
  command.add_flag("--kill-leader", options.kill_leader, "kill the leader's process in the middle (with --processes)");
  command.add_option("--wal", options.wal, "entry sizes: what the commits of this PostgreSQL WAL segment flush (plain or zstd)");
  command.add_option("--workload", workload, "a TOML file of options; lists are swept over (bench/workloads)");
  command.add_option("--sweep", sweeps, "KEY=VALUE,VALUE,...: every combination is measured; may be repeated");
}

void Bench::add_reports_to(CLI::App& command) {
  command.add_option("--format", format, "of the report on stdout: table, json or csv")
      ->check(CLI::IsMember({"table", "json", "csv"}))
      ->capture_default_str();
  command.add_option("--json", outputs.json, "write the report to this file too");
  command.add_option("--csv", outputs.csv, "the same as CSV");
  command.add_option("--html", outputs.html, "the same as a page with charts, to open in a browser");
  if (options.measure == bench::Measure::floor) return;
  command.add_option("--hgrm", outputs.hgrm, "latency as HdrHistogram prints it");
  command.add_option("--against", against, "an older JSON report to compare with");
}

// stdout, as asked for.
void print(std::span<const bench::Report> reports, std::string_view format) {
  if (format == "json") {
    fmt::print("{}\n", bench::to_json(reports));
  } else {
    fmt::print("{}", format == "csv" ? bench::to_csv(reports) : bench::to_table(reports));
  }
}

Result<bench::Plan> Bench::plan() const {
  bench::Options asked = options;
  if (processes) asked.where = bench::Where::processes;
  if (!asked.addresses.empty()) asked.where = bench::Where::cluster;
  asked.verify = !no_verify;
  bench::WorkloadFile file;
  if (!workload.empty()) {
    auto loaded = bench::load_workload(workload);
    if (!loaded) return std::unexpected(loaded.error());
    file = *std::move(loaded);
    // What was said on the command line counts.
    std::erase_if(file.sweeps, [&](const bench::Sweep& sweep) {
      const CLI::Option* const option = given->get_option_no_throw("--" + sweep.key);
      return option != nullptr && option->count() > 0;
    });
  }
  for (const std::string& text : sweeps) {
    auto sweep = bench::parse_sweep(text);
    if (!sweep) return std::unexpected(sweep.error());
    file.sweeps.push_back(*std::move(sweep));
  }
  return bench::make_plan(asked, file.title, file.sweeps);
}

// What was measured, also when something failed on the way.
int Bench::report(std::span<const bench::Report> reports, bench::Outputs& files) const {
  print(reports, format);
  if (auto written = files.write(reports); !written) return failed(written.error().text);
  for (const bench::Report& report : reports) {
    if (!report.cut_short.empty()) return failed(report.cut_short + ": what was measured until then is in the report");
    if (report.is_verified == false) return failed("what was read back is not what was written: see the report");
  }
  return finish_output(exit_done);
}

// What cannot be read or written is said before the run, not after it.
int Bench::run() const {
  const auto plan = this->plan();
  if (!plan) return usage(plan.error().text);
  std::optional<bench::OldReport> before;
  if (!against.empty()) {
    auto read = bench::read_report(against);
    if (!read) return usage(read.error().text);
    before = *std::move(read);
  }
  auto files = bench::Outputs::open(outputs);
  if (!files) return usage(files.error().text);
  replica::stop_on_signals();
  bench::Watch watch;
  std::vector<bench::Report> reports;
  std::string error;
  {
    const bench::ProgressLine line(watch);
    for (const bench::Point& point : plan->points) {
      if (!point.name.empty()) watch.set_part(fmt::format("{} of {}: {}", reports.size() + 1, plan->points.size(), point.name));
      auto report = bench::run(point.options, watch);
      if (!report) {
        error = report.error().text;
        break;
      }
      if (before) report->against = bench::compare(*before, *report);
      report->name = point.name;
      reports.push_back(*std::move(report));
      if (!reports.back().cut_short.empty()) break;
    }
  }
  if (reports.empty()) return failed(error);
  const int done = report(reports, *files);
  return error.empty() ? done : failed(error + ": the measurements before it are in the report");
}

}  // namespace

void add_bench(CLI::App& app, Body& body) {
  CLI::App* const command = app.add_subcommand("bench", "measure a cluster, and how near it is to the wire and the disk alone");
  command->require_subcommand(1);
  const auto add = [&](const char* name, const char* description, bench::Measure measure) {
    CLI::App* const sub = command->add_subcommand(name, description);
    const auto bench = std::make_shared<Bench>();
    bench->options.measure = measure;
    bench->given = sub;
    bench->add_to(*sub);
    sub->callback([bench, &body] { body = [bench] { return bench->run(); }; });
  };
  add("latency", "how long one append takes", bench::Measure::latency);
  add("throughput", "how many appends a second", bench::Measure::throughput);
  add("floor", "what the wire and the disk alone ask for", bench::Measure::floor);
  add_bench_neighbours(*command, body);
}

}  // namespace synod::cli
