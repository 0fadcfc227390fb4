// What must not harm a running cluster: bytes from anybody. Dropped and counted, or refused with a reason; the log stays right.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "tests/replica/clients.h"
#include "tests/seed.h"
#include "wire/cluster.h"

namespace synod::replica::test {
namespace {

using wire::MessageType;
using wire::PacketFault;
using wire::RefusalReason;

constexpr dataplane::Endpoint stranger{3, 1};

// One message and where it came from, as a client without a session sees it.
struct Answer {
  wire::PacketHeader header;
  std::vector<std::byte> payload;
};

class Hostile : public ::testing::Test {
 protected:
  Hostile() : prng_(first_seed()), world_({.seed = prng_.next()}), writer_(world_.add_client()), port_(network(), {3, 2}) {
    network().on_sent = [this](dataplane::Endpoint from, dataplane::Endpoint to, Bytes packet) {
      sent_.push_back({from, to, {packet.begin(), packet.end()}});
    };
    dataplane::LocalIdentity local{wire::cluster_id("test"), GroupId{}, ReplicaId{}, {}};
    local.incarnation.disk.bytes[0] = std::byte{0xBA};
    messenger_ = std::make_unique<dataplane::Messenger>(local, dataplane::MessengerLimits{});
    messenger_->add_port(dataplane::PortRef(port_));
    append(60);
  }

  struct Sent {
    dataplane::Endpoint from;
    dataplane::Endpoint to;
    sim::Datagram packet;
  };

  sim::Network& network() { return world_.cluster.network; }
  Cluster& cluster() { return world_.cluster; }
  std::size_t leader() {
    EXPECT_TRUE(world_.run_until([&] { return cluster().leader().has_value(); }));
    return cluster().leader().value_or(0);
  }

  void append(int count) {
    for (int i = 0; i < count; ++i) world_.append_and_wait(writer_, fmt::format("entry {}", entries_++));
  }

  // The cluster works as before, and its log holds what was appended, once.
  void expect_unharmed() {
    append(5);
    ASSERT_TRUE(world_.run_until([&] { return cluster().has_settled(); }));
    cluster().expect_equal_logs();
    const auto log = world_.read_all(writer_);
    EXPECT_EQ(log.size(), entries_);
    world_.expect_one_story(log);
  }

  // To every replica.
  void send_to_all(const sim::Datagram& packet, dataplane::Endpoint from = stranger) {
    for (std::size_t place = 0; place < cluster().size(); ++place) network().inject(from, Cluster::endpoint_of(place), packet);
  }
  std::uint64_t dropped(std::size_t place, PacketFault fault) {
    return cluster().node(place).messenger().counters().dropped[static_cast<std::size_t>(fault)];
  }

  // Packets that were really sent from replica to replica (or by clients), changed and sealed again.
  template <class Change>
  std::size_t resend_changed(bool peers, const Change& change) {
    const std::vector<Sent> seen = sent_;
    std::size_t count = 0;
    for (const Sent& sent : seen) {
      if (sent.to.address != 1 || (sent.from.address == 1) != peers) continue;
      auto header = load<wire::PacketHeader>(sent.packet);
      change(header);
      sim::Datagram packet = sent.packet;
      store(MutableBytes(packet), wire::seal_header(header));
      network().inject(sent.from, sent.to, packet);
      ++count;
      if (count % 20 == 0) world_.step();
    }
    world_.run_for(1000);
    return count;
  }

