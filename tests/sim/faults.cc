#include "tests/sim/faults.h"

#include <fmt/format.h>

#include "storage/layout.h"

namespace synod::sim {

namespace {

struct Range {
  std::string_view name;
  std::uint32_t on_percent;  // of seeds
  std::uint32_t least;
  std::uint32_t most;
};

// Where the ranges come from: TigerBeetle's VOPR (loss to 30 %, replay to 50 %), scaled to a protocol that sends few packets an
// entry and to runs of some seconds.
constexpr std::array<Range, faults> ranges{{
    {"loss", 60, 5, 150},         {"accept_loss", 30, 50, 600}, {"duplication", 50, 5, 200},
    {"reordering", 60, 20, 400},  {"replay", 40, 5, 100},       {"corruption", 40, 2, 50},
    {"garbage", 25, 2, 50},       {"partition", 40, 2, 8},      {"one_way", 40, 2, 10},
    {"isolation", 40, 2, 8},      {"clog", 30, 2, 10},          {"kill", 50, 1, 5},
    {"power_cut", 95, 9, 25},     {"blackout", 50, 1, 5},       {"storm", 30, 1, 3},
    {"pause", 50, 2, 12},         {"drift", 50, 10, 200},       {"step", 30, 2, 10},
    {"strobe", 20, 2, 10},        {"slow_disk", 50, 4, 20},     {"stall", 40, 2, 8},
    {"write_error", 25, 1, 3},    {"read_error", 25, 5, 100},   {"misread", 25, 5, 100},
    {"bit_rot", 20, 1, 3},        {"latent_error", 20, 1, 3},   {"misdirected_write", 20, 1, 3},
    {"superblock_rot", 20, 1, 2}, {"tail_rot", 15, 2, 4},       {"stale_image", 15, 2, 4},
    {"wipe", 10, 2, 4},           {"truncation", 5, 1, 3},      {"swap", 10, 1, 1},
    {"no_room", 8, 1, 1},         {"slow_client", 30, 2, 10},   {"session_flood", 8, 2, 4},
}};

void draw_cluster(Options& options, Prng& prng) {
  constexpr std::array<std::size_t, 20> sizes{3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 5, 5, 5, 5, 5, 2, 1};
  options.members = sizes[prng.below(sizes.size())];
  options.phase1 = options.phase2 = options.members / 2 + 1;
  if (options.members == 5 && prng.chance(1, 3)) {
    options.phase2 = prng.chance(1, 2) ? 2 : 4;
    options.phase1 = 6 - options.phase2;
  }
  options.window_slots = prng.between(2, 24);
  options.block_bytes_target = prng.chance(1, 2) ? 4096U : 16U << 10;
  options.writes_in_flight = static_cast<std::uint32_t>(prng.between(1, 4));
  options.writers = prng.between(1, 5);
  options.entry_bytes_max = prng.chance(1, 3) ? 2'000 : 300;
  options.step_down_us = prng.chance(1, 2) ? 40'000 : 150'000;
  options.safety_us = prng.between(1'000'000, 2'000'000);
  // Most journals are small rings; the others hold a whole run.
  options.is_trimmed = prng.chance(4, 5);
  const std::uint64_t segment_bytes = std::uint64_t{64U << 10} << prng.below(3);
  // (The largest record has as many bytes as a segment, and must fit when a replica that is behind fills up.)
  const std::uint64_t segments =
      prng.between(std::max<std::uint64_t>(8, (768U << 10) / segment_bytes), (2048U << 10) / segment_bytes);
  options.entries_kept = prng.between(20, 400);
  if (!options.is_trimmed) return;
  options.segment_bytes = segment_bytes;
  options.disk_bytes = storage::segments_offset + segments * segment_bytes;
}

}  // namespace

std::string_view name(Fault fault) {
  return ranges[static_cast<std::size_t>(fault)].name;
}

std::optional<Fault> fault_of(std::string_view name) {
  for (std::size_t i = 0; i < faults; ++i) {
    if (ranges[i].name == name) return static_cast<Fault>(i);
  }
  return std::nullopt;
}

Options draw_options(std::uint64_t seed) {
  Options options;
  options.seed = seed;
  Prng prng = stream(seed, 1);
  draw_cluster(options, prng);
  for (std::size_t i = 0; i < faults; ++i) {
    const bool on = prng.chance(ranges[i].on_percent, 100);
    const auto rate = static_cast<std::uint32_t>(prng.between(ranges[i].least, ranges[i].most));
    if (on) options.rate[i] = rate;
  }
  // A journal for a thousand sessions, or without room: large ones.
  if (options[Fault::session_flood] == 0 && options[Fault::no_room] == 0) return options;
  options.is_trimmed = false;
  options.segment_bytes = 2U << 20;
  options.disk_bytes = options[Fault::session_flood] > 0 ? 30U << 20 : 16U << 20;
  return options;
}

std::string describe(const Options& options) {
  std::string text = fmt::format(
      "{} replicas, quorums {}+{}, window {}, blocks {} B x {}, {} segments of {} KiB{}, {} writers, step down after {} ms, "
      "{:.2f} s;",
      options.members, options.phase1, options.phase2, options.window_slots, options.block_bytes_target, options.writes_in_flight,
      (options.disk_bytes - storage::segments_offset) / options.segment_bytes, options.segment_bytes >> 10,
      options.is_trimmed ? ", trimmed" : "", options.writers, options.step_down_us / 1000,
      static_cast<double>(options.safety_us) / 1e6);
  for (std::size_t i = 0; i < faults; ++i) {
    if (options.rate[i] > 0) text += fmt::format(" {}={}", ranges[i].name, options.rate[i]);
  }
  return text;
}

Prng stream(std::uint64_t seed, std::uint64_t purpose) {
  std::uint64_t state = seed * 0x9E3779B97F4A7C15 + purpose;
  return Prng(splitmix64(state));
}

}  // namespace synod::sim
