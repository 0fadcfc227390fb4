// A journal as the real one wrote it, and the ways in which a disk may spoil it.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/ids.h"
#include "storage/journal.h"
#include "storage/layout.h"
#include "tests/fuzz/fuzz.h"
#include "wire/cluster.h"

namespace synod::fuzz {

inline constexpr ClusterId disk_cluster = wire::cluster_id("fuzz");
inline constexpr ReplicaId disk_replica{2};
inline constexpr storage::JournalLimits disk_limits = {
    .block_bytes_max = 64U << 10, .block_bytes_target = 16U << 10, .writes_in_flight = 4, .reads_in_flight = 1};

struct Written {
  wire::RecordHeader header;
  Example body;
  bool operator==(const Written& other) const {
    return std::ranges::equal(bytes_of(header), bytes_of(other.header)) && body == other.body;
  }
};

// One disk at two moments. Before the power cut the last two blocks were written, but nobody was told; the cut lost the first of
// them, so the next open discarded both, and another leader's records took their place; some vote anew for slots that were open.
struct Disk {
  Example before;
  Example after;
  std::vector<Written> records_before;
  std::vector<Written> records_after;
  std::uint64_t last_block = 0;  // where the last block lies: nothing else on the disk knows it as durable
};

// The same bytes in every process.
[[nodiscard]] const Disk& disk();

// Changes `image`, a copy of disk().after, as the input says. Damage is what a disk does: bits, lost and misdirected sectors,
// sectors of the past, a cut. Forgery writes fields and makes checksums and chain right again.
enum class Spoiled : std::uint8_t { by_damage, by_forgery };
[[nodiscard]] Spoiled spoil(Input& input, Example& image);

// Examples of spoiling, for any fuzzer that begins with it.
[[nodiscard]] std::vector<Example> spoiling_examples();

struct Opened {
  std::unique_ptr<storage::Journal> journal;
  std::vector<Written> records;
  std::vector<storage::Location> locations;
  std::string error;
};
[[nodiscard]] Opened open_journal(storage::DeviceRef device);

// A vote with a body of real runs for `slot`, whose proposer had seen `chain`.
[[nodiscard]] Written vote(Slot slot, std::uint64_t round, std::size_t entry_bytes, std::uint64_t chain);

// Stages what there is room for and makes it durable, in one block each; but every fourth slot shares its block with the next
// one. Returns how many.
std::size_t append(storage::Journal& journal, std::span<const Written> records, Slot commit);

}  // namespace synod::fuzz
