// The simulator's command line. `./dev.sh sim` builds and runs it.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <thread>

#include "bench/commit.h"
#include "tests/mutant.h"
#include "tests/sim/runner.h"

namespace synod::sim {
namespace {

struct Request {
  std::uint64_t seeds = 100;
  std::uint64_t first = 1;
  std::optional<std::uint64_t> seed;
  unsigned jobs = std::max(1U, std::thread::hardware_concurrency());
  bool trace = false;
  bool packets = false;
  bool keep_going = false;
  bool no_minimise = false;
  bool quiet = false;
  bool mutants = false;
  std::vector<std::string> without;
  std::vector<std::string> only;
  std::optional<std::size_t> writers;
};

Fault parse_fault(const std::string& text) {
  const auto fault = fault_of(text);
  if (!fault) throw CLI::ValidationError("no fault is called '" + text + "'; a run prints those that there are");
  return *fault;
}

Adjust adjustment(const Request& request) {
  Reduction reduction;
  for (const std::string& text : request.without) reduction.off[static_cast<std::size_t>(parse_fault(text))] = true;
  if (!request.only.empty()) {
    reduction.off.fill(true);
    for (const std::string& text : request.only) {
      if (text != "none") reduction.off[static_cast<std::size_t>(parse_fault(text))] = false;
    }
  }
  reduction.writers = request.writers;
  return [reduction](Options& options) { options = reduction.of(options.seed); };
}

// How to run a failure again.
std::string replay(const Options& options) {
  std::string only;
  for (std::size_t i = 0; i < faults; ++i) {
    if (options.rate[i] > 0) only += fmt::format("{}{}", only.empty() ? "" : ",", name(static_cast<Fault>(i)));
  }
  return fmt::format("./dev.sh sim --seed {} --writers {} --only {}", options.seed, options.writers,
                     only.empty() ? "none" : only);
}

int run_one(const Request& request, const Adjust& adjust) {
  Options options = draw_options(*request.seed);
  adjust(options);
  fmt::print("seed {}, commit {}: {}\n", options.seed, bench::commit, describe(options));
  std::fflush(stdout);
  Trace trace;
  trace.enabled = request.trace;
  trace.packets = request.packets;
  const Outcome outcome = Run(options, trace).go();
  if (!outcome.failure) {
    fmt::print(
        "nothing wrong: {} entries in {} slots ({} void), {} leader changes, {} power cuts ({} torn), {} repairs, {:.2f} s\n",
        outcome.tally.committed, outcome.tally.slots, outcome.tally.void_slots, outcome.tally.leader_changes, outcome.tally.cuts,
        outcome.tally.cuts_torn, outcome.tally.repairs, static_cast<double>(outcome.tally.virtual_us) / 1e6);
    return 0;
  }
  fmt::print("FAILED at {:.3f} ms: {}: {}\nseed {}, commit {}: {}\n", static_cast<double>(outcome.failed_at_us) / 1e3,
             outcome.failure->check, outcome.failure->text, options.seed, bench::commit, describe(options));
  return 1;
}

struct Sums {
  std::uint64_t runs = 0;
  std::uint64_t committed_least = ~std::uint64_t{0};
  double cpu_seconds = 0;
  Tally sum;

