// Puts the fragments of messages together again.
//
// The identity of an unfinished message is everything that its fragments must agree on: sender, message id, type, ballot,
// length, number of fragments and the length of one piece. So a fragment that disagrees in any of them is a fragment of another
// message and can never get into this one, and a sender that cuts a message anew (another port, another packet size) starts a
// message of its own. All pieces but the last are equally long, which makes the place of every fragment a fact of the fragment
// alone. Holes are filled by whichever attempt brings the piece: a message id stands for the same bytes in every attempt.
//
// Owns its memory: one mapping for all messages, touched only where a message was. When a new message needs room, the least
// recently touched one of the same sender (else of all) is evicted; so the late duplicates of a finished message, which look
// like the start of a new one, go away by themselves. Thread: one.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "wire/packet.h"

namespace synod::dataplane {

// Packets must be large enough that a message needs no more (see Messenger::add_port).
inline constexpr std::size_t fragments_max = 2048;

// The length of all pieces but the last, or nothing if the fragment's place in its message contradicts itself. The packet
// has passed wire::decode_packet and has more than one fragment.
[[nodiscard]] std::optional<std::uint32_t> piece_bytes(const wire::PacketHeader& header, Bytes payload);

struct WholeMessage {
  wire::PacketHeader header;  // of the fragment that came first
  Bytes payload;              // valid until the next add
  Checksum checksum;          // of the payload: those of its pieces joined, nothing is read again
};

class Reassembler {
 public:
  Reassembler(std::size_t messages_max, std::size_t messages_per_sender_max);
  ~Reassembler();
  Reassembler(const Reassembler&) = delete;
  Reassembler& operator=(const Reassembler&) = delete;

  // `piece` is piece_bytes(header, payload), header.payload_checksum that of `payload`.
  [[nodiscard]] std::optional<WholeMessage> add(const wire::PacketHeader& header, Bytes payload, std::uint32_t piece);

  [[nodiscard]] std::uint64_t evicted() const { return evicted_; }
  [[nodiscard]] std::size_t unfinished() const;

 private:
  struct Identity {
    Incarnation incarnation;
    Ballot ballot;
    std::uint64_t message_id = 0;
    std::uint32_t message_bytes = 0;
    std::uint32_t piece_bytes = 0;
    ReplicaId source;
    std::uint16_t fragments = 0;
    wire::MessageType type{};
    bool operator==(const Identity&) const = default;
  };

  struct Unfinished {
    Identity identity;
    wire::PacketHeader first;
    std::uint64_t touched = 0;  // value of clock_ at the last fragment; 0: this place is free
    std::size_t missing = 0;
    std::bitset<fragments_max> present;
  };

  [[nodiscard]] std::size_t find_or_start(const Identity& identity, const wire::PacketHeader& header);
  [[nodiscard]] std::size_t place_for(const Identity& identity);
  [[nodiscard]] Checksum joined_checksum(std::size_t place) const;
  [[nodiscard]] std::byte* memory_of(std::size_t place) const { return memory_ + place * bytes_per_message_; }
  // Of its pieces, behind its bytes.
  [[nodiscard]] std::uint32_t* checksums_of(std::size_t place) const {
    return reinterpret_cast<std::uint32_t*>(memory_of(place + 1)) - fragments_max;
  }

  std::vector<Unfinished> unfinished_;
  std::size_t per_sender_max_;
  std::size_t bytes_per_message_;
  std::byte* memory_;
  std::size_t last_place_ = 0;  // fragments of one message mostly come together
  std::uint64_t clock_ = 0;     // counts fragments
  std::uint64_t evicted_ = 0;
};

}  // namespace synod::dataplane