  // Sends one client message to a replica and waits for one answer.
  std::optional<Answer> ask(std::size_t place, MessageType type, Bytes head, Bytes body = {}) {
    std::vector<Answer> answers = ask_many(place, type, {{head.begin(), head.end()}}, body);
    if (answers.empty()) return std::nullopt;
    return answers.front();
  }
  std::vector<Answer> ask_many(std::size_t place, MessageType type, const std::vector<std::vector<std::byte>>& heads,
                               Bytes body = {}) {
    wire::PacketHeader header;
    header.type = type;
    header.destination = Cluster::id_of(place);
    for (const auto& head : heads) messenger_->send({0, Cluster::endpoint_of(place)}, header, head, body);
    std::vector<Answer> answers;
    world_.run_until(
        [&] {
          messenger_->poll([&](const dataplane::Message& message) {
            answers.push_back({message.header, {message.payload.begin(), message.payload.end()}});
          });
          return answers.size() >= heads.size();
        },
        500'000);
    return answers;
  }
  template <class T>
  void expect_refused(RefusalReason reason, std::size_t place, MessageType type, const T& request, Bytes body = {}) {
    const auto answer = ask(place, type, bytes_of(request), body);
    ASSERT_TRUE(answer) << "no answer at all";
    ASSERT_EQ(answer->header.type, MessageType::refused);
    const auto refused = wire::decode_client<wire::Refused>(answer->payload);
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->reason, reason) << wire::name(refused->reason);
    // An answer is of use only to a client that can tell what it answers.
    if constexpr (requires { request.request; }) {
      EXPECT_EQ(refused->request, request.request);
    } else {
      EXPECT_EQ(refused->session, request.session);
    }
    last_refused_ = *refused;
  }

