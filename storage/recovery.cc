// Opening a journal: superblock, chain, and the first block of the new open.
#include "storage/recovery.h"

#include <fmt/format.h>

#include <sched.h>

#include <algorithm>
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
                        limits.writes_in_flight >= 1 && limits.blocks_waiting >= 1 && limits.reads_in_flight >= 1 &&
                        (limits.writes_in_flight + 2) * std::uint64_t{limits.block_bytes_max} <= in_flight_bytes_max;
  if (possible) return {};
  return fail(
      fmt::format("these journal limits do not fit: {} writes of at most {} bytes in flight (target {}), {} blocks waiting, {} "
                  "reads; the blocks in flight, plus two, may have {} bytes",
                  limits.writes_in_flight, limits.block_bytes_max, limits.block_bytes_target, limits.blocks_waiting,
                  limits.reads_in_flight, in_flight_bytes_max));
}

Result<Superblock> read_superblock(DeviceRef device) {
  constexpr std::uint64_t bytes = std::uint64_t{superblock_copies} * device_block_bytes;
  if (device.info().block_bytes > device_block_bytes || device.info().size_bytes < segments_offset) {
    return fail("the device is too small to be a journal, or its blocks are too large: check --data");
  }
  BlockReader reader(device, bytes);
  auto superblock = newest_superblock(reader.view(0, bytes));
  if (superblock && superblock->unit_bytes % device.info().block_bytes != 0) {
    return fail(fmt::format("the journal has blocks of {} bytes, and this device writes no less than {}: check --data",
                            superblock->unit_bytes, device.info().block_bytes));
  }
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

// Reads the chain from a checkpoint on. Nothing: this one cannot be used.
std::optional<Result<ChainEnd>> read_from(DeviceRef device, const Superblock& superblock, const Survey& survey,
                                          const Visitor& visitor, CheckpointAt at) {
  const auto bytes = read_checkpoint(device, superblock, survey, at);
  if (!bytes) return std::nullopt;
  // What was staged before the checkpoint in its first block is part of it.
  bool is_behind = false;
  Visitor behind = visitor;
  behind.record = [&](const wire::RecordHeader& header, Location location, Bytes body, const Watermarks& watermarks) {
    if (is_behind && visitor.record) visitor.record(header, location, body, watermarks);
    is_behind = is_behind || (header.kind == wire::RecordKind::checkpoint && body.size() >= sizeof(CheckpointPart) &&
                              load<CheckpointPart>(body).part == 0);
  };
  ChainScan scan(device, superblock, survey, behind);
  if (!scan.start_at(at.offset, at.sequence)) return std::nullopt;
  if (visitor.checkpoint && !visitor.checkpoint(*bytes)) return std::nullopt;
  auto end = scan.run();
  if (!end) return end;
  end->has_checkpoint = true;
  // The newest one that the chain names is as good if nothing is lost behind its beginning. If not, the next start needs this
  // one.
  const bool is_whole = end->checkpoint.sequence >= at.sequence && std::ranges::all_of(end->gaps, [&](const Gap& gap) {
                          return gap.next_sequence <= end->checkpoint.sequence;
                        });
  if (!is_whole) end->checkpoint = at;
  return end;
}

bool has_first_block(DeviceRef device, const Superblock& superblock, const Survey& survey) {
  const Visitor nobody;
  return ChainScan(device, superblock, survey, nobody).start_at(segments_offset, 1);
}

// From the beginning of the journal. Where that was lost, what is behind it is of use only if nothing was trimmed yet.
Result<ChainEnd> read_from_beginning(DeviceRef device, const Superblock& superblock, const Survey& survey,
                                     const Visitor& visitor) {
  auto end = ChainScan(device, superblock, survey, visitor).run();
  if (!end) return end;
  const bool is_lost = end->sequence == 0 && superblock.durable_sequence > 0;
  const bool is_beheaded =
      !end->gaps.empty() && end->gaps[0].first_sequence == 1 && (end->checkpoint.sequence != 0 || end->first_segment != 0);
  if (is_lost || is_beheaded) {
    return fail(
        "neither the beginning of the journal nor any checkpoint of it can be read: this replica must not vote; join as a new "
        "member");
  }
  if (!end->gaps.empty() && end->gaps.back().next_sequence > end->checkpoint.sequence) end->checkpoint = {};
  return end;
}

// From the newest checkpoint that can be used, or from the beginning.
Result<ChainEnd> read_chain(DeviceRef device, const Superblock& superblock, const Survey& survey, const Visitor& visitor) {
  for (const CheckpointAt& at : survey.checkpoints(device, superblock)) {
    if (auto end = read_from(device, superblock, survey, visitor, at)) return *std::move(end);
  }
  if (!has_first_block(device, superblock, survey)) {
    std::optional<Result<ChainEnd>> end;
    survey.search_checkpoints(device, superblock, [&](CheckpointAt at) {
      end = read_from(device, superblock, survey, visitor, at);
      return end.has_value();
    });
    if (end) return *std::move(end);
  }
  return read_from_beginning(device, superblock, survey, visitor);
}

// Segments as the chain has used them. What lies in the others is of no use any more. (A head may be an old one, where the
// write that should have replaced it was lost: its generation says so.)
std::vector<SegmentInfo> segments_of(const Survey& survey, const Geometry& geometry, const ChainEnd& end) {
  std::vector<SegmentInfo> segments(geometry.segments);
  for (std::uint32_t index = 0; index < geometry.segments; ++index) {
    const bool is_of_this_lap = index <= end.segment;
    segments[index].generation = is_of_this_lap || end.generation == 0 ? end.generation : end.generation - 1;
  }
  for (std::uint32_t index = end.first_segment;; index = geometry.next(index)) {
    const auto& head = survey.heads()[index];
    if (head && head->sequence <= end.sequence && head->generation == segments[index].generation) {
      segments[index] = {head->sequence, head->generation, head->written_s,     head->commit,
                         head->highest,  head->tail,       checkpoint_of(*head)};
    }
    if (index == end.segment) break;
  }
  return segments;
}

}  // namespace

