// Votes that a journal holds and that are not committed yet: their bodies come from a disk, and pass a gateway before anybody
// uses them.
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <string_view>

#include "base/crc32c.h"
#include "replica/node.h"
#include "storage/memory_device.h"
#include "wire/body.h"
#include "wire/cluster.h"

namespace synod::replica {
namespace {

const ClusterId cluster = wire::cluster_id("test");
constexpr ReplicaId self{2};
constexpr std::array<ReplicaId, 3> three = {ReplicaId(1), ReplicaId(2), ReplicaId(3)};
constexpr storage::JournalLimits limits = {
    .block_bytes_max = 64U << 10, .block_bytes_target = 16U << 10, .writes_in_flight = 4, .reads_in_flight = 4};

// Why a replica does not start whose journal holds a vote for this body in slot 1; nothing if it starts.
std::string refusal(Bytes body) {
  storage::MemoryDevice device(16U << 20);
  EXPECT_TRUE(storage::format_memory(device, {.cluster = cluster, .replica = self, .members = 3}));
  {
    auto opened = storage::Journal::open(storage::DeviceRef(device), cluster, self, limits, {});
    EXPECT_TRUE(opened);
    storage::Journal& journal = **opened;
    journal.stage({.slot = Slot(1),
                   .ballot = Ballot(1, ReplicaId(1)),
                   .body_bytes = static_cast<std::uint32_t>(body.size()),
                   .body_checksum = Checksum(crc32c(body)),
                   .kind = wire::RecordKind::accepted},
                  body);
    while (!journal.idle()) {
      journal.flush({});
      journal.submit();
      journal.poll([](const storage::ReadResult&) {});
    }
  }
  const auto node = Node::open({.cluster = cluster,
                                .group = {},
                                .self = self,
                                .configuration = consensus::Configuration(three),
                                .timeouts = {},
                                .journal = limits,
                                .window_slots = 8},
                               storage::DeviceRef(device));
  return node ? "" : node.error().text;
}

TEST(AVoteOfTheJournal, ForABodyIsTaken) {
  std::array<std::byte, 256> buffer;
  std::array<std::byte, 8> entry = {std::byte{4}};  // its length, and four bytes
  wire::BodyWriter writer(buffer, {});
  writer.add(wire::RunKind::entries, SessionId(1), Sequence(1), 1, entry);
  EXPECT_EQ(refusal(writer.finish()), "");
}

TEST(AVoteOfTheJournal, ForNothingIsTaken) {
  EXPECT_EQ(refusal({}), "");
}

TEST(AVoteOfTheJournal, ForWhatIsNoBodyIsRefused) {
  EXPECT_EQ(
      refusal(bytes_of(std::string_view("what no proposer ever wrote"))),
      "slot 1 of the journal cannot be applied (reserved bytes): do not start this replica; keep its directory and report it");
}

}  // namespace
}  // namespace synod::replica
