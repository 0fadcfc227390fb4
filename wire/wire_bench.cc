// What encoding, decoding and checking cost: the parts of an append's path that are pure CPU.
#include <benchmark/benchmark.h>

#include <array>
#include <cstdint>
#include <vector>

#include "base/crc32c.h"
#include "base/per_entry.h"
#include "base/prng.h"
#include "wire/body.h"
#include "wire/message.h"
#include "wire/packet.h"

namespace synod::wire {
namespace {

std::vector<std::byte> random_bytes(std::size_t count) {
  Prng prng(1);
  std::vector<std::byte> bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(prng.next());
  return bytes;
}

std::size_t argument(const benchmark::State& state) {
  return static_cast<std::size_t>(state.range(0));
}

void report_bytes(benchmark::State& state, std::size_t bytes_per_iteration) {
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes_per_iteration));
}

void crc32c_instruction(benchmark::State& state) {
  const auto bytes = random_bytes(argument(state));
  for (auto _ : state) benchmark::DoNotOptimize(crc32c(bytes));
  report_bytes(state, bytes.size());
}
BENCHMARK(crc32c_instruction)->RangeMultiplier(4)->Range(64, 64 << 10);

void crc32c_table(benchmark::State& state) {
  const auto bytes = random_bytes(argument(state));
  for (auto _ : state) benchmark::DoNotOptimize(crc32c_portable(bytes));
  report_bytes(state, bytes.size());
}
BENCHMARK(crc32c_table)->Arg(64)->Arg(4096);

PacketHeader example_header(MessageType type, std::size_t message_bytes) {
  PacketHeader header;
  header.type = type;
  header.message_bytes = static_cast<std::uint32_t>(message_bytes);
  header.cluster = ClusterId(1);
  header.source = ReplicaId(1);
  header.destination = ReplicaId(2);
  header.ballot = Ballot(1, ReplicaId(1));
  return header;
}

void packet_seal_and_decode(benchmark::State& state) {
  const auto payload = random_bytes(argument(state));
  std::vector<std::byte> packet(sizeof(PacketHeader) + payload.size());
  PacketHeader header = example_header(MessageType::append, payload.size());
  for (auto _ : state) {
    ++header.message_id;
    copy(MutableBytes(packet).subspan(sizeof(PacketHeader)), payload);
    store(packet, seal(header, payload));
    const auto view = decode_packet(packet);
    CHECK(view.has_value());
    benchmark::DoNotOptimize(view->header.message_id);
  }
  report_bytes(state, packet.size());
}
BENCHMARK(packet_seal_and_decode)->Arg(0)->Arg(128)->Arg(1024);

// One slot with one entry, as an idle cluster makes it.
Bytes write_body(MutableBytes buffer, Bytes entries, std::uint32_t count) {
  BodyWriter writer(buffer, Chain(1));
  writer.add(RunKind::entries, SessionId(1), Sequence(1), count, entries);
  return writer.finish();
}

std::vector<std::byte> entries_of(std::uint32_t count, std::uint32_t payload_bytes) {
  std::vector<std::byte> entries = random_bytes(count * (entry_header_bytes + payload_bytes));
  for (std::size_t at = 0; at < entries.size(); at += entry_header_bytes + payload_bytes) {
    store(MutableBytes(entries).subspan(at), payload_bytes);
  }
  return entries;
}

void accept_encode_and_decode(benchmark::State& state) {
  std::vector<std::byte> buffer(body_bytes_max);
  const auto entries = entries_of(1, static_cast<std::uint32_t>(argument(state)));
  RecordView record;
  record.body = write_body(buffer, entries, 1);
  record.header.slot = Slot(1);
  record.header.ballot = Ballot(1, ReplicaId(1));
  record.header.body_bytes = static_cast<std::uint32_t>(record.body.size());
  std::array<std::byte, encode_scratch_bytes> scratch{};
  std::array<PromisedSlot, window_slots_max> slots;
  std::vector<std::byte> message(record.bytes());
  const PacketHeader header = example_header(MessageType::accept, message.size());
  const PerEntry per_entry;
  for (auto _ : state) {
    ++record.header.slot;
    record.header.body_checksum = Checksum(crc32c(record.body));
    record.header = seal(record.header);
    const EncodedPayload parts = encode_peer_payload(Accept{record}, scratch);
    copy(message, parts.head);
    copy(MutableBytes(message).subspan(parts.head.size()), parts.body);
    const auto decoded = decode_peer_message(header, message, slots);
    CHECK(decoded.has_value());
    benchmark::DoNotOptimize(decoded->payload);
  }
  report_bytes(state, message.size());
  per_entry.report(state, 1, static_cast<double>(message.size()));
}
BENCHMARK(accept_encode_and_decode)->Arg(128)->Arg(1024)->Arg(64 << 10);

// range(0) entries of 128 bytes in one run.
void body_write_and_decode(benchmark::State& state) {
  std::vector<std::byte> buffer(body_bytes_max);
  const auto count = static_cast<std::uint32_t>(argument(state));
  const auto entries = entries_of(count, 128);
  std::size_t bytes = 0;
  const PerEntry per_entry;
  for (auto _ : state) {
    const Bytes body = write_body(buffer, entries, count);
    const auto view = BodyView::decode(body);
    CHECK(view.has_value());
    view->for_each_run([](const RunView& run) { benchmark::DoNotOptimize(run.entries.data()); });
    bytes = body.size();
  }
  report_bytes(state, bytes);
  per_entry.report(state, count, static_cast<double>(bytes) / count);
}
BENCHMARK(body_write_and_decode)->Arg(1)->Arg(32)->Arg(480);

}  // namespace
}  // namespace synod::wire

BENCHMARK_MAIN();
