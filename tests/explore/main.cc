// The exhaustive exploration as a program: bounds as options, a report, and exit 1 with the shortest trace if something is wrong.
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "tests/explore/explorer.h"
#include "tests/mutant.h"

namespace {

using namespace synod::consensus::explore;

// For the handler of SIGABRT: a CHECK that fails must not lose the way to it.
Explorer* running = nullptr;

void print_trace(const std::vector<std::string>& trace) {
  std::size_t number = 0;
  for (const std::string& line : trace) std::printf("%6zu. %s\n", ++number, line.c_str());
  std::fflush(stdout);
}

// The process stops anyway, and the CHECK was not inside of the allocator: this may use what handlers else may not.
void on_abort(int) {
  std::signal(SIGABRT, SIG_DFL);
  std::printf("WRONG: a CHECK failed (above) after %zu states, with the last of these steps:\n", running->states());
  print_trace(running->trace_here());
  _exit(1);
}

void print_bounds(const Bounds& bounds) {
  std::printf(
      "bounds: %u members, %u proposers, rounds up to %lu, %u campaigns of each, own values in slots up to %lu, %u crashes,\n"
      "        window of %zu, %s disks, nacks %s, catch-up %s%s%s%s%s\n",
      unsigned{bounds.members}, unsigned{bounds.proposers}, static_cast<unsigned long>(bounds.rounds), bounds.campaigns,
      static_cast<unsigned long>(bounds.slots), bounds.crashes, bounds.window_slots, bounds.slow_disks ? "slow" : "fast",
      bounds.nacks ? "on" : "lost", bounds.serves ? "on" : "off", bounds.lost_middles ? ", lost middle records" : "",
      bounds.lost_tails ? ", lost tails" : "", bounds.receipts ? ", receipts" : "",
      bounds.amnesia ? ", A CRASH LOSES THE DISK" : "");
}

double memory_gib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / (1024.0 * 1024.0);
}

void print_level(const Explorer& explorer) {
  const Totals& totals = explorer.totals();
  if (totals.depth % 5 != 0) return;
  std::printf("  depth %lu: %lu states, %lu in the frontier, %.1f GiB\n", static_cast<unsigned long>(totals.depth),
              static_cast<unsigned long>(totals.states), static_cast<unsigned long>(totals.frontier), memory_gib());
  std::fflush(stdout);
}

void print_totals(Explorer& explorer, double seconds) {
  const Totals& totals = explorer.totals();
  const bool is_exhausted = totals.frontier == 0 && explorer.failure().empty();
  const auto number = [](std::uint64_t value) { return static_cast<unsigned long>(value); };
  std::printf("distinct states %lu, transitions %lu, depth %lu, frontier %lu%s\n", number(totals.states),
              number(totals.transitions), number(totals.depth), number(totals.frontier),
              is_exhausted ? " (empty: the fixpoint)" : " (NOT EXHAUSTED)");
  std::printf("%.1f s, %.0f transitions/s, %.2f GiB; %zu states of single replicas, %zu messages, %lu calls of engines\n",
              seconds, static_cast<double>(totals.transitions) / seconds, memory_gib(), explorer.space().cores(),
              explorer.space().messages().size(), number(explorer.space().calls()));
  std::printf(
      "a value was chosen in %lu states; at most in one state: %lu slots chosen, %lu slots committed by all replicas together,\n"
      "        durable votes in %lu ballots; symmetries %zu\n",
      number(totals.states_with_chosen), number(totals.slots_chosen), number(totals.commits), number(totals.ballots_voted),
      explorer.space().symmetries());
}

int run(int argc, char** argv) {
  Bounds bounds;
  CLI::App app{"explores every state of a small cluster of consensus engines"};
  app.add_option("--members", bounds.members);
  app.add_option("--proposers", bounds.proposers);
  app.add_option("--rounds", bounds.rounds);
  app.add_option("--campaigns", bounds.campaigns, "of each proposer");
  app.add_option("--slots", bounds.slots);
  app.add_option("--crashes", bounds.crashes, "in the whole cluster");
  app.add_option("--window", bounds.window_slots);
  app.add_option("--slow-disks", bounds.slow_disks, "0: every record is durable at once");
  app.add_option("--nacks", bounds.nacks);
  app.add_option("--serves", bounds.serves, "catch-up");
  app.add_option("--states", bounds.states_max, "gives up after so many");
  app.add_flag("--receipts", bounds.receipts, "every accept asks for Received");
  app.add_flag("--lost-middles", bounds.lost_middles, "a crash may lose a durable record that others stand behind");
  app.add_flag("--lost-tails", bounds.lost_tails, "a crash may lose the last durable records");
  app.add_flag("--amnesia", bounds.amnesia, "a crash loses the disk: must be found");
  CLI11_PARSE(app, argc, argv);
  if (!synod::choose_mutant()) return 2;

  print_bounds(bounds);
  std::fflush(stdout);
  Explorer explorer(bounds);
  explorer.on_level = print_level;
  running = &explorer;
  std::signal(SIGABRT, on_abort);
  const auto start = std::chrono::steady_clock::now();
  const bool is_right = explorer.run();
  print_totals(explorer, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  if (is_right) return explorer.totals().frontier == 0 ? 0 : 2;
  std::printf("WRONG after %zu states: %s\n", explorer.states(), explorer.failure().c_str());
  print_trace(explorer.trace());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {  // memory, at most
    std::fprintf(stderr, "explore: %s\n", error.what());
    return 2;
  }
}
