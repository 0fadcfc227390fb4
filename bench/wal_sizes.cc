#include "bench/wal_sizes.h"

#include <fmt/format.h>
#include <zstd.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "wire/limits.h"

namespace synod::bench {

namespace {

constexpr std::size_t file_bytes_max = 256U << 20;
constexpr std::size_t segment_bytes_max = 1U << 30;
constexpr std::uint32_t zstd_magic = 0xFD2FB528;

// src/include/access/xlog_internal.h and xlogrecord.h of PostgreSQL 15, little-endian.
struct PageHeader {
  std::uint16_t magic = 0;
  std::uint16_t info = 0;
  std::uint32_t timeline = 0;
  std::uint64_t address = 0;
  std::uint32_t remaining = 0;  // of a record that began on an earlier page
  std::uint32_t zero = 0;
};
static_assert(sizeof(PageHeader) == 24);

struct LongPageHeader {
  PageHeader page;
  std::uint64_t system = 0;
  std::uint32_t segment_bytes = 0;
  std::uint32_t page_bytes = 0;
};
static_assert(sizeof(LongPageHeader) == 40);

struct RecordHeader {
  std::uint32_t bytes = 0;
  std::uint32_t transaction = 0;
  std::uint64_t previous = 0;
  std::uint8_t info = 0;
  std::uint8_t manager = 0;
  std::uint16_t zero = 0;
  std::uint32_t crc = 0;
};
static_assert(sizeof(RecordHeader) == 24);

constexpr std::uint16_t long_header = 2;
constexpr std::uint8_t transaction_manager = 1;
constexpr std::uint8_t operation_mask = 0x70;
constexpr std::uint8_t commit = 0x00;
constexpr std::uint8_t abort = 0x20;
constexpr std::uint8_t commit_prepared = 0x30;

// The bytes of all records, without the pages' headers. A record that goes on on the next page goes on behind its header.
Result<std::vector<std::byte>> join_pages(Bytes segment) {
  if (segment.size() < sizeof(LongPageHeader)) return fail("it is too short");
  const auto first = load<LongPageHeader>(segment);
  const std::size_t page_bytes = first.page_bytes;
  const bool is_segment = (first.page.magic >> 8) == 0xD1 && (first.page.info & long_header) != 0 && page_bytes >= 1024 &&
                          page_bytes <= 65536 && page_bytes % 8 == 0;
  if (!is_segment) return fail("it does not begin with the page header of a PostgreSQL WAL segment");
  std::vector<std::byte> stream;
  for (std::size_t at = 0; at + page_bytes <= segment.size(); at += page_bytes) {
    const auto page = load<PageHeader>(segment.subspan(at));
    // Pages that were not written yet, or in the segment's last use.
    if (page.magic != first.page.magic || page.address != first.page.address + at) break;
    const std::size_t header = (page.info & long_header) != 0 ? sizeof(LongPageHeader) : sizeof(PageHeader);
    const Bytes records = segment.subspan(at + header, page_bytes - header);
    stream.insert(stream.end(), records.begin(), records.end());
  }
  const std::size_t skipped = std::min(stream.size(), align_up(std::size_t{first.page.remaining}, 8));
  stream.erase(stream.begin(), stream.begin() + static_cast<std::ptrdiff_t>(skipped));
  return stream;
}

bool ends_transaction(const RecordHeader& record) {
  const auto operation = static_cast<std::uint8_t>(record.info & operation_mask);
  return record.manager == transaction_manager && (operation == commit || operation == abort || operation == commit_prepared);
}

}  // namespace

Result<std::vector<std::uint32_t>> wal_entry_sizes(Bytes segment) {
  const auto stream = join_pages(segment);
  if (!stream) return std::unexpected(stream.error());
  std::vector<std::uint32_t> sizes;
  std::size_t gathered = 0;
  for (std::size_t at = 0; at + sizeof(RecordHeader) <= stream->size();) {
    const auto record = load<RecordHeader>(Bytes(*stream).subspan(at));
    if (record.bytes < sizeof(RecordHeader) || record.bytes > stream->size() - at)
      break;  // the end, or a switch to the next segment
    const std::size_t bytes = align_up(std::size_t{record.bytes}, 8);
    at += bytes;
    gathered += bytes;
    if (!ends_transaction(record)) continue;
    for (; gathered > entry_bytes_max; gathered -= entry_bytes_max) sizes.push_back(entry_bytes_max);
    sizes.push_back(static_cast<std::uint32_t>(gathered));
    gathered = 0;
  }
  if (sizes.empty()) return fail("it holds no commit");
  return sizes;
}

namespace {

Result<std::vector<std::byte>> decompress(Bytes file) {
  const unsigned long long bytes = ZSTD_getFrameContentSize(file.data(), file.size());
  if (bytes > segment_bytes_max) return fail("it is not a zstd file of a known size up to 1 GiB");
  std::vector<std::byte> segment(bytes);
  const std::size_t done = ZSTD_decompress(segment.data(), segment.size(), file.data(), file.size());
  if (ZSTD_isError(done) != 0) return fail(fmt::format("it cannot be decompressed ({})", ZSTD_getErrorName(done)));
  segment.resize(done);
  return segment;
}

Result<std::vector<std::byte>> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail("it cannot be read");
  std::vector<char> text;
  text.reserve(1U << 20);
  for (std::vector<char> piece(1U << 20); text.size() <= file_bytes_max;) {
    file.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    text.insert(text.end(), piece.begin(), piece.begin() + file.gcount());
    if (!file) break;
  }
  if (text.size() > file_bytes_max) return fail("it is larger than 256 MiB");
  const Bytes bytes = std::as_bytes(std::span(text));
  return std::vector<std::byte>(bytes.begin(), bytes.end());
}

}  // namespace

Result<std::vector<std::uint32_t>> load_wal_sizes(const std::string& path) {
  const auto named = [&](const Error& error) {
    return fail(fmt::format("{} is no PostgreSQL WAL segment: {}", path, error.text));
  };
  auto bytes = read_file(path);
  if (!bytes) return named(bytes.error());
  if (bytes->size() >= sizeof(zstd_magic) && load<std::uint32_t>(*bytes) == zstd_magic) {
    bytes = decompress(*bytes);
    if (!bytes) return named(bytes.error());
  }
  auto sizes = wal_entry_sizes(*bytes);
  if (!sizes) return named(sizes.error());
  return sizes;
}

}  // namespace synod::bench
