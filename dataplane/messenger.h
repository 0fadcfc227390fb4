// Messages over packets: cuts a message into fragments, puts fragments together again, validates every packet once.
//
// Owns the set of ports (by reference) and all reassembly memory. Thread: one. No heap after construction.
// Reassembly limits: at most `reassemblies_per_sender` unfinished messages a sender and `reassemblies_max` in all; when a new
// message needs room the least recently touched one of that sender (else of all) is evicted and counted. Fragments are keyed by
// (sender incarnation, message id) and kept across retransmissions, so a retransmission fills the holes of the first attempt:
// give it the same message id, and the same bytes (see dataplane/reassembler.h). Consensus never sees a packet.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/fixed_vector.h"
#include "base/ids.h"
#include "dataplane/port.h"
#include "dataplane/reassembler.h"
#include "wire/packet.h"

namespace synod::dataplane {

// Where a message came from, and so where an answer goes.
struct Route {
  std::uint8_t port = 0;  // index in the set of ports
  Endpoint endpoint;
  bool operator==(const Route&) const = default;
};

struct Message {
  wire::PacketHeader header;  // validated; of the first packet
  Bytes payload;              // the whole message, valid while the handler runs
  Checksum checksum;          // of the payload; each packet's was checked, so nobody needs to read it for this again
  Route from;
};

// One of those that a message goes to.
struct Destination {
  Route route;
  ReplicaId replica;
};
inline constexpr std::size_t destinations_max = members_max;

// What this process puts into every header it sends, and demands of every header it receives.
struct LocalIdentity {
  ClusterId cluster;
  GroupId group;
  ReplicaId self;  // 0 for a client
  Incarnation incarnation;
};

struct MessengerLimits {
  std::size_t ports_max = 16;
  std::size_t reassemblies_max = 64;
  std::size_t reassemblies_per_sender = 16;
};

struct MessengerCounters {
  std::uint64_t packets_received = 0;
  std::uint64_t packets_sent = 0;
  std::uint64_t messages_received = 0;
  std::uint64_t messages_sent = 0;
  std::uint64_t send_dropped = 0;  // a port had no buffer; the message (or its rest) was not sent
  std::uint64_t reassemblies_evicted = 0;
  std::array<std::uint64_t, static_cast<std::size_t>(wire::PacketFault::count_)> dropped{};  // by reason

  [[nodiscard]] std::uint64_t dropped_total() const;
};

class Messenger {
 public:
  Messenger(const LocalIdentity& local, const MessengerLimits& limits);
  Messenger(const Messenger&) = delete;
  Messenger& operator=(const Messenger&) = delete;
  ~Messenger() = default;

  // Adds a port; its index is the number of ports before it. A port may be added while others run (same thread).
  std::uint8_t add_port(PortRef port);
  [[nodiscard]] std::size_t ports() const;
  // How many packets can wait at a port to be received, about.
  [[nodiscard]] std::size_t waiting_max(std::uint8_t port) const { return ports_[port].waiting_max; }

  // An id for a message that may be sent again. Fresh ids have the top bit set: ids that a caller makes up itself (a slot,
  // a sequence) stay below it and never meet them.
  [[nodiscard]] std::uint64_t fresh_message_id() { return fresh_bit | next_message_id_++; }

  // Sends one message: `head` and then `body` are its payload. `asked` brings type, destination, configuration, ballot,
  // message_id (0: a fresh one), commit, probe and credit; the rest is filled in here. False if not all of it could be sent.
  // Where the checksum of `body` is known, a message of one packet reads it once, to copy it.
  bool send(const Route& to, const wire::PacketHeader& asked, Bytes head, Bytes body = {},
            std::optional<Checksum> body_checksum = std::nullopt);

  // The same to each of several, which makes a checksum of every byte once, and a copy once for all that one port reaches if the
  // port can do that. `asked` names no destination. Returns how many it was sent to. Where packets differ in size, and where
  // there are more of them than a burst, one receiver comes after the other: a port that has no room for all reaches the first
  // ones.
  std::size_t send_to_each(std::span<const Destination> to, const wire::PacketHeader& asked, Bytes head, Bytes body = {},
                           std::optional<Checksum> body_checksum = std::nullopt);

  // Receives one burst from each port and calls handle(const Message&) for each message that is complete.
  // Returns the number of packets received. The handler may send and add ports, and must not poll.
  template <class Handler>
  std::size_t poll(Handler&& handle) {
    CHECK(!polling_);
    polling_ = true;
    refused_.clear();
    std::size_t packets = 0;
    for (std::size_t port = 0; port < ports_.size(); ++port) {
      const std::size_t count = ports_[port].ref.receive(burst_);
      for (std::size_t i = 0; i < count; ++i) {
        if (accept_packet(static_cast<std::uint8_t>(port), burst_[i])) handle(std::as_const(message_));
      }
      packets += count;
    }
    polling_ = false;
    return packets;
  }

  // Where nobody listens, as the last poll heard (see Packet::is_refusal); some of them, if there were many.
  [[nodiscard]] std::span<const Route> refused() const { return {refused_.begin(), refused_.size()}; }

  // Transmits everything queued on every port.
  void flush();

  [[nodiscard]] const MessengerCounters& counters() const { return counters_; }
  [[nodiscard]] const LocalIdentity& local() const { return local_; }
  // What is sent from now on comes from a later open of the same disk.
  void set_open_count(std::uint64_t open_count) { local_.incarnation.open_count = open_count; }

 private:
  struct PortEntry {
    PortRef ref;
    std::size_t piece_bytes;  // of a message's payload in one packet
    std::size_t waiting_max;
  };

  static constexpr std::uint64_t fresh_bit = std::uint64_t{1} << 63;

  // Validates one packet; true if message_ is now a whole one.
  bool accept_packet(std::uint8_t port, const Packet& packet);
  // The part of a message that one packet carries.
  struct Piece {
    Bytes head;
    Bytes body;
  };
  // A bit for each destination of a message.
  using Places = std::uint32_t;
  static_assert(destinations_max <= 32);

  // To all of them packet by packet, each cut as the first one's port takes it.
  std::size_t send_together(std::span<const Destination> to, const wire::PacketHeader& asked, Bytes head, Bytes body,
                            std::optional<Checksum> body_checksum);
  // Whether all get the same packets, and few of them.
  [[nodiscard]] bool is_one_burst(std::span<const Destination> to, std::size_t bytes) const;
  // To each of those that are left; returns for whom there was a buffer.
  Places send_piece(std::span<const Destination> to, Places left, wire::PacketHeader& header, const Piece& piece);
  // `may_share`: a packet of this port has the piece already.
  bool send_packet(const Route& to, const wire::PacketHeader& header, const Piece& piece, bool may_share);
  void note_refusal(const Route& route);
  void drop(wire::PacketFault fault) { ++counters_.dropped[static_cast<std::size_t>(fault)]; }

  LocalIdentity local_;
  std::size_t ports_max_;
  std::vector<PortEntry> ports_;
  Reassembler reassembler_;
  std::uint64_t next_message_id_ = 1;
  std::uint64_t first_fragment_ = 0;  // where the next message that needs several packets begins, modulo its fragments
  MessengerCounters counters_;
  std::array<Packet, burst_packets_max> burst_;
  Message message_;
  FixedVector<Route, 8> refused_;
  bool polling_ = false;
  bool has_sent_ = false;  // since the last flush
};

}  // namespace synod::dataplane
