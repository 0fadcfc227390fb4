// A session belongs to the request that opened it, across a change of the leader.
#include <gtest/gtest.h>

#include "tests/replica/clients.h"
#include "wire/cluster.h"

namespace synod::replica::test {
namespace {

class Opening : public ::testing::Test {
 protected:
  Opening() : port_(world_.cluster.network, {3, 1}), messenger_(identity(), {}) {
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

  World world_{{.seed = 1}};
  sim::Port port_;
  dataplane::Messenger messenger_;
  bool was_answered_ = false;
  bool stops_at_answer_ = false;
};

// The first leader dies with its answer on the wire. The second finds the opening, and proposes it again while the same client
// asks for another session: that must not be answered with the first one, in which the client may have appended by then.
TEST_F(Opening, is_not_answered_with_the_session_that_an_earlier_request_opened) {
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

}  // namespace
}  // namespace synod::replica::test
