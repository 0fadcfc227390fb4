// Every message that any replica ever sent in any state, each once: a message is a small number here.
//
// What a receiver never looks at is cleared, so that it does not tell states apart: the commit watermark of all but Promise,
// Accept and Heartbeat (in others it only says whom to ask for catch-up), and the ballot of Chosen (the sender's promise, which
// only lifts the round of the receiver's next ballot).
#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "consensus/fingerprint.h"
#include "wire/message.h"

namespace synod::consensus::explore {

using MessageId = std::uint32_t;

struct Message {
  std::size_t from = 0;  // places
  std::size_t to = 0;
  wire::PeerMessage message;
  std::vector<wire::PromisedSlot> slots;  // of a promise; message.payload points here

  Message() = default;
  Message(std::size_t from_place, std::size_t to_place, const wire::PeerMessage& sent);
};

[[nodiscard]] Fingerprint::Value fingerprint(const Message& message, const Fingerprint::Labels& labels);
[[nodiscard]] std::string describe(const Message& message);
[[nodiscard]] std::string describe(Ballot ballot);
// A value names the ballot in which it was made up, see value_of.
[[nodiscard]] std::string describe(Checksum value);
// What the leader of a ballot proposes for a slot of its own choice: a new value for each ballot, slot and process lifetime.
[[nodiscard]] Checksum value_of(Ballot ballot, Slot slot, std::uint64_t open_count);

class Messages {
 public:
  explicit Messages(std::vector<Fingerprint::Labels> symmetries) : symmetries_(std::move(symmetries)) {}

  MessageId intern(std::size_t from, std::size_t to, const wire::PeerMessage& message);
  [[nodiscard]] const Message& operator[](MessageId id) const { return *all_[id].message; }
  // Counts the messages to one receiver, from 0.
  [[nodiscard]] std::uint32_t number_at_receiver(MessageId id) const { return all_[id].number_at_receiver; }
  [[nodiscard]] const std::vector<Fingerprint::Value>& prints(MessageId id) const { return all_[id].prints; }
  [[nodiscard]] std::size_t size() const { return all_.size(); }

 private:
  struct Entry {
    std::unique_ptr<Message> message;  // its place in memory is fixed: payloads point into it
    std::uint32_t number_at_receiver = 0;
    std::vector<Fingerprint::Value> prints;  // one for each symmetry
  };

  std::vector<Fingerprint::Labels> symmetries_;
  std::vector<Entry> all_;
  std::map<Fingerprint::Value, MessageId> by_print_;
  std::array<std::uint32_t, members_max> received_{};
};

}  // namespace synod::consensus::explore
