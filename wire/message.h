// What replicas say to each other: one struct per message, and the payload formats behind them.
//
// Every message also carries, in its packet header, the sender's id, incarnation, ballot, commit watermark and probe number;
// those are in `PeerMessage`. What a message means by `ballot` is said at each struct.
#pragma once

#include <cstdint>
#include <expected>
#include <span>
#include <variant>

#include "base/bytes.h"
#include "base/ids.h"
#include "wire/limits.h"
#include "wire/packet.h"
#include "wire/record.h"

namespace synod::wire {

// "This is my disk." Sent until every initial member is known (rule 5). ballot: none; probe: the number of the asker's question,
// which the answer repeats: only an answer to a question of this incarnation introduces a disk.
struct Hello {
  std::uint8_t wants_answer = 0;
};

// "I have lost the leader; have you?" Asked before a ballot is raised. ballot: the highest that the asker knows.
struct Suspect {};

// ballot: the highest that the answerer knows.
struct SuspectAnswer {
  std::uint8_t lost = 0;
};

// Phase 1, request. ballot: the candidate's. Asks about every slot above the candidate's commit watermark.
struct Prepare {};

// One accepted slot in a promise.
struct PromisedSlot {
  Slot slot;
  Ballot ballot;
  Checksum checksum;
  std::uint32_t body_bytes = 0;
};

static_assert(Format<PromisedSlot> && sizeof(PromisedSlot) == 24);

// Phase 1, durable answer. ballot: the promised one. Reports every slot that the acceptor accepted in (its commit, `to`],
// in slot order; slots up to its commit watermark (in the packet header) are chosen and must be caught up with (rule 4).
struct Promise {
  Slot trim;                            // everything below may be gone
  Slot to;                              // end of the range that this promise speaks of
  std::span<const PromisedSlot> slots;  // valid while the message is handled; at most window_slots_max
};

// Phase 2, request: "accept this record". ballot: the leader's, equal to the record's.
struct Accept {
  RecordView record;
};

// Phase 2, durable answer. ballot: the one voted in. The checksum says which value.
struct Accepted {
  Slot slot;
  Checksum checksum;
};

// A refusal. ballot: the refuser's promised ballot, higher than the refused one.
struct Nack {
  Ballot refused;
};

// The leader lives. ballot: the leader's; probe: its newest (rule 7). Never waits for a disk.
struct Heartbeat {};

// "I have promised nothing above `ballot`." probe: the one answered.
struct HeartbeatAnswer {};

// Phase 1, a candidate asks for a value that a promise reported. ballot: the candidate's.
struct Fetch {
  Slot slot;
  Ballot accepted;
  Checksum checksum;
};

// The answer to Fetch: the record as this acceptor accepted it. ballot: the asker's.
struct Value {
  RecordView record;
};

// "Send me what is chosen in [from, to]." Served only from slots that the server itself knows as committed (rule 3).
struct CatchUp {
  Slot from;
  Slot to;
};

// The answer to CatchUp, one slot each: the record as the server journalled it.
struct Chosen {
  RecordView record;
};

using PeerPayload = std::variant<Hello, Suspect, SuspectAnswer, Prepare, Promise, Accept, Accepted, Nack, Heartbeat,
                                 HeartbeatAnswer, Fetch, Value, CatchUp, Chosen>;

struct PeerMessage {
  ReplicaId from;
  Incarnation incarnation;
  Ballot ballot;
  Slot commit;
  Probe probe;
  PeerPayload payload;
};

enum class MessageFault : std::uint8_t {
  bad_length,
  bad_count,
  bad_record,
  bad_order,
  not_from_a_replica,
  unknown_type,
  bad_reserved,
  count_
};

[[nodiscard]] const char* name(MessageFault fault);

// The gateway for messages between replicas: `payload` is a whole message. Spans and records in the result point into it.
// `slots` is where a promise's list is copied to (for alignment); it needs room for window_slots_max.
[[nodiscard]] std::expected<PeerMessage, MessageFault> decode_peer_message(const PacketHeader& header, Bytes payload,
                                                                           std::span<PromisedSlot> slots);

// The payload in at most two parts: `head` (written into `scratch`) and, for records, the body where it lies.
struct EncodedPayload {
  MessageType type;
  Bytes head;
  Bytes body;
};

inline constexpr std::size_t encode_scratch_bytes = 24 + window_slots_max * sizeof(PromisedSlot);

[[nodiscard]] EncodedPayload encode_peer_payload(const PeerPayload& payload, std::span<std::byte, encode_scratch_bytes> scratch);

}  // namespace synod::wire
