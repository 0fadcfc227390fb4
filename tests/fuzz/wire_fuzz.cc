// Every gateway of wire/: packets, messages between replicas, messages of clients, records, bodies. What a gateway takes is used
// to its end, and is made again from its parts: the bytes must be the same.
//
// Input: what to repair (one byte), one packet.
#include <array>

#include "base/check.h"
#include "base/crc32c.h"
#include "tests/fuzz/fuzz.h"
#include "tests/wire/examples.h"
#include "wire/body.h"
#include "wire/client.h"
#include "wire/message.h"
#include "wire/packet.h"

namespace synod::fuzz {
namespace {

using namespace wire;

// Random bytes do not get past a checksum; these bits make what lies behind it reachable.
constexpr std::uint8_t repair_packet = 1;  // its checksums
constexpr std::uint8_t repair_record = 2;  // those of the record that the payload begins with
constexpr std::uint8_t one_packet = 4;     // fragment fields: this packet is the whole message

bool same(Bytes a, Bytes b) {
  return std::ranges::equal(a, b);
}

void repair_record_at(MutableBytes payload) {
  if (payload.size() < sizeof(RecordHeader)) return;
  auto header = load<RecordHeader>(payload);
  const Bytes rest = payload.subspan(sizeof(RecordHeader));
  header.body_checksum = Checksum(crc32c(rest.first(std::min<std::size_t>(header.body_bytes, rest.size()))));
  store(payload, seal(header));
}

void repair(std::uint8_t what, MutableBytes packet) {
  if (packet.size() < sizeof(PacketHeader)) return;
  const MutableBytes payload = packet.subspan(sizeof(PacketHeader));
  if ((what & repair_record) != 0) repair_record_at(payload);
  auto header = load<PacketHeader>(packet);
  if ((what & one_packet) != 0) {
    header.fragment = 0;
    header.fragments = 1;
    header.fragment_offset = 0;
    header.message_bytes = static_cast<std::uint32_t>(payload.size());
  }
  if ((what & repair_packet) != 0) header = seal(header, payload);
  store(packet, header);
}

void use_entries(Bytes entries, std::uint32_t count) {
  for (std::uint32_t i = 0; i < count; ++i) {
    const EntrySplit split = split_entry(entries);
    CHECK_EQ(split.payload.size() + split.rest.size() + entry_header_bytes, entries.size());
    entries = split.rest;
  }
  CHECK(entries.empty());
}

// Written again, a body is the same but for runs that continue each other: those join.
bool use_body(Bytes body) {
  const auto view = BodyView::decode(body);
  if (!view) return false;
  if (view->is_noop()) return true;
  Example buffer(body.size());
  BodyWriter writer(buffer, view->header().assumed_chain);
  std::uint32_t places = 0;
  view->for_each_run([&](const RunView& run) {
    if (run.header.kind == RunKind::entries) use_entries(run.entries, run.header.entries);
    CHECK(writer.fits(run.header.bytes, run.header.entries, body.size()));
    places = 1 + writer.add(run.header.kind, run.header.session, run.header.first, run.header.entries, run.entries);
  });
  const Bytes again = writer.finish();
  CHECK_LE(places, view->header().runs);
  CHECK(BodyView::decode(again).has_value());
  CHECK_EQ(writer.entries(), view->header().entries);
  if (places == view->header().runs) CHECK(same(again, body));
  return true;
}

bool use_record(Bytes bytes) {
  const auto record = decode_record(bytes);
  if (!record) return false;
  const RecordHeader again = seal(record->header);
  CHECK(same(bytes_of(again), bytes.first(sizeof(again))));
  CHECK(same(record->body, bytes.subspan(sizeof(again), record->header.body_bytes)));
  (void)use_body(record->body);
  return true;
}

void use_promise(const Promise& promise) {
  Slot last;
  for (const PromisedSlot& slot : promise.slots) {
    CHECK(slot.slot > last && slot.slot <= promise.to);
    CHECK_LE(slot.body_bytes, body_bytes_max);
    last = slot.slot;
  }
}

bool use_peer_message(const PacketHeader& header, Bytes payload) {
  std::array<PromisedSlot, window_slots_max> slots;
  const auto message = decode_peer_message(header, payload, slots);
  if (!message) return false;
  CHECK_NE(message->from, ReplicaId{});
  if (const auto* promise = std::get_if<Promise>(&message->payload)) use_promise(*promise);
  std::array<std::byte, encode_scratch_bytes> scratch{};
  const EncodedPayload again = encode_peer_payload(message->payload, scratch);
  CHECK(again.type == header.type);
  CHECK(same(again.head, payload.first(again.head.size())));
  CHECK(same(again.body, payload.subspan(again.head.size())));
  return true;
}

template <class T>
bool use_fixed(Bytes payload) {
  const auto message = decode_client<T>(payload);
  if (!message) return false;
  CHECK(same(bytes_of(*message), payload));
  return true;
}

bool use_append(Bytes payload) {
  const auto append = decode_append(payload);
  if (!append) return false;
  use_entries(append->entries, append->header.count);
  CHECK(same(bytes_of(append->header), payload.first(sizeof(Append))));
  CHECK_LE(append->entries.size(), request_entry_bytes_max);
  return true;
}

bool use_appended(Bytes payload) {
  const auto appended = decode_appended(payload);
  if (!appended) return false;
  CHECK(is_known(appended->ack));
  CHECK(same(bytes_of(*appended), payload));
  return true;
}

bool use_read_answer(Bytes payload) {
  const auto answer = decode_read_answer(payload);
  if (!answer) return false;
  use_entries(answer->entries, answer->header.count);
  return true;
}

bool use_client_message(MessageType type, Bytes payload) {
  switch (type) {
    case MessageType::open_session: return use_fixed<OpenSession>(payload);
    case MessageType::session_opened: return use_fixed<SessionOpened>(payload);
    case MessageType::append: return use_append(payload);
    case MessageType::appended: return use_appended(payload);
    case MessageType::refused: return use_fixed<Refused>(payload);
    case MessageType::tail: return use_fixed<Tail>(payload);
    case MessageType::tail_answer: return use_fixed<TailAnswer>(payload);
    case MessageType::read: return use_fixed<Read>(payload);
    case MessageType::read_answer: return use_read_answer(payload);
    case MessageType::trim: return use_fixed<Trim>(payload);
    case MessageType::trim_answer: return use_fixed<TrimAnswer>(payload);
    case MessageType::status: return use_fixed<Status>(payload);
    case MessageType::status_answer: return use_fixed<StatusAnswer>(payload);
    default: return false;
  }
}

bool use_packet(Bytes packet) {
  const auto view = decode_packet(packet);
  if (!view) return false;
  const PacketHeader again = seal(view->header, view->payload);
  CHECK(same(bytes_of(again), packet.first(sizeof(again))));
  CHECK_EQ(sizeof(again) + view->payload.size(), packet.size());
  CHECK_LE(view->header.fragment_offset + view->payload.size(), view->header.message_bytes);
  CHECK_LT(view->header.fragment, view->header.fragments);
  if (view->header.fragments > 1) return true;  // reassembly_fuzz.cc goes on
  if (is_client_message(view->header.type)) return use_client_message(view->header.type, view->payload);
  return use_peer_message(view->header, view->payload);
}

Example example(MessageType type, Bytes head, Bytes body = {}) {
  Example payload(head.begin(), head.end());
  put_bytes(payload, body);
  PacketHeader header;
  header.type = type;
  header.source = ReplicaId(1);
  header.destination = ReplicaId(2);
  header.message_bytes = static_cast<std::uint32_t>(payload.size());
  Example result;
  const bool has_record = type == MessageType::accept || type == MessageType::value || type == MessageType::chosen;
  put(result, static_cast<std::uint8_t>(repair_packet | one_packet | (has_record ? repair_record : 0)), seal(header, payload));
  put_bytes(result, payload);
  return result;
}

// One of three packets of a message.
Example fragment_example(Bytes message, std::uint16_t fragment) {
  const std::size_t piece = message.size() / 3 + 1;
  const std::size_t at = fragment * piece;
  const Bytes payload = message.subspan(at, std::min(piece, message.size() - at));
  PacketHeader header;
  header.type = MessageType::accept;
  header.source = ReplicaId(1);
  header.fragment = fragment;
  header.fragments = 3;
  header.fragment_offset = static_cast<std::uint32_t>(at);
  header.message_bytes = static_cast<std::uint32_t>(message.size());
  Example result;
  put(result, repair_packet, seal(header, payload));
  put_bytes(result, payload);
  return result;
}

// Three entries of 0, 3 and 9 bytes.
Example entries_example() {
  Example entries;
  for (const std::string_view text : {"", "abc", "123456789"}) {
    put(entries, static_cast<std::uint32_t>(text.size()));
    put_bytes(entries, bytes_of(text));
  }
  return entries;
}

// A record with two runs of entries, one of them joined from two, and a session that opens.
Example record_example() {
  const Example entries = entries_example();
  Example buffer(1024);
  BodyWriter writer(buffer, Chain(7));
  writer.add(RunKind::entries, SessionId(65536), Sequence(1), 3, entries);
  writer.add(RunKind::entries, SessionId(65536), Sequence(4), 3, entries);
  writer.add(RunKind::open_session, SessionId{}, Sequence{}, 0, bytes_of(Uuid{}));
  writer.add(RunKind::trim, SessionId{}, Sequence{}, 0, bytes_of(Lsn(3)));
  writer.add(RunKind::entries, SessionId(65537), Sequence(9), 3, entries);
  const Bytes body = writer.finish();
  Example record;
  put(record, seal(RecordHeader{.slot = Slot(5),
                                .ballot = Ballot(9, ReplicaId(3)),
                                .body_bytes = static_cast<std::uint32_t>(body.size()),
                                .body_checksum = Checksum(crc32c(body))}));
  put_bytes(record, body);
  return record;
}

}  // namespace

bool run(Bytes input) {
  Input in(input);
  const auto what = in.take<std::uint8_t>();
  Example packet(in.rest().begin(), in.rest().end());
  repair(what, packet);
  const Bytes payload = Bytes(packet).subspan(std::min(packet.size(), sizeof(PacketHeader)));
  const bool packet_taken = use_packet(packet);
  const bool record_taken = use_record(payload);
  const bool body_taken = use_body(payload);
  return packet_taken || record_taken || body_taken;
}

std::vector<Example> examples() {
  std::vector<Example> all;
  for (const MessageExample& message : message_examples()) all.push_back(example(message.type, from_hex(message.golden)));
  const Example record = record_example();
  const Example entries = entries_example();
  all.push_back(example(MessageType::accept, record));
  all.push_back(example(MessageType::heartbeat, Bytes(record).subspan(sizeof(RecordHeader))));
  all.push_back(example(MessageType::append, bytes_of(Append{SessionId(65536), Sequence(1), 3}), entries));
  all.push_back(example(MessageType::read_answer, bytes_of(ReadAnswer{1, Lsn(1), Lsn(9), 3}), entries));
  all.push_back(example(MessageType::open_session, bytes_of(OpenSession{1})));
  all.push_back(example(MessageType::session_opened, bytes_of(SessionOpened{1, SessionId(65536)})));
  all.push_back(example(MessageType::appended, bytes_of(Appended{SessionId(65536), Sequence(1), Lsn(5), 3})));
  all.push_back(example(MessageType::appended, bytes_of(Appended{SessionId(65536), Sequence(1), Lsn(5), 3, AckLevel::memory})));
  all.push_back(example(MessageType::refused, bytes_of(Refused{.request = 1, .reason = RefusalReason::busy})));
  all.push_back(example(MessageType::tail, bytes_of(Tail{1})));
  all.push_back(example(MessageType::tail_answer, bytes_of(TailAnswer{1, Lsn(9)})));
  all.push_back(example(MessageType::read, bytes_of(Read{1, Lsn(1), Lsn(9), 1000})));
  all.push_back(example(MessageType::trim, bytes_of(Trim{1, Lsn(2)})));
  all.push_back(example(MessageType::trim_answer, bytes_of(TrimAnswer{1, Lsn(2)})));
  all.push_back(example(MessageType::status, bytes_of(Status{1})));
  all.push_back(example(MessageType::status_answer, bytes_of(StatusAnswer{.request = 1})));
  for (std::uint16_t fragment = 0; fragment < 3; ++fragment) all.push_back(fragment_example(record, fragment));
  return all;
}

}  // namespace synod::fuzz