Result<std::unique_ptr<Journal>> Journal::open(DeviceRef device, ClusterId expected_cluster, ReplicaId expected_replica,
                                               const JournalLimits& limits, const Visitor& visitor) {
  if (auto fit = check_limits(limits); !fit) return std::unexpected(fit.error());
  auto superblock = read_superblock(device);
  if (!superblock) return std::unexpected(superblock.error());
  if (auto ours = check_identity(*superblock, expected_cluster, expected_replica); !ours) return std::unexpected(ours.error());
  const Survey survey = Survey::of(device, *superblock);
  const auto end = read_chain(device, *superblock, survey, visitor);
  if (!end) return std::unexpected(end.error());

  ++superblock->number;
  superblock->open_count = std::max(superblock->open_count, end->open_count) + 1;
  superblock->durable_sequence = end->leap_to;
  *superblock = seal(*superblock);
  if (auto written = write_superblock(device, *superblock); !written) return std::unexpected(written.error());

  JournalLimits fitting = limits;
  if (fitting.block_bytes_max > superblock->segment_bytes) {
    fitting.block_bytes_max = static_cast<std::uint32_t>(superblock->segment_bytes);
    fitting.block_bytes_target = std::min(fitting.block_bytes_target, fitting.block_bytes_max);
  }
  auto state = std::make_unique<State>(device, fitting, *superblock);
  state->resume(*end, segments_of(survey, state->geometry, *end));
  std::unique_ptr<Journal> journal(new Journal(std::move(state)));
  if (mutant(Mutant::tail_resurrected)) return journal;
  if (auto begun = journal->state_->begin_open(); !begun) return std::unexpected(begun.error());
  return journal;
}

void Journal::State::resume(const ChainEnd& end, std::vector<SegmentInfo> known_segments) {
  durable_sequence = sent_sequence = last_sequence = end.tail_is_lost ? end.leap_to : end.sequence;
  next_kind = end.tail_is_lost ? BlockKind::leap : BlockKind::normal;
  is_unbounded = end.is_unbounded || end.tail_is_lost;
  previous = end.value;
  next_offset = end.offset;
  segment = end.segment;
  segments = std::move(known_segments);
  first_segment = announced_segment = end.first_segment;
  watermarks = end.watermarks;
  // (One that was released already may still be there to be read, but not for long.)
  if (end.checkpoint.sequence != 0 && age_of(geometry.segment_of(end.checkpoint.offset)) <= age_of(segment)) {
    checkpoint = {.at = end.checkpoint, .segment = geometry.segment_of(end.checkpoint.offset), .bytes = 0, .last_number = {}};
    staged_checkpoint = checkpoint;
  }
  recovered = {.identity = identity_of(superblock),
               .watermarks = end.watermarks,
               .sequence = end.sequence,
               .blocks = end.blocks,
               .bytes = age_of(segment) * geometry.segment_bytes + (end.offset - geometry.start_of(segment)),
               .discarded_bytes = end.discarded_bytes,
               .has_checkpoint = end.has_checkpoint,
               .tail_is_lost = end.tail_is_lost,
               .gaps = end.gaps};
}

// The first block of this open. Where the tail is lost it holds the word of that, before anything else can follow.
Result<> Journal::State::begin_open() {
  const std::uint64_t record_bytes = recovered.tail_is_lost ? padded_record_bytes(0) : 0;
  const auto at = place(Reserve::all, geometry.block_bytes(record_bytes), device.ready_bytes());
  if (!at) {
    return fail("the journal is full, and so is its reserve: this replica can neither vote nor promise; join as a new member");
  }
  Block& first = begin_block(*at);
  if (recovered.tail_is_lost) {
    put(first, {.slot = watermarks.highest, .kind = wire::RecordKind::repair}, {});
  }
  close_open_block();
  send(first);
  wait_for_block(last_sequence);
  if (!failed) return {};
  return fail(fmt::format("the disk refuses the first block of this open ({}): replace it and join as a new member",
                          std::strerror(*failed)));
}

}  // namespace synod::storage
