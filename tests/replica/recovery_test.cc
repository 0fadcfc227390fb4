// Votes that a journal holds and that are not committed yet: their bodies come from a disk, and pass a gateway before anybody
// uses them.
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <string_view>

#include "tests/replica/one_record.h"
#include "wire/body.h"

namespace synod::replica {
namespace {

// Why a replica does not start whose journal holds a vote for this body in slot 1; nothing if it starts.
std::string refusal(Bytes body) {
  return test::OneRecord().refusal({.slot = Slot(1), .ballot = Ballot(1, ReplicaId(1)), .kind = wire::RecordKind::accepted},
                                   body);
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
