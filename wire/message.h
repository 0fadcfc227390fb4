// What replicas say to each other: one struct per message, and the payload formats behind them.
//
// Every message also carries, in its packet header, the sender's id, incarnation, ballot, commit watermark and probe number;
// those are in `PeerMessage`. What a message means by `ballot` is said at each struct.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <variant>

#include "base/bytes.h"
#include "base/ids.h"
#include "wire/limits.h"
#include "wire/packet.h"
#include "wire/record.h"

namespace synod::wire {

static_assert(Format<Position> && sizeof(Position) == 16);

// The newest position that is known of each member's disk, in the order of the members' ids; none where nothing is known.
using HeardTable = std::array<Position, members_max>;

// "This is my disk, and this is how far I know it to have got: do you know more?" Sent until every initial member is known
// (rule 5) and until enough members have answered that they do not (rule 6). ballot: none; probe: the number of the asker's
// question, which the answer repeats: only an answer to a question of this process introduces a disk, or vouches for one.
struct Hello {
  std::uint8_t wants_answer = 0;
  // In an answer: the answerer's own disk is vouched for and has lost nothing of unknown extent, so what follows is all it knew.
  std::uint8_t is_certain = 0;
  Position position;      // a question: the asker's claim; an answer: what the answerer has heard of the asker's disk
  Ballot highest_ballot;  // that the sender has seen
  Slot highest_slot;      // that the sender ever held a vote or a chosen value for
};

// "I have lost the leader; have you?" Asked before a ballot is raised; and of a leader that is silent: a living one has not, one
// that was started again has. ballot: the highest that the asker knows.
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
  std::uint64_t sequence = 0;           // see Accepted
};

// What an accept asks for besides the vote (rule 10). Its number is the accept's probe.
enum class Asks : std::uint8_t {
  nothing = 0,
  received = 1,             // Received, too
  received_at_leisure = 2,  // the same, and nobody waits for the vote: the acceptor's disk may take it along with later records
};
[[nodiscard]] constexpr Probe probe_of(Asks asks) {
  return Probe(static_cast<std::uint64_t>(asks));
}

// Phase 2, request: "accept this record". ballot: the leader's, equal to the record's. probe: Asks.
struct Accept {
  RecordView record;
};

// "I hold this value in memory, and have staged it": no vote, and no promise that it outlives this process (rule 10). Sent only
// if the accept asked for it. ballot: the one of the accept.
struct Received {
  Slot slot;
  Checksum checksum;
};

// Phase 2, durable answer. ballot: the one voted in. The checksum says which value.
// `sequence` (of promises, heartbeats and their answers, too) is the newest durable block of the sender's journal: with the open
// count of its incarnation, the position of its disk. 0: it says nothing about it.
struct Accepted {
  Slot slot;
  Checksum checksum;
  std::uint64_t sequence = 0;
};

// A refusal. ballot: the refuser's promised ballot, higher than the refused one.
struct Nack {
  Ballot refused;
};

// The leader lives. ballot: the leader's; probe: its newest (rule 7). Never waits for a disk. The table makes every member a
// witness of every other's disk (rule 6).
struct Heartbeat {
  std::uint64_t sequence = 0;
  HeardTable heard{};
};

// "I have promised nothing above `ballot`." probe: the one answered; 0: the sender lives and says nothing about its promises.
// For appends that ask for `all` (rule 10): every committed slot up to `durable` is on stable storage here, but for entries below
// `first`, which this disk never held: a peer's checkpoint stands for them.
struct HeartbeatAnswer {
  std::uint64_t sequence = 0;
  Slot durable;
  Lsn first;
};

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
                                 HeartbeatAnswer, Fetch, Value, CatchUp, Chosen, Received>;

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
// `slots` is where a promise's list is copied to (for alignment); it needs room for window_slots_max. `checksum` is that of the
// payload, where it is known to be right.
[[nodiscard]] std::expected<PeerMessage, MessageFault> decode_peer_message(const PacketHeader& header, Bytes payload,
                                                                           std::span<PromisedSlot> slots,
                                                                           std::optional<Checksum> checksum = std::nullopt);

// The payload in at most two parts: `head` (written into `scratch`) and, for records, the body where it lies.
struct EncodedPayload {
  MessageType type;
  Bytes head;
  Bytes body;
};

inline constexpr std::size_t encode_scratch_bytes = 32 + window_slots_max * sizeof(PromisedSlot);

[[nodiscard]] EncodedPayload encode_peer_payload(const PeerPayload& payload, std::span<std::byte, encode_scratch_bytes> scratch);

}  // namespace synod::wire
