// `synod bench neighbours`: Synod and its neighbours under the same load, in turns, each started for its round and stopped after
// it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "bench/options.h"
#include "bench/progress.h"

namespace synod::bench {

struct ContestOptions {
  std::vector<std::string> with;  // names of neighbours
  bool box = false;               // Synod also in one process
  std::size_t rounds = 5;
  std::size_t payload_bytes = 128;
  std::size_t clients = 1;
  std::size_t in_flight = 1;  // of each client
  double seconds = 5;         // of each round
  std::string data;           // a directory; empty: a temporary one on a disk
};

// Refuses what cannot be run.
[[nodiscard]] Result<> check(const ContestOptions& options);

struct Round {
  double p50_us = 0;
  double p99_us = 0;
  double appends_per_second = 0;
  std::uint64_t errors = 0;
};

struct Contender {
  std::string name;
  std::string version;
  bool is_durable = false;
  std::string durability;
  std::vector<Round> rounds;  // one for each that was held, or fewer where it failed
  std::string failure;        // why it takes part no more, or never did
  bool is_verified = true;    // everything that was read back is as it was written
  std::string verified_how;
};

// Of values of several rounds.
struct OverRounds {
  double median = 0;
  double least = 0;
  double most = 0;
};
[[nodiscard]] OverRounds over_rounds(std::vector<double> values);

// Synod's figure divided by that of a neighbour in the same round.
struct Ratio {
  std::string neighbour;
  std::size_t rounds = 0;  // that both finished
  OverRounds p50;
  OverRounds appends_per_second;
};

struct ContestReport {
  ContestOptions options;
  std::vector<Contender> contenders;  // Synod is the first
  std::string device;
  std::string cpu_layout;
  std::string cut_short;  // why not all rounds were held

  [[nodiscard]] std::vector<Ratio> ratios() const;
};

// Control thread, which must be the one that lives longest: the processes are its children. SIGINT and SIGTERM end it early.
[[nodiscard]] Result<ContestReport> hold_contest(const ContestOptions& options, Watch& watch);

[[nodiscard]] std::string to_json(const ContestReport& report);
[[nodiscard]] std::string to_table(const ContestReport& report);

}  // namespace synod::bench
