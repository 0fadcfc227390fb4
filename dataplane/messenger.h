// Messages over packets: cuts a message into fragments, puts fragments together again, validates every packet once.
//
// Owns the set of ports (by reference) and all reassembly memory. Thread: one. No heap after construction.
// Reassembly limits: at most `reassemblies_per_sender` unfinished messages a sender and `reassemblies_max` in all; when a new
// message needs room the least recently touched one of that sender (else of all) is evicted and counted. Fragments are keyed by
// (sender incarnation, message id) and kept across retransmissions, so a retransmission fills the holes of the first attempt.
// Consensus never sees a packet.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "dataplane/port.h"
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
  Route from;
};

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
  ~Messenger();
  Messenger(const Messenger&) = delete;
  Messenger& operator=(const Messenger&) = delete;

  // Adds a port; its index is the number of ports before it. A port may be added while others run (same thread).
  std::uint8_t add_port(PortRef port);
  [[nodiscard]] std::size_t ports() const;

  // Sends one message: `head` and then `body` are its payload. `header` brings type, destination, configuration, ballot,
  // message_id (0: a fresh one), commit and probe; the rest is filled in here. False if not all of it could be sent.
  bool send(const Route& to, wire::PacketHeader header, Bytes head, Bytes body = {});

  // Receives one burst from each port and calls handle(const Message&) for each message that is complete.
  // Returns the number of packets received.
  template <class Handler>
  std::size_t poll(Handler&& handle) {
    std::size_t packets = 0;
    for (std::size_t port = 0; port < ports_.size(); ++port) {
      std::array<Packet, burst_packets_max> burst;
      const std::size_t count = ports_[port].receive(burst);
      for (std::size_t i = 0; i < count; ++i) {
        Message message;
        if (accept_packet(static_cast<std::uint8_t>(port), burst[i], message)) handle(message);
      }
      packets += count;
    }
    return packets;
  }

  // Transmits everything queued on every port.
  void flush();

  [[nodiscard]] const MessengerCounters& counters() const { return counters_; }
  [[nodiscard]] const LocalIdentity& local() const { return local_; }

 private:
  class Reassembler;

  // Validates one packet; true if `message` is now a whole one.
  bool accept_packet(std::uint8_t port, const Packet& packet, Message& message);

  LocalIdentity local_;
  std::vector<PortRef> ports_;
  std::unique_ptr<Reassembler> reassembler_;
  std::uint64_t next_message_id_ = 1;
  MessengerCounters counters_;
};

}  // namespace synod::dataplane
