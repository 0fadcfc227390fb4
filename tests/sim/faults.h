// The faults that a seed may switch on, and everything else that it draws: swarm testing (Groce et al., "Swarm Testing", ISSTA
// 2012). A run with every fault at once hides the bugs that need one fault to be absent, so each seed has its own mixture.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/prng.h"

namespace synod::sim {

enum class Fault : std::uint8_t {
  // of single packets; the rate is in permille of them
  loss,
  accept_loss,  // of accepts alone: values that some hold and others do not
  duplication,
  reordering,
  replay,      // a copy of a packet of long ago
  corruption,  // some bits flipped
  garbage,     // a packet that nobody sent
  // of the network, for a while; the rate is the number of times in a second of the cluster's time
  partition,  // into two halves, clients included
  one_way,    // one link, one direction
  isolation,  // one replica from everybody
  clog,       // one link, one direction: everything arrives, and very late
  // of processes; times in a second
  kill,       // SIGKILL: what the kernel has still reaches the disk
  power_cut,  // of one machine: writes in flight are torn
  blackout,   // of all machines at once
  storm,      // one machine goes down again and again, in the middle of its recovery too
  pause,      // the process stands still, its packets wait
  // of clocks
  drift,   // a permanent deviation in permille
  step,    // forward; times in a second
  strobe,  // many small steps, for a while
  // of disks; times in a second, or permille of reads
  slow_disk,
  stall,              // no completion for a while
  write_error,        // EIO: the replica must stop voting; its process is started again later
  read_error,         // EIO, once; permille
  misread,            // the bytes of another place, or some bits flipped, once; permille
  bit_rot,            // of a block that later blocks know as durable, for ever
  latent_error,       // a sector that cannot be read any more
  misdirected_write,  // a block lands on another one
  superblock_rot,     // of one of its copies
  tail_rot,           // the last blocks of a replica that is down, which the others have heard of
  stale_image,        // a copy of the disk of an earlier power cut comes back; the others have heard of later blocks
  wipe,               // the disk is lost and formatted again, under the same id
  truncation,
  swap,     // two machines come back with each other's disks
  no_room,  // one replica's disk is small and soon full
  // of clients; times in a second
  slow_client,    // one that does not look at its answers for a while
  session_flood,  // more sessions than the table holds, so that some are evicted
  count_
};

inline constexpr std::size_t faults = static_cast<std::size_t>(Fault::count_);

[[nodiscard]] std::string_view name(Fault fault);
[[nodiscard]] std::optional<Fault> fault_of(std::string_view name);

struct Options {
  std::uint64_t seed = 1;
  std::size_t members = 3;
  std::size_t phase1 = 2;  // quorum sizes
  std::size_t phase2 = 2;
  std::size_t window_slots = 16;
  std::uint32_t block_bytes_target = 16U << 10;
  std::uint32_t writes_in_flight = 3;
  std::size_t writers = 2;
  std::uint64_t entry_bytes_max = 300;
  std::uint64_t step_down_us = 40'000;  // a leader that hears no quorum so long gives up
  std::uint64_t segment_bytes = 2U << 20;
  std::uint64_t disk_bytes = 16U << 20;
  bool is_trimmed = false;                   // a client trims, so that segments are used again and again
  std::uint64_t entries_kept = 300;          // by that client
  std::uint64_t safety_us = 1'500'000;       // length of the phase with faults
  std::uint64_t entries_wanted = 1'000;      // committed by the end of the run
  std::array<std::uint32_t, faults> rate{};  // 0: switched off

  [[nodiscard]] std::uint32_t operator[](Fault fault) const { return rate[static_cast<std::size_t>(fault)]; }
  [[nodiscard]] std::uint32_t& operator[](Fault fault) { return rate[static_cast<std::size_t>(fault)]; }
  // Replicas that may be lost for good without losing a quorum.
  [[nodiscard]] std::size_t spare() const { return members - (phase1 > phase2 ? phase1 : phase2); }
};

// The options of a seed.
[[nodiscard]] Options draw_options(std::uint64_t seed);
// One line.
[[nodiscard]] std::string describe(const Options& options);
// Every fault draws from its own sequence, so that switching one off leaves the others as they are.
[[nodiscard]] Prng stream(std::uint64_t seed, std::uint64_t purpose);

}  // namespace synod::sim
