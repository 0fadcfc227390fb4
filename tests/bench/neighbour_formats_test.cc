// What the adapters of neighbours read from sockets: whole, in pieces, cut off, and garbage.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/prng.h"
#include "bench/neighbours/grpc.h"
#include "bench/neighbours/nats_protocol.h"
#include "bench/neighbours/protobuf.h"
#include "tests/seed.h"

namespace synod::bench {
namespace {

using Kind = NatsOperation::Kind;

std::string text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::vector<std::byte> random_bytes(Prng& prng, std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(prng.next());
  return bytes;
}

constexpr std::string_view conversation = R"(INFO {"version":"2.9.10"})"
                                          "\r\n"
                                          "MSG _INBOX.a.7 1 5\r\nhello\r\n"
                                          "PING\r\n"
                                          "MSG _INBOX.a.8 1 some.reply 2\r\n\r\n\r\n"
                                          "HMSG _INBOX.a.9 1 16 19\r\nNATS/1.0 503\r\n\r\nabc\r\n"
                                          "PONG\r\n";

void expect_conversation(const std::vector<std::string>& seen) {
  const std::vector<std::string> expected{R"(info: {"version":"2.9.10"})",
                                          "_INBOX.a.7||hello",
                                          "ping",
                                          "_INBOX.a.8||\r\n",
                                          "_INBOX.a.9|NATS/1.0 503\r\n\r\n|abc",
                                          "other"};
  EXPECT_EQ(seen, expected);
}

void take_all(NatsParser& parser, std::vector<std::string>& seen) {
  while (true) {
    const auto operation = parser.next();
    ASSERT_TRUE(operation) << operation.error().text;
    if (!*operation) return;
    switch ((*operation)->kind) {
      case Kind::info: seen.push_back("info:" + text_of((*operation)->payload)); break;
      case Kind::ping: seen.emplace_back("ping"); break;
      case Kind::other: seen.emplace_back("other"); break;
      case Kind::message:
        seen.push_back(std::string((*operation)->subject) + "|" + text_of((*operation)->headers) + "|" +
                       text_of((*operation)->payload));
        break;
    }
  }
}

TEST(NatsParser, reads_a_conversation_in_one_piece) {
  NatsParser parser;
  parser.feed(bytes_of(conversation));
  std::vector<std::string> seen;
  take_all(parser, seen);
  expect_conversation(seen);
}

TEST(NatsParser, reads_a_conversation_that_comes_byte_by_byte) {
  NatsParser parser;
  std::vector<std::string> seen;
  for (std::size_t i = 0; i < conversation.size(); ++i) {
    parser.feed(bytes_of(conversation.substr(i, 1)));
    take_all(parser, seen);
  }
  expect_conversation(seen);
}

TEST(NatsParser, refuses_what_is_no_nats) {
  for (const std::string_view text :
       {"HTTP/1.1 400 Bad Request\r\n", "-ERR 'Slow Consumer'\r\n", "\r\n", "MSG\r\n", "MSG a 1\r\n", "MSG a 1 x\r\n",
        "MSG a 1 -5\r\n", "MSG a 1 99999999999999999999999\r\n", "MSG a 1 99999999\r\n", "MSG a 1 b c 2\r\nxx\r\n",
        "MSG a b c d e f g 2\r\nxx\r\n", "HMSG a 1 2\r\nxx\r\n", "HMSG a 1 3 2\r\nxx\r\n", "MSG a 1 2\r\nxxxx\r\n",
        "MSG a 1 2\r\nxx\n\r"}) {
    NatsParser parser;
    parser.feed(bytes_of(text));
    EXPECT_FALSE(parser.next()) << text;
  }
}

TEST(NatsParser, gives_up_on_a_line_without_end) {
  NatsParser parser;
  const std::vector<std::byte> letters(NatsParser::line_bytes_max, std::byte{'a'});
  parser.feed(Bytes(letters).first(letters.size() - 1));
  EXPECT_TRUE(parser.next());
  parser.feed(Bytes(letters).first(1));
  EXPECT_FALSE(parser.next());
}

// Damage somewhere in a conversation: any end is fine, but for a crash, or an operation beyond the bytes (seen by the
// sanitizers).
TEST(NatsParser, RandomDamageIsSurvived) {
  Prng prng(first_seed());
  for (int round = 0; round < 5000; ++round) {
    std::string text(conversation);
    for (std::uint64_t i = 0; i <= prng.next() % 4; ++i) text[prng.next() % text.size()] = static_cast<char>(prng.next());
    text.resize(prng.next() % (text.size() + 1));
    NatsParser parser;
    parser.feed(bytes_of(text));
    std::size_t bytes = 0;
    for (auto operation = parser.next(); operation && *operation; operation = parser.next()) {
      bytes += (*operation)->subject.size() + (*operation)->payload.size() + (*operation)->headers.size();
    }
    EXPECT_LE(bytes, text.size());
  }
}

TEST(Nats, finds_the_place_in_an_acknowledgement) {
  EXPECT_EQ(nats_place(bytes_of(R"({"stream":"SYNOD", "seq":17})")), 17U);
  EXPECT_EQ(nats_place(bytes_of(R"({"stream":"SYNOD","seq":18,"duplicate":true})")), 18U);
  for (const std::string_view text :
       {"", "{}", R"({"seq":0})", R"({"seq":)", R"({"seq":-1})", R"({"seq":"1"})", R"({"seq":99999999999999999999999})",
        R"({"error":{"code":503,"description":"no"},"stream":"SYNOD","seq":1})"}) {
    EXPECT_EQ(nats_place(bytes_of(text)), std::nullopt) << text;
  }
}

TEST(Nats, finds_the_slot_in_a_subject) {
  EXPECT_EQ(nats_slot("_INBOX.abc.1023"), 1023U);
  for (const std::string_view text : {"", "abc", "abc.", "abc.x", "abc.-1", "abc.4294967296"})
    EXPECT_EQ(nats_slot(text), std::nullopt) << text;
}

TEST(Base64, is_read_and_garbage_refused) {
  EXPECT_EQ(text_of(*from_base64("")), "");
  EXPECT_EQ(text_of(*from_base64("aA==")), "h");
  EXPECT_EQ(text_of(*from_base64("aGk=")), "hi");
  EXPECT_EQ(text_of(*from_base64("aGV5")), "hey");
  EXPECT_EQ(from_base64("aG-5"), std::nullopt);
  EXPECT_EQ(from_base64("aG=5"), std::nullopt);
}

std::vector<std::byte> example_message() {
  std::vector<std::byte> inner;
  ProtobufWriter(inner).put(3, 1ULL << 40U);
  std::vector<std::byte> message;
  ProtobufWriter writer(message);
  writer.put(1, inner);
  writer.put(2, bytes_of(std::string_view("synod")));
  writer.put(300, ~0ULL);
  return message;
}

TEST(Protobuf, reads_what_it_writes) {
  const std::vector<std::byte> message = example_message();
  EXPECT_EQ(ProtobufReader::find(ProtobufReader::find(message, 1).bytes, 3).value, 1ULL << 40U);
  EXPECT_EQ(text_of(ProtobufReader::find(message, 2).bytes), "synod");
  EXPECT_EQ(ProtobufReader::find(message, 300).value, ~0ULL);
  EXPECT_EQ(ProtobufReader::find(message, 4).value, 0U);
}

TEST(Protobuf, ends_where_a_message_was_cut_off) {
  const std::vector<std::byte> message = example_message();
  for (std::size_t size = 0; size < message.size(); ++size) {
    ProtobufReader reader(Bytes(message).first(size));
    int fields = 0;
    while (reader.next()) ++fields;
    EXPECT_LT(fields, 3) << size;
  }
}

TEST(Protobuf, RandomBytesAreSurvived) {
  Prng prng(first_seed());
  for (int round = 0; round < 20'000; ++round) {
    const std::vector<std::byte> bytes = random_bytes(prng, prng.next() % 64);
    ProtobufReader reader(bytes);
    std::size_t sum = 0;
    while (const auto field = reader.next()) sum += field->bytes.size();
    EXPECT_LE(sum, bytes.size());
  }
}

TEST(Grpc, takes_one_whole_message_only) {
  const auto frame = [](std::vector<std::uint8_t> bytes) { return bytes; };
  const auto message = [](const std::vector<std::uint8_t>& bytes) { return grpc_message(std::as_bytes(std::span(bytes))); };
  EXPECT_EQ(message(frame({0, 0, 0, 0, 0}))->size(), 0U);
  EXPECT_EQ(text_of(*message(frame({0, 0, 0, 0, 2, 'h', 'i'}))), "hi");
  EXPECT_FALSE(message(frame({})));
  EXPECT_FALSE(message(frame({0, 0, 0, 0})));
  EXPECT_FALSE(message(frame({1, 0, 0, 0, 2, 'h', 'i'}))) << "compressed";
  EXPECT_FALSE(message(frame({0, 0, 0, 0, 3, 'h', 'i'})));
  EXPECT_FALSE(message(frame({0, 255, 255, 255, 255, 'h', 'i'})));
  EXPECT_FALSE(message(frame({0, 0, 0, 0, 1, 'h', 'i'})));
}

// A server that speaks garbage, or begins like HTTP/2 and goes on with garbage.
TEST(Grpc, RandomServersAreSurvived) {
  Prng prng(first_seed());
  const storage::Descriptor listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof(address);
  ASSERT_EQ(::bind(listener.fd(), reinterpret_cast<const sockaddr*>(&address), bytes), 0);
  ASSERT_EQ(::getsockname(listener.fd(), reinterpret_cast<sockaddr*>(&address), &bytes), 0);
  ASSERT_EQ(::listen(listener.fd(), 8), 0);
  for (int round = 0; round < 200; ++round) {
    auto channel = GrpcChannel::open(::ntohs(address.sin_port), 4);
    ASSERT_TRUE(channel);
    const storage::Descriptor server(::accept(listener.fd(), nullptr, nullptr));
    (*channel)->call(0, "/a.B/C", bytes_of(std::string_view("hello")));
    std::vector<std::byte> said;
    const std::vector<std::uint8_t> settings{0, 0, 0, 4, 0, 0, 0, 0, 0};
    if (round % 2 == 0)
      said.insert(said.end(), std::as_bytes(std::span(settings)).begin(), std::as_bytes(std::span(settings)).end());
    const std::vector<std::byte> garbage = random_bytes(prng, 1 + prng.next() % 200);
    said.insert(said.end(), garbage.begin(), garbage.end());
    ASSERT_EQ(::send(server.fd(), said.data(), said.size(), MSG_NOSIGNAL), static_cast<ssize_t>(said.size()));
    ASSERT_EQ(::shutdown(server.fd(), SHUT_WR), 0);
    std::vector<GrpcAnswer> answers;
    Result<> turned;
    while ((turned = (*channel)->turn(answers))) {
    }
    EXPECT_FALSE(turned.error().text.empty());
    for (const GrpcAnswer& answer : answers) EXPECT_FALSE(answer.is_ok);
  }
}

}  // namespace
}  // namespace synod::bench
