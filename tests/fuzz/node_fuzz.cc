// Opening a whole replica from a spoiled disk, and letting it run alone for a while. A disk that was only damaged gives the log
// that was committed, or is refused by the journal; a forged one may be refused here too, but stops nothing.
//
// Input: see spoil.cc.
#include <map>

#include "base/check.h"
#include "replica/node.h"
#include "storage/memory_device.h"
#include "tests/fuzz/disk.h"

namespace synod::fuzz {
namespace {

using namespace storage;

constexpr std::array<ReplicaId, 3> member_ids = {ReplicaId(1), ReplicaId(2), ReplicaId(3)};

replica::NodeOptions options() {
  return {.cluster = disk_cluster,
          .group = {},
          .self = disk_replica,
          .configuration = consensus::Configuration(member_ids),
          .timeouts = {},
          .journal = disk_limits,
          .window_slots = 16,
          .seed = 1};
}

// The log that these records hold: one session that opens, and one entry for each slot after that. All of what is committed,
// unless something was lost: then what comes before the first lost slot.
void check_log(const replica::Node& node, const std::vector<Written>& records, const Recovered& recovered) {
  const bool has_lost = !recovered.gaps.empty() || recovered.tail_is_lost;
  const Slot commit = has_lost ? std::min(node.log().applied(), recovered.watermarks.commit) : recovered.watermarks.commit;
  std::map<Slot, Checksum> newest;
  for (const Written& record : records) newest[record.header.slot] = record.header.body_checksum;
  wire::Chain chain;
  for (Slot slot(1); slot <= commit; ++slot) chain = wire::extend(chain, newest.at(slot));
  CHECK_EQ(node.log().applied(), commit);
  CHECK_EQ(node.log().chain(), chain);
  CHECK_EQ(node.log().tail().value(), commit.value() == 0 ? 0 : commit.value() - 1);
}

// Long enough for some elections that nobody answers.
void run_alone(replica::Node& node) {
  for (std::uint64_t now_us = 1'000'000; now_us < 5'000'000; now_us += 100'000) {
    node.poll_once(now_us);
    node.flush();
    node.submit();
  }
}

}  // namespace

bool run(Bytes input) {
  Input in(input);
  Example image = disk().after;
  const Spoiled spoiled = spoil(in, image);
  MemoryDevice alone{Bytes(image)};
  const Opened opened = open_journal(DeviceRef(alone));

  MemoryDevice device{Bytes(image)};
  auto node = replica::Node::open(options(), DeviceRef(device));
  if (spoiled == Spoiled::by_damage) CHECK_EQ(node.has_value(), opened.journal != nullptr);
  if (!node) return !opened.records.empty();
  CHECK(opened.journal != nullptr);
  const Recovered recovered = opened.journal->recovered();
  const bool has_lost = !recovered.gaps.empty() || recovered.tail_is_lost;
  if (spoiled == Spoiled::by_damage) check_log(**node, has_lost ? disk().records_after : opened.records, recovered);
  CHECK_GE((*node)->status().promised, recovered.watermarks.promised);
  const auto log = std::tuple((*node)->log().applied(), (*node)->log().chain(), (*node)->log().tail());
  run_alone(**node);
  node->reset();
  node = replica::Node::open(options(), DeviceRef(device));
  if (!node) return true;  // the journal is full
  CHECK(log == std::tuple((*node)->log().applied(), (*node)->log().chain(), (*node)->log().tail()));
  return true;
}

std::vector<Example> examples() {
  return spoiling_examples();
}

}  // namespace synod::fuzz
