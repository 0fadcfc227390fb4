// What a session relies on across a change of the leader: the request that opened it, and refusals that hold.
#include <gtest/gtest.h>

#include "tests/replica/clients.h"
#include "wire/cluster.h"

namespace synod::replica::test {
namespace {

class Sessions : public ::testing::Test {
 protected:
  Sessions() : port_(world_.cluster.network, {3, 1}), messenger_(identity(), {}) {
    messenger_.add_port(dataplane::PortRef(port_));
    world_.cluster.network.on_sent = [this](dataplane::Endpoint, dataplane::Endpoint, Bytes packet) {
      const auto view = wire::decode_packet(packet);
      if (view && view->header.type == wire::MessageType::session_opened) was_answered_ = true;
    };
  }

  static dataplane::LocalIdentity identity() {
    dataplane::LocalIdentity local{wire::cluster_id("test"), GroupId{}, ReplicaId{}, {}};
    local.incarnation.disk.bytes[0] = std::byte{0xAA};
    local.incarnation.open_count = 1;
    return local;
  }

  // Asks every replica in every step, until one has answered; the session's id.
  SessionId open(std::uint64_t request) {
    SessionId session;
    const auto answered = [&] {
      for (std::size_t place = 0; place < world_.cluster.size(); ++place) {
        wire::PacketHeader header;
        header.type = wire::MessageType::open_session;
        header.destination = Cluster::id_of(place);
        wire::OpenSession ask;
        ask.request = request;
        messenger_.send({0, Cluster::endpoint_of(place)}, header, bytes_of(ask));
      }
      messenger_.poll([&](const dataplane::Message& message) {
        if (message.header.type != wire::MessageType::session_opened) return;
        const auto opened = load<wire::SessionOpened>(message.payload);
        if (opened.request == request) session = opened.session;
      });
      return session != SessionId{} || (stops_at_answer_ && was_answered_);
    };
    EXPECT_TRUE(world_.run_until(answered)) << "nobody opens a session";
    return session;
  }

  // What `place` says to an append of one entry: the LSN, or why not.
  std::optional<wire::RefusalReason> append(std::size_t place, SessionId session, std::uint64_t message_id) {
    std::vector<std::byte> payload(sizeof(wire::Append) + sizeof(std::uint32_t) + 4);
    store(payload, wire::Append{.session = session, .first = Sequence(1), .count = 1, .ack = wire::AckLevel::quorum, .zero = {}});
    store(MutableBytes(payload).subspan(sizeof(wire::Append)), std::uint32_t{4});
    wire::PacketHeader header;
    header.type = wire::MessageType::append;
    header.destination = Cluster::id_of(place);
    header.message_id = message_id;
    messenger_.send({0, Cluster::endpoint_of(place)}, header, payload);
    bool is_answered = false;
    std::optional<wire::RefusalReason> refusal;
    const auto answered = [&] {
      messenger_.poll([&](const dataplane::Message& message) {
        is_answered = is_answered || message.header.type == wire::MessageType::appended;
        if (message.header.type != wire::MessageType::refused) return;
        const auto refused = load<wire::Refused>(message.payload);
        if (refused.session != session) return;  // of one of the many requests for a session
        is_answered = true;
        EXPECT_EQ(refused.request, message_id) << "it does not say which attempt it refuses";
        refusal = refused.reason;
      });
      return is_answered;
    };
    EXPECT_TRUE(world_.run_until(answered)) << "no answer";
    return refusal;
  }

  World world_{{.seed = 1}};
  sim::Port port_;
  dataplane::Messenger messenger_;
  bool was_answered_ = false;
  bool stops_at_answer_ = false;
};

// The first leader dies with its answer on the wire. The second finds the opening, and proposes it again while the same client
// asks for another session: that must not be answered with the first one, in which the client may have appended by then.
TEST_F(Sessions, an_opening_is_not_answered_with_the_session_that_an_earlier_request_opened) {
  ASSERT_TRUE(world_.run_until([&] { return world_.cluster.leader().has_value(); }));
  stops_at_answer_ = true;
  (void)open(1);
  const std::size_t leader = world_.cluster.leader().value();
  const Slot first_slot = world_.cluster.node(leader).engine().commit();
  world_.cluster.stop(leader);
  stops_at_answer_ = false;
  const SessionId second = open(2);
  EXPECT_GT(wire::opening_slot(second), first_slot) << "the session of the first request, opened in slot " << first_slot.value();
}

// The network may deliver an append twice, and the client counts an attempt that was refused as not appended.
TEST_F(Sessions, a_second_copy_of_a_refused_append_is_refused_even_by_the_next_leader) {
  ASSERT_TRUE(world_.run_until([&] { return world_.cluster.leader().has_value(); }));
  const SessionId session = open(1);
  const std::size_t leader = world_.cluster.leader().value();
  const std::size_t follower = (leader + 1) % 3;
  ASSERT_EQ(append(follower, session, 7), wire::RefusalReason::not_leader);
  world_.cluster.stop(leader);
  world_.cluster.stop((leader + 2) % 3);
  world_.cluster.start((leader + 2) % 3);
  ASSERT_TRUE(world_.run_until([&] {
    // Until it is this one that leads.
    const auto next = world_.cluster.leader();
    if (next && *next != follower) {
      world_.cluster.stop(*next);
      world_.cluster.start(*next);
    }
    return next == follower;
  }));
  EXPECT_EQ(append(follower, session, 7), wire::RefusalReason::busy);
  EXPECT_EQ(append(follower, session, 8), std::nullopt) << "a new attempt is admitted";
}

}  // namespace
}  // namespace synod::replica::test
