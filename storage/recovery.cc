// Opening a journal: superblock, chain, and the first block of the new open.
#include "storage/recovery.h"

#include <fmt/format.h>

#include <cstring>

#include "base/check.h"
#include "base/mutant.h"
#include "storage/aligned_buffer.h"
#include "storage/journal_state.h"
#include "storage/superblock.h"

namespace synod::storage {

namespace {

// Half of what recovery searches for evidence, since a segment's end may be left unused in front of every large block.
constexpr std::uint64_t in_flight_bytes_max = evidence_bytes / 2;

Result<> check_limits(const JournalLimits& limits) {
  const bool possible = limits.block_bytes_max % device_block_bytes == 0 && limits.block_bytes_max >= device_block_bytes &&
                        limits.block_bytes_max <= block_bytes_limit && limits.block_bytes_target <= limits.block_bytes_max &&
                        limits.writes_in_flight >= 1 && limits.reads_in_flight >= 1 &&
                        (limits.writes_in_flight + 2) * std::uint64_t{limits.block_bytes_max} <= in_flight_bytes_max;
  if (possible) return {};
  return fail(fmt::format(
      "these journal limits do not fit: {} writes of at most {} bytes in flight (target {}), {} reads; the blocks "
      "in flight, plus two, may have {} bytes",
      limits.writes_in_flight, limits.block_bytes_max, limits.block_bytes_target, limits.reads_in_flight, in_flight_bytes_max));
}

Result<Superblock> read_superblock(DeviceRef device) {
  constexpr std::uint64_t bytes = std::uint64_t{superblock_copies} * device_block_bytes;
  if (device.info().block_bytes > device_block_bytes || device.info().size_bytes < segments_offset) {
    return fail("the device is too small to be a journal, or its blocks are too large: check --data");
  }
  BlockReader reader(device, bytes);
  const auto copies = reader.view(0, bytes);
  if (!copies) return std::unexpected(copies.error());
  auto superblock = newest_superblock(*copies);
  if (superblock && geometry_of(*superblock).end() > device.info().size_bytes) {
    return fail(
        fmt::format("the journal has {} bytes and should have {}: it was cut off; this replica must not vote; join as a new "
                    "member",
                    device.info().size_bytes, geometry_of(*superblock).end()));
  }
  return superblock;
}

Result<> check_identity(const Superblock& superblock, ClusterId cluster, ReplicaId replica) {
  if (superblock.cluster != cluster) {
    return fail(
        fmt::format("this directory belongs to another cluster ({:016x}, and {:016x} is expected): check --data and the "
                    "cluster's name",
                    superblock.cluster.value(), cluster.value()));
  }
  if (superblock.replica != replica) {
    return fail(fmt::format("this directory belongs to replica {}, and replica {} is expected: check --data and the replica's id",
                            superblock.replica.value(), replica.value()));
  }
  return {};
}

// One copy after the other, each durable: a torn copy leaves the others whole.
Result<> write_superblock(DeviceRef device, const Superblock& superblock) {
  AlignedBuffer block(device_block_bytes);
  store(block.bytes(), superblock);
  for (std::uint32_t i = 0; i < superblock_copies; ++i) {
    if (auto written = write_now(device, std::uint64_t{i} * device_block_bytes, block.bytes()); !written) return written;
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Journal>> Journal::open(DeviceRef device, ClusterId expected_cluster, ReplicaId expected_replica,
                                               const JournalLimits& limits, const RecordVisitor& visit) {
  if (auto fit = check_limits(limits); !fit) return std::unexpected(fit.error());
  auto superblock = read_superblock(device);
  if (!superblock) return std::unexpected(superblock.error());
  if (auto ours = check_identity(*superblock, expected_cluster, expected_replica); !ours) return std::unexpected(ours.error());
  const auto end = ChainScan(device, *superblock, visit).run();
  if (!end) return std::unexpected(end.error());

  ++superblock->number;
  ++superblock->open_count;
  superblock->durable_sequence = end->sequence;
  *superblock = seal(*superblock);
  if (auto written = write_superblock(device, *superblock); !written) return std::unexpected(written.error());

  JournalLimits fitting = limits;
  if (fitting.block_bytes_max > superblock->segment_bytes) {
    fitting.block_bytes_max = static_cast<std::uint32_t>(superblock->segment_bytes);
    fitting.block_bytes_target = std::min(fitting.block_bytes_target, fitting.block_bytes_max);
  }
  auto state = std::make_unique<State>(device, fitting, *superblock);
  state->durable_sequence = state->sent_sequence = state->last_sequence = end->sequence;
  state->previous = end->value;
  state->next_offset = end->offset;
  state->watermarks = end->watermarks;
  state->recovered = {.identity = identity_of(*superblock),
                      .watermarks = end->watermarks,
                      .blocks = end->sequence,
                      .bytes = end->offset - segments_offset,
                      .discarded_bytes = end->discarded_bytes};

  const auto place = state->place(true, block_bytes(0));
  if (!place)
    return fail("the journal is full, and so is its reserve: this replica can neither vote nor promise; join as a new member");
  if (mutant(Mutant::tail_resurrected)) return std::unique_ptr<Journal>(new Journal(std::move(state)));
  state->begin_block(*place);
  state->close_open_block();
  state->send(state->block(state->last_sequence));
  state->wait_for_block(state->last_sequence);
  if (state->failed) {
    return fail(fmt::format("the disk refuses the first block of this open ({}): replace it and join as a new member",
                            std::strerror(*state->failed)));
  }
  return std::unique_ptr<Journal>(new Journal(std::move(state)));
}

}  // namespace synod::storage
