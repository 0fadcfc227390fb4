// What the journal says about the members, and the configuration: a replica starts only where the two are of one set.
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "base/crc32c.h"
#include "replica/node.h"
#include "storage/memory_device.h"
#include "wire/cluster.h"

namespace synod::replica {
namespace {

const ClusterId cluster = wire::cluster_id("test");
constexpr ReplicaId self{2};
constexpr std::array<ReplicaId, 3> three = {ReplicaId(1), ReplicaId(2), ReplicaId(3)};
constexpr storage::JournalLimits limits = {
    .block_bytes_max = 64U << 10, .block_bytes_target = 16U << 10, .writes_in_flight = 4, .reads_in_flight = 4};

using Record = std::vector<wire::MemberUuid>;

Uuid uuid(unsigned byte) {
  Uuid result;
  result.bytes.fill(static_cast<std::byte>(byte));
  return result;
}

class MembersRecord : public ::testing::Test {
 protected:
  MembersRecord() {
    EXPECT_TRUE(storage::format_memory(device_, {.cluster = cluster, .replica = self, .members = 3}));
    own_disk_ = journal()->recovered().identity.disk;
  }

  [[nodiscard]] Record whole() const { return {{ReplicaId(1), {}, uuid(1)}, {self, {}, own_disk_}, {ReplicaId(3), {}, uuid(3)}}; }

  // Why a replica does not start that finds this record; nothing if it starts.
  std::string refusal(const Record& record, std::span<const ReplicaId> members = three) {
    const Bytes body = std::as_bytes(std::span(record));
    const wire::RecordHeader header{.body_bytes = static_cast<std::uint32_t>(body.size()),
                                    .body_checksum = Checksum(crc32c(body)),
                                    .kind = wire::RecordKind::members};
    {
      const auto opened = journal();
      opened->stage(header, body);
      while (!opened->idle()) {
        opened->flush({});
        opened->submit();
        opened->poll([](const storage::ReadResult&) {});
      }
    }
    const auto node = Node::open({.cluster = cluster,
                                  .group = {},
                                  .self = self,
                                  .configuration = consensus::Configuration(members),
                                  .timeouts = {},
                                  .journal = limits,
                                  .window_slots = 8},
                                 storage::DeviceRef(device_));
    return node ? "" : node.error().text;
  }

  void expect_refused(const Record& record, const std::string& text, std::span<const ReplicaId> members = three) {
    const std::string why = refusal(record, members);
    EXPECT_NE(why.find(text), std::string::npos) << "'" << why << "'";
  }

 private:
  std::unique_ptr<storage::Journal> journal() {
    auto opened = storage::Journal::open(storage::DeviceRef(device_), cluster, self, limits, {});
    EXPECT_TRUE(opened);
    return *std::move(opened);
  }

  storage::MemoryDevice device_{16U << 20};
  Uuid own_disk_;
};

TEST_F(MembersRecord, that_names_the_configured_members_is_taken) {
  EXPECT_EQ(refusal(whole()), "");
}

TEST_F(MembersRecord, of_another_number_than_the_disk_was_formatted_for_is_refused) {
  expect_refused(whole(), "formatted for 3 replicas and the configuration names 2", std::span(three).first(2));
}

TEST_F(MembersRecord, with_another_disk_under_our_own_id_is_refused) {
  Record record = whole();
  record[1].uuid = uuid(9);
  expect_refused(record, "records another disk under this replica's id");
}

TEST_F(MembersRecord, with_a_stranger_is_refused) {
  Record record = whole();
  record[2].replica = ReplicaId(4);
  expect_refused(record, "records member 4 which the configuration does not name");
}

TEST_F(MembersRecord, that_lacks_a_member_is_refused) {
  Record record = whole();
  record.pop_back();
  expect_refused(record, "does not name the disk of each member once");
}

TEST_F(MembersRecord, that_names_a_member_twice_is_refused) {
  Record record = whole();
  record.push_back({ReplicaId(3), {}, {}});
  expect_refused(record, "does not name the disk of each member once");
}

TEST_F(MembersRecord, with_a_member_without_a_disk_is_refused) {
  Record record = whole();
  record[0].uuid = {};
  expect_refused(record, "does not name the disk of each member once");
}

}  // namespace
}  // namespace synod::replica