  void add(const SeedResult& result) {
    ++runs;
    cpu_seconds += result.cpu_seconds;
    const Tally& tally = result.tally;
    committed_least = std::min(committed_least, tally.committed);
    for (const auto field : {&Tally::virtual_us,     &Tally::committed,
                             &Tally::slots,          &Tally::void_slots,
                             &Tally::appended,       &Tally::unknown,
                             &Tally::not_appended,   &Tally::sessions_lost,
                             &Tally::tails,          &Tally::reads,
                             &Tally::leader_changes, &Tally::starts,
                             &Tally::starts_refused, &Tally::starts_cut,
                             &Tally::kills,          &Tally::cuts,
                             &Tally::cuts_torn,      &Tally::damaged,
                             &Tally::lost,           &Tally::repairs,
                             &Tally::packets,        &Tally::packets_lost,
                             &Tally::trims,          &Tally::trimmed_reads,
                             &Tally::recycled,       &Tally::from_checkpoint,
                             &Tally::gaps_found,     &Tally::gaps_closed,
                             &Tally::states_taken,   &Tally::records_repaired,
                             &Tally::doubts_bounded, &Tally::doubts_unbounded,
                             &Tally::stale_found}) {
      sum.*field += tally.*field;
    }
    for (std::size_t i = 0; i < wire::ack_levels; ++i) sum.answered[i] += tally.answered[i];
    for (std::size_t i = 0; i < wire::ack_levels; ++i) sum.early_lost[i] += tally.early_lost[i];
    for (std::size_t i = 0; i < faults; ++i) sum.struck[i] += tally.struck[i];
  }
  // The faults that no run has met.
  [[nodiscard]] std::string never_struck() const {
    std::string names;
    for (std::size_t i = 0; i < faults; ++i) {
      if (sum.struck[i] == 0) names += fmt::format("{}{}", names.empty() ? "" : ", ", name(static_cast<Fault>(i)));
    }
    return names;
  }
  void print_struck() const {
    std::string line = "struck:";
    for (std::size_t i = 0; i < faults; ++i) {
      line += fmt::format("{} {} {}", i == 0 ? "" : ",", name(static_cast<Fault>(i)), sum.struck[i]);
    }
    fmt::print("{}\n", line);
  }
  void print() const {
    const double n = static_cast<double>(std::max<std::uint64_t>(runs, 1));
    const auto mean = [n](std::uint64_t value) { return static_cast<double>(value) / n; };
    fmt::print(
        "per seed: {:.0f} entries committed (least {}), {:.0f} slots ({:.1f} void), {:.1f} leader changes, {:.1f} power cuts "
        "of which {:.1f} torn, {:.1f} kills,\n"
        "          {:.1f} starts ({:.1f} refused, {:.1f} lost power in recovery), {:.2f} disks damaged, {:.2f} lost, {:.2f} "
        "repairs,\n"
        "          {:.0f} appends of unknown outcome, {:.0f} tails, {:.0f} reads, {:.1f} trims, {:.1f} reads of what is trimmed, "
        "{:.0f} packets ({:.0f} lost), {:.2f} s "
        "of the cluster's time\n",
        mean(sum.committed), runs == 0 ? 0 : committed_least, mean(sum.slots), mean(sum.void_slots), mean(sum.leader_changes),
        mean(sum.cuts), mean(sum.cuts_torn), mean(sum.kills), mean(sum.starts), mean(sum.starts_refused), mean(sum.starts_cut),
        mean(sum.damaged), mean(sum.lost), mean(sum.repairs), mean(sum.unknown), mean(sum.tails), mean(sum.reads),
        mean(sum.trims), mean(sum.trimmed_reads), mean(sum.packets), mean(sum.packets_lost), mean(sum.virtual_us) / 1e6);
    fmt::print(
        "          {:.1f} segments used again, {:.1f} starts from a checkpoint, {:.2f} gaps found at starts, {:.2f} closed, "
        "{:.1f} records "
        "repaired,\n          {:.2f} bounded doubts, {:.2f} unbounded, {:.2f} stale disks found, {:.2f} states taken of a peer\n",
        mean(sum.recycled), mean(sum.from_checkpoint), mean(sum.gaps_found), mean(sum.gaps_closed), mean(sum.records_repaired),
        mean(sum.doubts_bounded), mean(sum.doubts_unbounded), mean(sum.stale_found), mean(sum.states_taken));
    std::string early;
    for (const wire::AckLevel level : {wire::AckLevel::memory, wire::AckLevel::leader, wire::AckLevel::one}) {
      const auto at = static_cast<std::size_t>(level);
      early += fmt::format("{:.1f} {} ({:.3f} lost), ", mean(sum.answered[at]), wire::name(level), mean(sum.early_lost[at]));
    }
    fmt::print("          answered early: {}{:.3f} sessions ended by it; {:.1f} answered with all\n", early,
               mean(sum.sessions_lost), mean(sum.answered[static_cast<std::size_t>(wire::AckLevel::all)]));
    fmt::print("{} entries committed in {:.1f} CPU-seconds: {:.0f} a CPU-second\n", sum.committed, cpu_seconds,
               static_cast<double>(sum.committed) / std::max(cpu_seconds, 1e-3));
  }
};

void report_failure(const Request& request, const Adjust& adjust, const SeedResult& result) {
  Options options = draw_options(result.seed);
  adjust(options);
  fmt::print("\nFAILED: seed {}, commit {}: {}: {}\n  {}\n  replay: {} --trace\n", result.seed, bench::commit, result.check,
             result.text, describe(options), replay(options));
  if (request.no_minimise) return;
  fmt::print("  looking for a smaller failure ...\n");
  std::fflush(stdout);
  const Smaller smaller = minimise(options, result);
  fmt::print("  smaller ({} runs): {}: {}\n  {}\n  replay: {} --trace\n", smaller.runs, smaller.result.check, smaller.result.text,
             describe(smaller.options), replay(smaller.options));
}

int run_seeds(const Request& request, const Adjust& adjust) {
  fmt::print("seeds {} to {}, commit {}, {} at a time\n", request.first, request.first + request.seeds - 1, bench::commit,
             request.jobs);
  std::fflush(stdout);
  Sums sums;
  std::uint64_t failures = 0;
  const auto start = std::chrono::steady_clock::now();
  run_many(request.first, request.seeds, request.jobs, adjust, [&](const SeedResult& result) {
    if (result.failed) {
      ++failures;
      report_failure(request, adjust, result);
      return request.keep_going;
    }
    sums.add(result);
    if (!request.quiet && sums.runs % 100 == 0) {
      fmt::print("  {} seeds, {:.0f} s\n", sums.runs,
                 std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
      std::fflush(stdout);
    }
    return true;
  });
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  fmt::print("{} seeds in {:.1f} s, {} failed\n", sums.runs + failures, seconds, failures);
  sums.print();
  sums.print_struck();
  if (failures > 0) return 1;
  // So many seeds must have met everything, or a fault has stopped to be one.
  constexpr std::uint64_t enough_seeds = 500;
  const bool of_everything = request.only.empty() && request.without.empty();
  if (!of_everything || sums.runs < enough_seeds || sums.never_struck().empty()) return 0;
  fmt::print("FAILED: these faults have never struck: {}\n", sums.never_struck());
  return 1;
}

// None in a build that has only one, or none.
int list_mutants() {
#if defined(SYNOD_MUTANT_ANY)
  for (std::size_t i = 1; i < mutant_names.size(); ++i) fmt::print("{}\n", mutant_names[i]);
#endif
  return 0;
}

int run(int argc, char** argv) {
  Request request;
  CLI::App app("The whole cluster in one thread, in virtual time, under the faults of a seed");
  app.add_option("--seeds", request.seeds, "how many seeds")->check(CLI::PositiveNumber);
  app.add_option("--first", request.first, "the first seed");
  app.add_option("--seed", request.seed, "this one alone, in this process");
  app.add_option("--jobs", request.jobs, "runs at a time")->check(CLI::PositiveNumber);
  app.add_option("--without", request.without, "switch these faults off")->delimiter(',');
  app.add_option("--only", request.only, "switch all other faults off; none: all of them")->delimiter(',');
  app.add_option("--writers", request.writers, "clients that append")->check(CLI::PositiveNumber);
  app.add_flag("--trace", request.trace, "with --seed: print what happens");
  app.add_flag("--packets", request.packets, "with --trace: every packet too");
  app.add_flag("--keep-going", request.keep_going, "report every failure, not only the first");
  app.add_flag("--no-minimise", request.no_minimise, "report a failure as it was found");
  app.add_flag("--quiet", request.quiet, "no progress");
  app.add_flag("--mutants", request.mutants, "list the deliberate bugs that are compiled in");
  CLI11_PARSE(app, argc, argv);
  if (request.mutants) return list_mutants();
  if (!choose_mutant()) return 2;
  try {
    const Adjust adjust = adjustment(request);
    return request.seed ? run_one(request, adjust) : run_seeds(request, adjust);
  } catch (const CLI::Error& error) {
    return app.exit(error);
  }
}

}  // namespace
}  // namespace synod::sim

int main(int argc, char** argv) {
  try {
    return synod::sim::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sim: %s\n", error.what());
    return 2;
  }
}
