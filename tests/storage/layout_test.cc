// Golden bytes: what stands in docs/FORMATS.md, byte for byte.
#include "storage/layout.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace synod::storage {
namespace {

std::string hex(Bytes bytes) {
  std::string text;
  for (const std::byte byte : bytes) text += fmt::format("{:02x}", static_cast<unsigned>(byte));
  return text;
}

Uuid example_uuid() {
  Uuid uuid;
  for (std::size_t i = 0; i < uuid.bytes.size(); ++i) uuid.bytes[i] = static_cast<std::byte>(0xA0 + i);
  return uuid;
}

Superblock example_superblock() {
  return seal({.replica = ReplicaId(2),
               .members = 3,
               .number = 5,
               .cluster = ClusterId(0x1122334455667788),
               .disk = example_uuid(),
               .open_count = 4,
               .durable_sequence = 9,
               .segment_bytes = 64U << 20,
               .segments = 16});
}

BlockHeader example_header() {
  return seal({.cluster = ClusterId(0x1122334455667788),
               .disk = example_uuid(),
               .open_count = 4,
               .offset = segments_offset + 8192,
               .segment = 0,
               .sequence = 11,
               .durable_sequence = 9,
               .previous = 0x0102030405060708,
               .promised = Ballot(6, ReplicaId(3)),
               .commit = Slot(70),
               .highest = Slot(75),
               .checkpoint_sequence = 7,
               .checkpoint_offset = segments_offset + 4096,
               .written_s = 1'800'000'000,
               .payload_bytes = 32,
               .record_count = 1,
               .first_segment = 3,
               .unbounded = 1,
               .heard = {Position{1, 2}, Position{4, 10}},
               .payload_checksum = 0xCAFEF00D});
}

TEST(Layout, a_superblock_has_these_bytes) {
  const Superblock superblock = example_superblock();
  EXPECT_EQ(hex(bytes_of(superblock).first(80)),
            "53594e4f444a4e4c"                  // magic
            "0200020003000000"                  // version, replica, members
            "0500000000000000"                  // number
            "8877665544332211"                  // cluster
            "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"  // disk
            "0400000000000000"                  // open count
            "0900000000000000"                  // durable sequence
            "0000000400000000"                  // segment bytes
            "1000000000100000"                  // segments, block bytes
  );
  EXPECT_TRUE(is_zero(bytes_of(superblock).subspan(80, 428)));
  EXPECT_EQ(hex(bytes_of(superblock).subspan(508)), "61e2561d");
}

TEST(Layout, a_block_header_has_these_bytes) {
  EXPECT_EQ(hex(bytes_of(example_header())),
            "53594e4202000000"                  // magic, version, kind
            "8877665544332211"                  // cluster
            "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"  // disk
            "0400000000000000"                  // open count
            "0020010000000000"                  // offset
            "0000000001000000"                  // segment, generation
            "0b00000000000000"                  // sequence
            "0900000000000000"                  // durable sequence
            "0807060504030201"                  // previous
            "0300060000000000"                  // promised
            "4600000000000000"                  // commit
            "4b00000000000000"                  // highest
            "0700000000000000"                  // checkpoint: sequence
            "0010010000000000"                  // and offset
            "00d2496b00000000"                  // written
            "2000000001000000"                  // payload bytes, record count
            "0300000001000000"                  // first segment, unbounded
            "01000000000000000200000000000000"  // heard of place 0
            "04000000000000000a00000000000000"  // of place 1
            "00000000000000000000000000000000"
            "00000000000000000000000000000000"
            "00000000000000000000000000000000"
            "00000000000000000000000000000000"
            "00000000000000000000000000000000"
            "0000000000000000"                  // next_previous
            "00000000000000000000000000000000"  // reserved
            "0df0feca"                          // payload checksum
            "4bf6b541"                          // header checksum
  );
}

TEST(Layout, the_chain_starts_with_the_uuid_and_goes_on_with_both_checksums) {
  EXPECT_EQ(chain_start(example_uuid()), 0xA7A6A5A4A3A2A1A0U);
  const BlockHeader header = example_header();
  EXPECT_EQ(chain_value(header), (std::uint64_t{header.header_checksum} << 32) | 0xCAFEF00DU);
}

TEST(Layout, every_flipped_bit_of_a_superblock_is_noticed) {
  Superblock superblock = example_superblock();
  const MutableBytes bytes = std::as_writable_bytes(std::span(&superblock, 1));
  for (std::size_t bit = 0; bit < sizeof(Superblock) * 8; ++bit) {
    bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    EXPECT_FALSE(decode_superblock(bytes)) << "bit " << bit;
    bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
  }
  EXPECT_TRUE(decode_superblock(bytes));
}

TEST(Layout, blocks_are_multiples_of_a_power_of_two_from_64_to_4096) {
  for (std::uint32_t bytes = 0; bytes <= 8192; bytes += 32) {
    Superblock superblock = example_superblock();
    superblock.unit_bytes = bytes;
    const bool is_good =
        bytes == 64 || bytes == 128 || bytes == 256 || bytes == 512 || bytes == 1024 || bytes == 2048 || bytes == 4096;
    superblock = seal(superblock);
    EXPECT_EQ(decode_superblock(bytes_of(superblock)).has_value(), is_good) << bytes;
  }
}

TEST(Layout, every_flipped_bit_of_a_block_header_is_noticed) {
  BlockHeader header = example_header();
  const std::uint64_t offset = header.offset;
  const MutableBytes bytes = std::as_writable_bytes(std::span(&header, 1));
  for (std::size_t bit = 0; bit < sizeof(BlockHeader) * 8; ++bit) {
    bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    EXPECT_FALSE(decode_block_header(bytes, offset, example_superblock())) << "bit " << bit;
    bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
  }
  EXPECT_TRUE(decode_block_header(bytes, offset, example_superblock()));
}

TEST(Layout, a_block_header_is_refused_for_the_first_reason_that_holds) {
  const Superblock superblock = example_superblock();
  const auto judge = [&](auto&& change, std::uint64_t shift = 0) {
    BlockHeader header = example_header();
    change(header);
    header = seal(header);
    return decode_block_header(bytes_of(header), example_header().offset + shift, superblock).error();
  };
  EXPECT_EQ(judge([](BlockHeader& header) { header.magic = 1; }), BlockFault::bad_magic);
  EXPECT_EQ(judge([](BlockHeader& header) { header.version = 9; }), BlockFault::bad_version);
  EXPECT_EQ(judge([](BlockHeader& header) { header.kind = BlockKind(3); }), BlockFault::bad_version);
  EXPECT_EQ(judge([](BlockHeader& header) { header.unbounded = 2; }), BlockFault::bad_version);
  EXPECT_EQ(judge([](BlockHeader& header) { header.next_previous = 1; }), BlockFault::bad_version);
  EXPECT_EQ(judge([](BlockHeader& header) { header.cluster = ClusterId(1); }), BlockFault::other_cluster);
  EXPECT_EQ(judge([](BlockHeader& header) { header.disk = Uuid{}; }), BlockFault::other_disk);
  EXPECT_EQ(judge([](BlockHeader&) {}, 4096), BlockFault::other_place);
  EXPECT_EQ(judge([](BlockHeader& header) { header.segment = 1; }), BlockFault::other_place);
  EXPECT_EQ(judge([](BlockHeader& header) { header.payload_bytes = block_bytes_limit; }), BlockFault::bad_length);
  EXPECT_EQ(judge([](BlockHeader& header) { header.payload_bytes = UINT32_MAX; }), BlockFault::bad_length);
  EXPECT_EQ(judge([](BlockHeader& header) { header.generation = 0; }), BlockFault::bad_field);
  EXPECT_EQ(judge([](BlockHeader& header) { header.first_segment = 16; }), BlockFault::bad_field);
  EXPECT_EQ(judge([](BlockHeader& header) { header.durable_sequence = 11; }), BlockFault::bad_field);
  EXPECT_EQ(judge([](BlockHeader& header) { header.checkpoint_sequence = 10; }), BlockFault::bad_field);
  EXPECT_EQ(judge([](BlockHeader& header) { header.checkpoint_offset = 4096; }), BlockFault::bad_field);
  EXPECT_EQ(judge([](BlockHeader& header) { header.checkpoint_offset += 1; }), BlockFault::bad_field);
  EXPECT_EQ(judge([](BlockHeader& header) { header.checkpoint_offset = UINT64_MAX - 4095; }), BlockFault::bad_field);
  EXPECT_EQ(judge([](BlockHeader& header) { header.checkpoint_sequence = 0; }), BlockFault::bad_field);
  EXPECT_EQ(judge([](BlockHeader& header) {
              header.checkpoint_sequence = header.checkpoint_offset = 0;
              header.checkpoint_applied = Slot(1);
            }),
            BlockFault::bad_field);
  EXPECT_EQ(judge([](BlockHeader& header) { header.sequence = UINT64_MAX; }), BlockFault::bad_field);
  EXPECT_EQ(judge([](BlockHeader& header) { header.kind = BlockKind::healed; }), BlockFault::bad_field) << "it has no records";
  EXPECT_EQ(decode_block_header(bytes_of(example_header()).first(200), example_header().offset, superblock).error(),
            BlockFault::blank);
  const std::array<std::byte, sizeof(BlockHeader)> zeros{};
  EXPECT_EQ(decode_block_header(zeros, segments_offset, superblock).error(), BlockFault::blank);
}

TEST(Layout, segments_are_chosen_by_capacity) {
  const auto plan = [](std::uint64_t capacity) {
    return plan_superblock({.replica = ReplicaId(1), .disk = example_uuid(), .capacity_bytes = capacity});
  };
  EXPECT_EQ(plan(1U << 30)->segment_bytes, 64U << 20);
  EXPECT_EQ(plan(1U << 30)->segments, 16U);
  EXPECT_EQ(plan(64U << 20)->segment_bytes, 8U << 20);
  EXPECT_EQ(plan(9U << 20)->segments, 2U) << "rounded down";
  EXPECT_FALSE(plan(5U << 20)) << "fewer than two segments";
  EXPECT_FALSE(plan(0));
}

}  // namespace
}  // namespace synod::storage
