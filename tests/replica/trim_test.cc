// Trims through the log: what they refuse, whom they survive.
#include <gtest/gtest.h>

#include "replica/trim_record.h"
#include "tests/replica/clients.h"
#include "wire/body.h"

namespace synod::replica::test {
namespace {

class Trims : public ::testing::Test {
 protected:
  void append(int entries) {
    for (int i = 0; i < entries; ++i) world_.append_and_wait(client_, "entry " + std::to_string(appended_++));
  }

  // The effective trim, or nothing if it was not answered.
  std::optional<Lsn> trim(std::uint64_t lsn, std::uint64_t limit_us = 5'000'000) {
    client::Call& call = client_.session().call();
    call.start_trim(client_.session().next_request(), Lsn(lsn), now(), limit_us);
    world_.run_until([&] { return !call.waiting(); }, limit_us + 1'000'000);
    if (call.state() != client::CallState::answered) return std::nullopt;
    return call.trimmed_to();
  }

  // Asks one replica, and waits for its word.
  client::Call& read(std::size_t place, std::uint64_t from) {
    client::Call& call = client_.session().call();
    call.start_read(client_.session().next_request(), Lsn(from), Lsn(from + 1), 1'000, world_.cluster.peers()[place], now(),
                    2'000'000);
    world_.run_until([&] { return !call.waiting(); });
    return call;
  }
  void expect_trimmed(std::size_t place, std::uint64_t from, std::uint64_t first_kept) {
    const client::Call& call = read(place, from);
    EXPECT_EQ(call.state(), client::CallState::refused) << "replica " << place + 1 << ", LSN " << from;
    EXPECT_EQ(call.refusal(), wire::RefusalReason::trimmed);
    EXPECT_EQ(call.first_kept(), Lsn(first_kept));
  }
  void expect_readable(std::size_t place, std::uint64_t from) {
    const client::Call& call = read(place, from);
    ASSERT_EQ(call.state(), client::CallState::answered) << "replica " << place + 1 << ", LSN " << from;
    ASSERT_EQ(call.read().count, 1U);
    const Bytes payload = wire::split_entry(call.entries()).payload;
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(payload.data()), payload.size()), "entry " + std::to_string(from));
  }
  void settle() {
    ASSERT_TRUE(world_.run_until([&] { return world_.cluster.has_settled(); }));
  }
  [[nodiscard]] std::uint64_t now() const { return world_.cluster.network.now_us; }
  [[nodiscard]] Slot commit() { return world_.cluster.node(*world_.cluster.leader()).engine().commit(); }

  World world_{{.seed = 1}};
  Client& client_ = world_.add_client();
  int appended_ = 0;
};

TEST_F(Trims, a_read_below_is_refused_by_every_replica_and_told_the_first_that_is_kept) {
  append(10);
  EXPECT_EQ(trim(6), Lsn(6));
  settle();
  for (std::size_t place = 0; place < world_.cluster.size(); ++place) {
    EXPECT_EQ(world_.cluster.node(place).log().trim(), Lsn(6));
    expect_trimmed(place, 0, 6);
    expect_trimmed(place, 5, 6);
    expect_readable(place, 6);
    expect_readable(place, 9);
    EXPECT_EQ(world_.cluster.node(place).status().trim, Lsn(6));
  }
}

TEST_F(Trims, leave_the_tail_and_appends_alone) {
  append(10);
  EXPECT_EQ(trim(10), Lsn(10));
  EXPECT_EQ(world_.tail(client_), Lsn(10));
  append(3);
  EXPECT_EQ(world_.tail(client_), Lsn(13));
  settle();
  expect_readable(0, 10);
}

