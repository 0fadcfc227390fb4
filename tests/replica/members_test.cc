// What the journal says about the members, and the configuration: a replica starts only where the two are of one set.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/replica/one_record.h"

namespace synod::replica {
namespace {

using Record = std::vector<wire::MemberUuid>;
constexpr ReplicaId self = test::OneRecord::self;
constexpr auto three = test::OneRecord::three;

Uuid uuid(unsigned byte) {
  Uuid result;
  result.bytes.fill(static_cast<std::byte>(byte));
  return result;
}

class MembersRecord : public ::testing::Test {
 protected:
  [[nodiscard]] Record whole() const {
    return {{ReplicaId(1), {}, uuid(1)}, {self, {}, journal_.disk()}, {ReplicaId(3), {}, uuid(3)}};
  }

  std::string refusal(const Record& record, std::span<const ReplicaId> members = three) {
    return journal_.refusal({.kind = wire::RecordKind::members}, std::as_bytes(std::span(record)), members);
  }

  void expect_refused(const Record& record, const std::string& text, std::span<const ReplicaId> members = three) {
    const std::string why = refusal(record, members);
    EXPECT_NE(why.find(text), std::string::npos) << "'" << why << "'";
  }

 private:
  test::OneRecord journal_;
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