  Prng prng_;
  World world_;
  Client& writer_;
  sim::Port port_;
  std::unique_ptr<dataplane::Messenger> messenger_;
  std::vector<Sent> sent_;
  std::size_t entries_ = 0;
  wire::Refused last_refused_;
};

std::vector<std::byte> entries_of(std::uint32_t count, std::uint32_t bytes_each) {
  std::vector<std::byte> entries(count * (4 + std::size_t{bytes_each}));
  for (std::uint32_t i = 0; i < count; ++i) store(MutableBytes(entries).subspan(i * (4 + std::size_t{bytes_each})), bytes_each);
  return entries;
}

TEST_F(Hostile, random_bytes_are_dropped_and_counted) {
  const auto before = cluster().node(0).messenger().counters().dropped_total();
  for (int i = 0; i < 5000; ++i) {
    sim::Datagram packet(prng_.below(1473));
    for (std::byte& byte : packet) byte = static_cast<std::byte>(prng_.next());
    send_to_all(packet);
    if (i % 20 == 0) world_.step();
  }
  world_.run_for(1000);
  EXPECT_EQ(cluster().node(0).messenger().counters().dropped_total() - before, 5000U);
  expect_unharmed();
}

TEST_F(Hostile, a_flipped_bit_in_a_real_packet_is_dropped_and_counted) {
  const auto before = cluster().node(0).messenger().counters().dropped_total();
  const std::vector<Sent> seen = sent_;
  std::size_t count = 0;
  for (const Sent& sent : seen) {
    if (sent.to != Cluster::endpoint_of(0)) continue;
    sim::Datagram packet = sent.packet;
    packet[prng_.below(packet.size())] ^= static_cast<std::byte>(1U << prng_.below(8));
    network().inject(sent.from, sent.to, packet);
    if (++count % 20 == 0) world_.step();
  }
  world_.run_for(1000);
  ASSERT_GT(count, 50U);
  EXPECT_EQ(cluster().node(0).messenger().counters().dropped_total() - before, count);
  expect_unharmed();
}

TEST_F(Hostile, packets_of_another_cluster_are_dropped_and_counted) {
  resend_changed(true, [](wire::PacketHeader& header) { header.cluster = wire::cluster_id("other"); });
  EXPECT_GT(dropped(0, PacketFault::other_cluster), 10U);
  expect_unharmed();
}

TEST_F(Hostile, packets_of_another_version_are_dropped_and_counted) {
  resend_changed(true, [](wire::PacketHeader& header) { ++header.version; });
  EXPECT_GT(dropped(0, PacketFault::bad_version), 10U);
  expect_unharmed();
}

TEST_F(Hostile, packets_of_another_group_are_dropped_and_counted) {
  resend_changed(true, [](wire::PacketHeader& header) { header.group = GroupId(7); });
  EXPECT_GT(dropped(0, PacketFault::other_group), 10U);
  expect_unharmed();
}

TEST_F(Hostile, packets_for_another_replica_are_dropped_and_counted) {
  resend_changed(true, [](wire::PacketHeader& header) { header.destination = ReplicaId(9); });
  EXPECT_GT(dropped(0, PacketFault::other_destination), 10U);
  expect_unharmed();
}

TEST_F(Hostile, messages_of_replicas_from_a_client_are_dropped_and_counted) {
  const auto before = dropped(0, PacketFault::bad_type);
  resend_changed(true, [](wire::PacketHeader& header) { header.source = ReplicaId{}; });
  EXPECT_GT(dropped(0, PacketFault::bad_type), before + 10);
  expect_unharmed();
}

TEST_F(Hostile, answers_sent_to_a_replica_are_counted) {
  const auto before = cluster().node(0).counters().bad_messages;
  for (const MessageType type : {MessageType::session_opened, MessageType::appended, MessageType::refused,
                                 MessageType::tail_answer, MessageType::read_answer, MessageType::status_answer}) {
    EXPECT_FALSE(ask(0, type, bytes_of(wire::Refused{})));
  }
  EXPECT_EQ(cluster().node(0).counters().bad_messages - before, 6U);
  expect_unharmed();
}

// A disk that was lost and formatted again has forgotten its votes.
TEST_F(Hostile, another_disk_under_a_members_id_is_refused) {
  const auto refused = [&] { return cluster().node(0).engine().counters().refused_identity; };
  const auto before = refused();
  const Ballot promised = cluster().node(leader()).engine().promised();
  const std::size_t count = resend_changed(true, [](wire::PacketHeader& header) {
    header.incarnation.disk.bytes[3] ^= std::byte{1};
    header.ballot = Ballot(1'000'000, header.source);
  });
  ASSERT_GT(count, 50U);
  EXPECT_GT(refused(), before + 10);
  EXPECT_EQ(cluster().node(leader()).engine().promised(), promised);
  expect_unharmed();
}

TEST_F(Hostile, what_a_member_sent_before_it_restarted_is_refused) {
  const std::vector<Sent> old = sent_;
  for (std::size_t place = 0; place < cluster().size(); ++place) cluster().stop(place);
  for (std::size_t place = 0; place < cluster().size(); ++place) cluster().start(place);
  append(3);
  const std::size_t place = leader();  // it has heard of both others since
  const auto before = cluster().node(place).engine().counters().refused_identity;
  std::size_t count = 0;
  for (const Sent& sent : old) {
    if (sent.from.address != 1 || sent.to != Cluster::endpoint_of(place)) continue;
    network().inject(sent.from, sent.to, sent.packet);
    // (A question about its disk is answered whatever its open count: it may be an old image's, see consensus/witness.h.)
    if (load<wire::PacketHeader>(sent.packet).type == wire::MessageType::hello) continue;
    if (++count % 20 == 0) world_.step();
  }
  world_.run_for(1000);
  ASSERT_GT(count, 20U);
  EXPECT_GE(cluster().node(place).engine().counters().refused_identity, before + count);
  expect_unharmed();
}

TEST_F(Hostile, old_packets_that_come_again_change_nothing) {
  const std::vector<Sent> seen = sent_;
  for (int i = 0; i < 5000; ++i) {
    const Sent& sent = seen[prng_.below(seen.size())];
    network().inject(sent.from, sent.to, sent.packet);
    if (i % 20 == 0) world_.step();
  }
  expect_unharmed();
}

// Its pairs attach one by one; requests for what it holds may come by another way before.
TEST_F(Hostile, a_peer_that_asks_before_there_is_a_way_to_it_gets_no_answer_and_does_no_harm) {
  dataplane::LocalIdentity local = cluster().node(1).messenger().local();
  cluster().stop(0);
  cluster().start(0, false);
  // Replica 2 asks replica 1 to catch up, through a port that replica 1 has for clients.
  dataplane::Messenger peer(local, {});
  sim::Port port(network(), {3, 9});
  peer.add_port(dataplane::PortRef(port));
  std::array<std::byte, wire::encode_scratch_bytes> scratch{};
  const auto encoded = wire::encode_peer_payload(wire::CatchUp{Slot(1), Slot(10)}, scratch);
  wire::PacketHeader header;
  header.type = encoded.type;
  header.destination = ReplicaId(1);
  for (int i = 0; i < 5; ++i) {
    peer.send({0, Cluster::endpoint_of(0)}, header, encoded.head);
    world_.run_for(2000);
  }
  cluster().stop(0);
  cluster().start(0);
  expect_unharmed();
}

TEST_F(Hostile, an_append_of_an_unknown_session_is_answered_evicted) {
  const wire::Append append{.session = wire::session_id(Slot(1), 5), .first = Sequence(1), .count = 1};
  expect_refused(RefusalReason::evicted, leader(), MessageType::append, append, entries_of(1, 10));
  expect_unharmed();
}

// Somebody else may lead by now and have opened it: no word on its fate.
TEST_F(Hostile, an_append_of_a_session_from_beyond_the_commit_watermark_is_answered_busy) {
  const wire::Append append{.session = wire::session_id(Slot(1'000'000), 0), .first = Sequence(1), .count = 1};
  expect_refused(RefusalReason::busy, leader(), MessageType::append, append, entries_of(1, 10));
  expect_unharmed();
}

TEST_F(Hostile, an_append_far_ahead_is_answered_with_the_sequence_that_is_missing) {
  for (const std::uint64_t first : {std::uint64_t{1000}, std::numeric_limits<std::uint64_t>::max()}) {
    const wire::Append append{.session = writer_.session().id(), .first = Sequence(first), .count = 2};
    expect_refused(RefusalReason::gap, leader(), MessageType::append, append, entries_of(2, 0));
    EXPECT_EQ(last_refused_.sequence, Sequence(entries_ + 1));
  }
  expect_unharmed();
}

TEST_F(Hostile, an_append_with_a_count_that_its_entries_do_not_have_is_malformed) {
  for (const std::uint32_t count : {0U, 1U, 3U, 8193U, 0xFFFFFFFFU}) {
    const wire::Append append{.session = writer_.session().id(), .first = Sequence(1000), .count = count};
    expect_refused(RefusalReason::malformed, leader(), MessageType::append, append, entries_of(2, 5));
  }
  expect_unharmed();
}

TEST_F(Hostile, an_append_of_more_entries_than_a_body_holds_is_malformed) {
  const wire::Append append{.session = writer_.session().id(), .first = Sequence(entries_ + 1), .count = 8193};
  expect_refused(RefusalReason::malformed, leader(), MessageType::append, append, entries_of(8193, 0));
  expect_unharmed();
}

TEST_F(Hostile, an_append_with_sequence_zero_is_malformed) {
  const wire::Append append{.session = writer_.session().id(), .first = Sequence(0), .count = 1};
  expect_refused(RefusalReason::malformed, leader(), MessageType::append, append, entries_of(1, 5));
  expect_unharmed();
}

TEST_F(Hostile, an_entry_beyond_the_limit_is_refused_as_too_large) {
  const wire::Append append{.session = writer_.session().id(), .first = Sequence(entries_ + 1), .count = 1};
  expect_refused(RefusalReason::too_large, leader(), MessageType::append, append, entries_of(1, entry_bytes_max + 1));
  EXPECT_EQ(last_refused_.sequence, append.first);
  expect_unharmed();
}

TEST_F(Hostile, an_acknowledgement_level_of_the_future_is_refused_as_unsupported) {
  const wire::Append append{
      .session = writer_.session().id(), .first = Sequence(entries_ + 1), .count = 1, .ack = static_cast<wire::AckLevel>(5)};
  expect_refused(RefusalReason::unsupported, leader(), MessageType::append, append, entries_of(1, 5));
  EXPECT_EQ(last_refused_.sequence, append.first);
  expect_unharmed();
}

TEST_F(Hostile, a_request_of_the_wrong_length_is_malformed) {
  for (const MessageType type :
       {MessageType::open_session, MessageType::tail, MessageType::read, MessageType::trim, MessageType::status}) {
    expect_refused(RefusalReason::malformed, leader(), type, wire::Tail{77}, entries_of(1, 3));
  }
  expect_unharmed();
}

TEST_F(Hostile, a_read_of_nothing_is_malformed) {
  expect_refused(RefusalReason::malformed, 0, MessageType::read, wire::Read{.request = 5, .from = Lsn(7), .to = Lsn(7)});
  expect_refused(RefusalReason::malformed, 0, MessageType::read, wire::Read{.request = 6, .from = Lsn(8), .to = Lsn(7)});
  expect_unharmed();
}

TEST_F(Hostile, a_read_beyond_the_tail_is_answered_with_the_tail) {
  constexpr auto last = std::numeric_limits<std::uint64_t>::max();
  for (const std::uint64_t from : {std::uint64_t{entries_}, std::uint64_t{1} << 63, last - 1}) {
    const wire::Read read{.request = from, .from = Lsn(from), .to = Lsn(last), .bytes_max = 0xFFFFFFFF};
    const auto answer = ask(leader(), MessageType::read, bytes_of(read));
    ASSERT_TRUE(answer);
    const auto view = wire::decode_read_answer(answer->payload);
    ASSERT_TRUE(view);
    EXPECT_EQ(view->header.request, from);
    EXPECT_EQ(view->header.count, 0U);
    EXPECT_EQ(view->header.tail, Lsn(entries_));
  }
  expect_unharmed();
}

TEST_F(Hostile, a_read_without_room_for_an_entry_brings_one_all_the_same) {
  const wire::Read read{.request = 9, .from = Lsn(0), .to = Lsn(std::numeric_limits<std::uint64_t>::max()), .bytes_max = 0};
  const auto answer = ask(leader(), MessageType::read, bytes_of(read));
  ASSERT_TRUE(answer);
  const auto view = wire::decode_read_answer(answer->payload);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->header.count, 1U);
  expect_unharmed();
}

TEST_F(Hostile, each_of_many_tail_requests_at_once_is_answered_or_refused) {
  std::vector<std::vector<std::byte>> requests;
  for (std::uint64_t i = 0; i < 3000; ++i) {
    const auto bytes = bytes_of(i);
    requests.emplace_back(bytes.begin(), bytes.end());
  }
  EXPECT_EQ(ask_many(leader(), MessageType::tail, requests).size(), requests.size());
  expect_unharmed();
}

TEST_F(Hostile, each_of_many_reads_at_once_is_answered_or_refused) {
  std::vector<std::vector<std::byte>> requests;
  for (std::uint64_t i = 0; i < 3000; ++i) {
    const wire::Read read{.request = i, .from = Lsn(i % entries_), .to = Lsn(entries_), .bytes_max = 1000};
    const auto bytes = bytes_of(read);
    requests.emplace_back(bytes.begin(), bytes.end());
  }
  EXPECT_EQ(ask_many(leader(), MessageType::read, requests).size(), requests.size());
  expect_unharmed();
}

TEST_F(Hostile, a_client_without_a_uuid_gets_its_session) {
  dataplane::LocalIdentity local{wire::cluster_id("test"), GroupId{}, ReplicaId{}, {}};
  messenger_ = std::make_unique<dataplane::Messenger>(local, dataplane::MessengerLimits{});
  messenger_->add_port(dataplane::PortRef(port_));
  const auto answer = ask(leader(), MessageType::open_session, bytes_of(wire::OpenSession{3}));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->header.type, MessageType::session_opened);
  expect_unharmed();
}