TEST_F(Trims, beyond_the_tail_trim_up_to_it) {
  append(4);
  EXPECT_EQ(trim(1'000), Lsn(4));
}

TEST_F(Trims, that_are_repeated_are_answered_without_another_slot) {
  append(10);
  EXPECT_EQ(trim(6), Lsn(6));
  settle();
  const Slot before = commit();
  EXPECT_EQ(trim(6), Lsn(6));
  EXPECT_EQ(trim(2), Lsn(6)) << "an earlier one changes nothing";
  EXPECT_EQ(commit(), before);
}

TEST_F(Trims, are_refused_by_a_follower) {
  append(1);
  settle();
  const std::size_t follower = (*world_.cluster.leader() + 1) % 3;
  sim::Port port(world_.cluster.network, {3, 1});
  dataplane::LocalIdentity local = client_.messenger().local();
  local.incarnation.disk.bytes[0] = std::byte{0xAA};
  dataplane::Messenger messenger(local, {});
  messenger.add_port(dataplane::PortRef(port));
  wire::PacketHeader header;
  header.type = wire::MessageType::trim;
  header.destination = Cluster::id_of(follower);
  messenger.send({0, Cluster::endpoint_of(follower)}, header, bytes_of(wire::Trim{77, Lsn(1)}));
  std::optional<wire::Refused> refused;
  ASSERT_TRUE(world_.run_until([&] {
    messenger.poll([&](const dataplane::Message& message) {
      if (message.header.type == wire::MessageType::refused) refused = load<wire::Refused>(message.payload);
    });
    return refused.has_value();
  }));
  EXPECT_EQ(refused->reason, wire::RefusalReason::not_leader);
  EXPECT_EQ(refused->request, 77U);
  EXPECT_EQ(refused->leader, Cluster::id_of(*world_.cluster.leader()));
}

TEST_F(Trims, survive_a_failover) {
  append(10);
  ASSERT_EQ(trim(6), Lsn(6));
  const std::size_t leader = *world_.cluster.leader();
  world_.cluster.cut_power(leader);
  append(3);
  const std::size_t next = *world_.cluster.leader();
  EXPECT_NE(next, leader);
  expect_trimmed(next, 5, 6);
  EXPECT_EQ(trim(2), Lsn(6)) << "the new leader knows of it";
  EXPECT_EQ(trim(8), Lsn(8));
}

TEST_F(Trims, survive_a_restart_of_all) {
  append(10);
  ASSERT_EQ(trim(6), Lsn(6));
  settle();
  for (std::size_t place = 0; place < world_.cluster.size(); ++place) world_.cluster.cut_power(place);
  for (std::size_t place = 0; place < world_.cluster.size(); ++place) world_.cluster.start(place);
  append(1);
  settle();
  for (std::size_t place = 0; place < world_.cluster.size(); ++place) {
    expect_trimmed(place, 5, 6);
    expect_readable(place, 6);
  }
}

TEST_F(Trims, reach_a_replica_that_was_down) {
  append(10);
  const std::size_t follower = (*world_.cluster.leader() + 1) % 3;
  world_.cluster.stop(follower);
  ASSERT_EQ(trim(6), Lsn(6));
  world_.cluster.start(follower);
  settle();
  expect_trimmed(follower, 5, 6);
}

// What was asked of a leader that has no quorum is not lost to the client: it asks the next one.
TEST_F(Trims, that_a_leader_could_not_commit_are_asked_of_the_next) {
  append(10);
  settle();
  const std::size_t leader = *world_.cluster.leader();
  for (std::size_t other = 0; other < 3; ++other) {
    if (other == leader) continue;
    world_.cluster.network.cut(Cluster::endpoint_of(leader), Cluster::endpoint_of(other));
    world_.cluster.network.cut(Cluster::endpoint_of(other), Cluster::endpoint_of(leader));
  }
  EXPECT_EQ(trim(6), Lsn(6));
  EXPECT_EQ(world_.cluster.node(leader).log().trim(), Lsn(0));
  world_.cluster.network.heal();
  settle();
  EXPECT_EQ(world_.cluster.node(leader).log().trim(), Lsn(6));
}

TEST_F(Trims, let_a_repeated_append_be_answered_though_its_entry_is_gone) {
  append(10);
  ASSERT_EQ(trim(10), Lsn(10));
  const Node& node = world_.cluster.node(*world_.cluster.leader());
  const auto place = node.log().sessions().find(client_.session().id());
  ASSERT_TRUE(place.has_value());
  EXPECT_EQ(node.log().sessions().lsn_of(*place, Sequence(3)), Lsn(2));
}

TEST(TrimRecord, has_these_bytes) {
  const TrimRecord record{.trimmed = Lsn(0x0102), .base_sequence = 0x0304, .base_offset = 0x010000};
  constexpr std::array<std::uint8_t, 24> golden = {2, 1, 0, 0, 0, 0, 0, 0, 4, 3, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0};
  EXPECT_TRUE(std::ranges::equal(bytes_of(record), std::as_bytes(std::span(golden))));
  const auto decoded = decode_trim_record(bytes_of(record));
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(decoded->trimmed, record.trimmed);
  EXPECT_EQ(decoded->base_sequence, record.base_sequence);
  EXPECT_EQ(decoded->base_offset, record.base_offset);
}

TEST(TrimRecord, of_the_first_binaries_names_no_checkpoint) {
  const Lsn trimmed(77);
  const auto decoded = decode_trim_record(bytes_of(trimmed));
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(decoded->trimmed, trimmed);
  EXPECT_EQ(decoded->base_sequence, 0U);
  EXPECT_FALSE(decode_trim_record(bytes_of(trimmed).first(7)).has_value());
}

}  // namespace
}  // namespace synod::replica::test
