#include "dataplane/frame.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/prng.h"
#include "dataplane/neighbours.h"
#include "tests/seed.h"

namespace synod::dataplane {
namespace {

constexpr Mac mac_a{0x02, 0, 0, 0, 0, 0x0A};
constexpr Mac mac_b{0x02, 0, 0, 0, 0, 0x0B};
constexpr Endpoint a{0x0A000001, 7400};
constexpr Endpoint b{0x0A000002, 7401};

std::vector<std::byte> from_hex(std::string_view text) {
  std::vector<std::byte> bytes;
  std::string digits;
  for (const char c : text) {
    if (c != ' ') digits.push_back(c);
  }
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(digits.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

std::vector<std::byte> frame_of(std::string_view payload, UdpChecksum checksum = UdpChecksum::software) {
  std::vector<std::byte> frame(frame_header_bytes + payload.size());
  copy(MutableBytes(frame).subspan(frame_header_bytes), bytes_of(payload));
  FrameWriter(mac_a, a, checksum).write(frame, mac_b, b);
  return frame;
}

// Computed by hand from the RFCs (and by an independent script), not by this code.
TEST(Frame, GoldenBytesOfAUdpFrame) {
  EXPECT_EQ(frame_of("synod"), from_hex("02000000000b 02000000000a 0800"
                                        "4500 0021 0000 4000 40 11 26ca 0a000001 0a000002"
                                        "1ce8 1ce9 000d 6c17 73796e6f64"));
}

TEST(Frame, AUdpChecksumOfZeroIsWrittenAsAllOnes) {
  // The payload's two bytes make the sum all ones.
  std::vector<std::byte> frame(frame_header_bytes + 2);
  const FrameWriter writer(mac_a, a, UdpChecksum::software);
  writer.write(frame, mac_b, b);
  frame[42] = frame[40];
  frame[43] = frame[41];
  writer.write(frame, mac_b, b);
  EXPECT_EQ(frame[40], std::byte{0xFF});
  EXPECT_EQ(frame[41], std::byte{0xFF});
}

TEST(Frame, WithoutAUdpChecksumTheFieldIsZero) {
  const auto frame = frame_of("synod", UdpChecksum::none);
  EXPECT_EQ(frame[40], std::byte{0});
  EXPECT_EQ(frame[41], std::byte{0});
  EXPECT_TRUE(parse_frame(frame, b));
}

TEST(Frame, APayloadThatEndsInABufferOfItsOwnHasTheSameHeaders) {
  for (const auto checksum : {UdpChecksum::none, UdpChecksum::software, UdpChecksum::pseudo_header}) {
    const std::string payload = "a header, and a body of an odd length";
    const auto whole = frame_of(payload, checksum);
    std::vector<std::byte> front(whole.begin(), whole.begin() + frame_header_bytes + 10);
    FrameWriter(mac_a, a, checksum).write(front, mac_b, b, Bytes(whole).subspan(front.size()));
    EXPECT_TRUE(std::ranges::equal(front, Bytes(whole).first(front.size())));
  }
}

TEST(Frame, WhatIsWrittenIsReadForEveryLength) {
  const std::uint64_t seed = first_seed();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  std::string payload;
  for (std::size_t bytes = 0; bytes <= 1472; bytes += 1 + prng.below(7)) {
    payload.resize(bytes, 'x');
    for (char& c : payload) c = static_cast<char>(prng.next());
    const auto bytes_written = frame_of(payload);
    const auto frame = parse_frame(bytes_written, b);
    ASSERT_TRUE(frame) << name(frame.error());
    EXPECT_EQ(frame->kind, FrameKind::udp);
    EXPECT_EQ(frame->from, a);
    EXPECT_EQ(frame->source, mac_a);
    EXPECT_TRUE(std::equal(frame->payload.begin(), frame->payload.end(), bytes_of(payload).begin(), bytes_of(payload).end()));
  }
}

TEST(Frame, PaddingBehindTheDatagramIsNotPayload) {
  auto frame = frame_of("synod");
  frame.resize(60);
  EXPECT_EQ(parse_frame(frame, b)->payload.size(), 5U);
}

// One byte changed, and the header checksum made right again if asked, so that only the fault in question is there.
FrameFault fault_of(std::vector<std::byte> frame, std::size_t at, std::uint8_t value, bool mend = true) {
  frame[at] = static_cast<std::byte>(value);
  if (mend) {
    frame[24] = frame[25] = std::byte{0};
    std::uint32_t sum = 0;
    for (std::size_t i = 14; i < 34; i += 2)
      sum += static_cast<std::uint32_t>(frame[i]) << 8 | static_cast<std::uint32_t>(frame[i + 1]);
    while (sum > 0xFFFF) sum = (sum & 0xFFFF) + (sum >> 16);
    frame[24] = static_cast<std::byte>(~sum >> 8);
    frame[25] = static_cast<std::byte>(~sum);
  }
  const auto parsed = parse_frame(frame, b);
  return parsed ? FrameFault::count_ : parsed.error();
}

TEST(Frame, EachFaultHasItsReason) {
  const auto frame = frame_of("synod");
  EXPECT_EQ(fault_of(frame, 13, 0xDD), FrameFault::not_ip) << "IPv6";
  EXPECT_EQ(fault_of(frame, 14, 0x65), FrameFault::not_ip);
  EXPECT_EQ(fault_of(frame, 14, 0x44), FrameFault::bad_length) << "a header of 16 bytes";
  EXPECT_EQ(fault_of(frame, 17, 0x22), FrameFault::bad_length) << "longer than the frame";
  EXPECT_EQ(fault_of(frame, 17, 0x1B), FrameFault::bad_length) << "no room for UDP";
  EXPECT_EQ(fault_of(frame, 20, 0x20), FrameFault::fragmented) << "more fragments";
  EXPECT_EQ(fault_of(frame, 21, 0x01), FrameFault::fragmented) << "an offset";
  EXPECT_EQ(fault_of(frame, 23, 6), FrameFault::not_udp);
  EXPECT_EQ(fault_of(frame, 25, 0, false), FrameFault::bad_checksum);
  EXPECT_EQ(fault_of(frame, 33, 3), FrameFault::not_ours) << "another address";
  EXPECT_EQ(fault_of(frame, 37, 3), FrameFault::not_ours) << "another port";
  EXPECT_EQ(fault_of(frame, 39, 7), FrameFault::bad_length) << "UDP shorter than its header";
  EXPECT_EQ(fault_of(frame, 39, 14), FrameFault::bad_length) << "UDP longer than its datagram";
}

TEST(Frame, RandomAndCutFramesNeverReachBeyondTheirBytes) {
  const std::uint64_t seed = first_seed();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  const auto valid = frame_of("a payload that is long enough to be cut");
  for (int i = 0; i < 100'000; ++i) {
    std::vector<std::byte> frame(valid.begin(), valid.begin() + static_cast<std::ptrdiff_t>(prng.below(valid.size() + 1)));
    for (std::uint64_t changes = prng.below(4); changes > 0 && !frame.empty(); --changes) {
      frame[prng.below(frame.size())] = static_cast<std::byte>(prng.next());
    }
    const auto parsed = parse_frame(frame, b);
    if (!parsed || parsed->kind != FrameKind::udp) continue;
    EXPECT_GE(parsed->payload.data(), frame.data());
    EXPECT_LE(parsed->payload.data() + parsed->payload.size(), frame.data() + frame.size());
  }
}

TEST(Arp, GoldenBytesOfARequestAndItsReply) {
  std::vector<std::byte> request(arp_frame_bytes);
  ASSERT_EQ(write_arp_request(request, mac_a, a.address, b.address), arp_frame_bytes);
  EXPECT_EQ(request, from_hex("ffffffffffff 02000000000a 0806 0001 0800 06 04 0001"
                              "02000000000a 0a000001 000000000000 0a000002" +
                              std::string(36, '0')));
  const auto asked = parse_frame(request, b);
  ASSERT_TRUE(asked);
  EXPECT_EQ(asked->kind, FrameKind::arp_request);
  std::vector<std::byte> reply(arp_frame_bytes);
  ASSERT_EQ(write_arp_reply(reply, mac_b, b.address, asked->source, asked->from.address), arp_frame_bytes);
  EXPECT_EQ(reply, from_hex("02000000000a 02000000000b 0806 0001 0800 06 04 0002"
                            "02000000000b 0a000002 02000000000a 0a000001" +
                            std::string(36, '0')));
  const auto answered = parse_frame(reply, a);
  ASSERT_TRUE(answered);
  EXPECT_EQ(answered->kind, FrameKind::arp_reply);
  EXPECT_EQ(answered->source, mac_b);
  EXPECT_EQ(answered->from.address, b.address);
  EXPECT_EQ(parse_frame(request, a).error(), FrameFault::not_ours);
}

TEST(Ping, GoldenBytesOfTheReply) {
  const auto request = from_hex(
      "02000000000b 02000000000a 0800"
      "4500 0020 0000 4000 40 01 26db 0a000001 0a000002"
      "0800 192d 0001 0001 70696e67");
  const auto frame = parse_frame(request, b);
  ASSERT_TRUE(frame) << name(frame.error());
  ASSERT_EQ(frame->kind, FrameKind::echo_request);
  std::vector<std::byte> reply(request.size());
  EXPECT_EQ(write_echo_reply(reply, request, mac_b), request.size());
  EXPECT_EQ(reply, from_hex("02000000000a 02000000000b 0800"
                            "4500 0020 0000 4000 40 01 26db 0a000002 0a000001"
                            "0000 212d 0001 0001 70696e67"));
}

TEST(Neighbours, AnUnknownOneIsAskedForAtMostOnceAnInterval) {
  Neighbours neighbours;
  EXPECT_EQ(neighbours.find(7).mac, nullptr);
  EXPECT_TRUE(neighbours.may_ask(7, 1000));
  EXPECT_FALSE(neighbours.may_ask(7, 1001));
  EXPECT_TRUE(neighbours.may_ask(8, 1001)) << "each address for itself";
  EXPECT_TRUE(neighbours.may_ask(7, 1000 + Neighbours::ask_interval_ns));
}

TEST(Neighbours, ASilentOneIsDoubtedAndStillUsed) {
  Neighbours neighbours;
  neighbours.learn(7, mac_a);
  for (std::uint32_t i = 1; i < Neighbours::sends_before_doubt; ++i) ASSERT_FALSE(neighbours.find(7).doubtful);
  EXPECT_TRUE(neighbours.find(7).doubtful);
  EXPECT_EQ(*neighbours.find(7).mac, mac_a);
  neighbours.learn(7, mac_b);
  EXPECT_FALSE(neighbours.find(7).doubtful);
  EXPECT_EQ(*neighbours.find(7).mac, mac_b);
}

TEST(Neighbours, AFullTableForgetsTheOldest) {
  Neighbours neighbours;
  for (std::uint32_t address = 1; address <= Neighbours::capacity + 1; ++address) neighbours.learn(address, mac_a);
  EXPECT_NE(neighbours.find(Neighbours::capacity + 1).mac, nullptr);
  EXPECT_NE(neighbours.find(2).mac, nullptr);
  EXPECT_EQ(neighbours.find(1).mac, nullptr);
}

}  // namespace
}  // namespace synod::dataplane
