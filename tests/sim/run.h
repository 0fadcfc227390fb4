// One run: a seed's cluster and clients under a seed's faults, then healed.
//
//   safety     faults come and go; nothing may ever be wrong, however slow everything gets
//   core       a random quorum is healed, the rest is cut off: every open append is answered, and appends go on
//   everybody  all replicas whose disks are not lost come back: all hold the same log, which is read back
//
// One thread, virtual time: the next thing that happens is always the one with the earliest time, so idle time costs nothing.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/clients.h"
#include "tests/sim/cluster.h"
#include "tests/sim/faults.h"

namespace synod::sim {

// What a run did; plain numbers, so that it can be sent through a pipe.
struct Tally {
  std::uint64_t virtual_us = 0;
  std::uint64_t committed = 0;
  std::uint64_t slots = 0;
  std::uint64_t void_slots = 0;
  std::uint64_t appended = 0;
  std::uint64_t unknown = 0;
  std::uint64_t not_appended = 0;
  std::uint64_t tails = 0;
  std::uint64_t reads = 0;
  std::uint64_t trims = 0;
  std::uint64_t trimmed_reads = 0;
  std::uint64_t sessions_lost = 0;
  std::array<std::uint64_t, wire::ack_levels> answered{};    // by the level that was answered
  std::array<std::uint64_t, wire::ack_levels> early_lost{};  // of those, lost in a failover
  std::uint64_t leader_changes = 0;
  std::uint64_t starts = 0;
  std::uint64_t starts_refused = 0;
  std::uint64_t starts_cut = 0;
  std::uint64_t kills = 0;
  std::uint64_t cuts = 0;
  std::uint64_t cuts_torn = 0;
  std::uint64_t damaged = 0;
  std::uint64_t lost = 0;
  std::uint64_t recycled = 0;
  std::uint64_t from_checkpoint = 0;
  std::uint64_t gaps_found = 0;
  std::uint64_t gaps_closed = 0;
  std::uint64_t states_taken = 0;
  std::uint64_t records_repaired = 0;
  std::uint64_t doubts_bounded = 0;
  std::uint64_t doubts_unbounded = 0;
  std::uint64_t stale_found = 0;
  std::uint64_t repairs = 0;  // replicas that came back behind the others and were brought up to date by them
  std::uint64_t packets = 0;
  std::uint64_t packets_lost = 0;
  std::array<std::uint64_t, faults> struck{};  // how often each fault really did something
  std::uint64_t digest = 0;  // of every packet, when and whence and where to, and of what all disks hold in the end
};

struct Outcome {
  std::optional<Failure> failure;
  std::uint64_t failed_at_us = 0;
  Tally tally;
};

class Run {
 public:
  Run(const Options& options, const Trace& trace);

  [[nodiscard]] Outcome go();

 private:
  enum class Happening : std::uint8_t { node, client, fault, links_healed };
  struct Event {
    Happening what{};
    std::size_t index = 0;
  };

  // run.cc: time and phases
  void at(std::uint64_t time_us, Event event) { events_.emplace(time_us, event); }
  template <class Done>
  bool run_until(Done&& done, std::uint64_t limit_us);
  void step();
  void poll_node(std::size_t place);
  void poll_client(std::size_t number);
  void write(Client& client);
  [[nodiscard]] wire::AckLevel draw_level(const Client& client);
  void watch();
  void keep_trimmed();
  [[nodiscard]] Lsn trim_limit() const;
  void flood();
  void safety();
  void heal_core();
  void heal_everybody();
  void read_back();
  [[nodiscard]] bool all_answered();
  void bring_back(std::size_t place);
  [[nodiscard]] std::array<std::uint64_t, faults> struck() const;
  [[nodiscard]] Tally tally() const;

  // run_faults.cc: what goes wrong
  void schedule_faults();
  void schedule(Fault fault);
  void strike(Fault fault);
  void strike_network(Fault fault);
  void strike_process(Fault fault);
  void strike_disk(Fault fault);
  void damage(Fault fault);
  void lose(Fault fault);
  void lose_tail(Fault fault);
  void set_packet_faults();
  void set_read_faults();
  void send_garbage();
  [[nodiscard]] std::optional<std::size_t> random_up(Prng& prng) const;
  [[nodiscard]] std::optional<std::size_t> pick_for_damage(Prng& prng) const;
  [[nodiscard]] std::uint64_t down_time_us();
  void count(Fault fault) { ++struck_[static_cast<std::size_t>(fault)]; }
  [[nodiscard]] Prng& prng(Fault fault) { return fault_prngs_[static_cast<std::size_t>(fault)]; }

  Options options_;
  Trace trace_;
  Network network_;
  Oracle oracle_;
  Cluster cluster_;
  Known known_;
  std::vector<std::unique_ptr<Client>> clients_;  // the writers, then the watcher
  Prng prng_;
  Prng level_prng_;
  bool mixes_levels_;
  std::vector<Prng> fault_prngs_;
  std::multimap<std::uint64_t, Event> events_;
  bool faulty_ = true;
  bool introduced_ = false;  // all members have recorded each other
  std::uint64_t phase_end_us_ = 0;
  std::uint64_t submitted_ = 0;
  std::uint64_t submit_max_ = 0;
  std::array<std::uint64_t, faults> struck_{};
  bool is_reading_back_ = false;
  bool was_flooded_ = false;  // once is enough, and fills the disks
  bool flooding_ = false;     // until the first writer's session is evicted
  std::uint64_t flood_clients_ = 0;
};

}  // namespace synod::sim