// Every client message, damaged anywhere and sealed as if it were right.
TEST_F(Hostile, damaged_requests_with_right_checksums_do_no_harm) {
  for (int i = 0; i < 4000; ++i) {
    static constexpr MessageType types[] = {MessageType::open_session, MessageType::append, MessageType::tail, MessageType::read,
                                            MessageType::status};
    const MessageType type = types[prng_.below(std::size(types))];
    std::vector<std::byte> payload(prng_.below(80));
    for (std::byte& byte : payload) byte = prng_.chance(2, 3) ? std::byte{0} : static_cast<std::byte>(prng_.next());
    // Nobody's session: what is appended to the writer's own would rightly be in the log.
    if (type == MessageType::append && payload.size() >= 8) store(MutableBytes(payload), ~std::uint64_t{0} - 5);
    if (type == MessageType::open_session && !prng_.chance(1, 20)) continue;
    wire::PacketHeader header;
    header.type = type;
    const std::size_t place = prng_.below(3);
    header.destination = Cluster::id_of(place);
    messenger_->send({0, Cluster::endpoint_of(place)}, header, payload);
    if (i % 10 == 0) world_.step();
    messenger_->poll([](const dataplane::Message&) {});
  }
  expect_unharmed();
}

}  // namespace
}  // namespace synod::replica::test
