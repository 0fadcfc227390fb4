#include "tests/explore/message.h"

#include <fmt/format.h>

#include <variant>

namespace synod::consensus::explore {

namespace {

template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};

bool looks_at_commit(const wire::PeerPayload& payload) {
  return std::holds_alternative<wire::Promise>(payload) || std::holds_alternative<wire::Accept>(payload) ||
         std::holds_alternative<wire::Heartbeat>(payload);
}

void add_record(Fingerprint& print, const wire::RecordHeader& record) {
  print.add(record.slot);
  print.add(record.ballot);
  print.add(record.body_checksum);
  print.add(record.body_bytes);
}

void add_payload(Fingerprint& print, const wire::PeerPayload& payload) {
  print.add(payload.index());
  std::visit(Overloaded{[&](const wire::Promise& promise) {
                          print.add(promise.to);
                          print.add(promise.trim);
                          for (const wire::PromisedSlot& slot : promise.slots) {
                            print.add(slot.slot);
                            print.add(slot.ballot);
                            print.add(slot.checksum);
                            print.add(slot.body_bytes);
                          }
                        },
                        [&](const wire::Accepted& accepted) {
                          print.add(accepted.slot);
                          print.add(accepted.checksum);
                        },
                        [&](const wire::Received& received) {
                          print.add(received.slot);
                          print.add(received.checksum);
                        },
                        [&](const wire::Nack& nack) { print.add(nack.refused); },
                        [&](const wire::Hello& hello) {
                          print.add(hello.wants_answer | hello.is_certain << 1U);
                          print.add(hello.highest_ballot);
                          print.add(hello.highest_slot);
                        },
                        [&](const wire::Fetch& fetch) {
                          print.add(fetch.slot);
                          print.add(fetch.accepted);
                          print.add(fetch.checksum);
                        },
                        [&](const auto& other) {
                          if constexpr (requires { other.record; }) add_record(print, other.record.header);
                        }},
             payload);
}

std::string describe_record(const char* name, const wire::RecordHeader& record) {
  return fmt::format("{}(slot {}, {} in {})", name, record.slot.value(), describe(record.body_checksum), describe(record.ballot));
}

std::string describe_promise(const wire::Promise& promise) {
  std::string text = "Promise(";
  for (const wire::PromisedSlot& slot : promise.slots) {
    text += fmt::format("slot {}: {} in {}; ", slot.slot.value(), describe(slot.checksum), describe(slot.ballot));
  }
  return text + (promise.slots.empty() ? "nothing accepted)" : ")");
}

std::string describe_payload(const wire::PeerPayload& payload) {
  return std::visit(Overloaded{[](const wire::Prepare&) -> std::string { return "Prepare"; },
                               [](const wire::Promise& promise) { return describe_promise(promise); },
                               [](const wire::Accept& accept) { return describe_record("Accept", accept.record.header); },
                               [](const wire::Accepted& accepted) {
                                 return fmt::format("Accepted(slot {}, {})", accepted.slot.value(), describe(accepted.checksum));
                               },
                               [](const wire::Received& received) {
                                 return fmt::format("Received(slot {}, {})", received.slot.value(), describe(received.checksum));
                               },
                               [](const wire::Nack& nack) { return fmt::format("Nack of {}", describe(nack.refused)); },
                               [](const wire::Heartbeat&) -> std::string { return "Heartbeat"; },
                               [](const wire::Hello& hello) {
                                 return fmt::format("Hello{}(seen {}, slots up to {})", hello.wants_answer != 0 ? "?" : "",
                                                    describe(hello.highest_ballot), hello.highest_slot.value());
                               },
                               [](const wire::Fetch& fetch) {
                                 return fmt::format("Fetch(slot {}, {})", fetch.slot.value(), describe(fetch.checksum));
                               },
                               [](const wire::Value& value) { return describe_record("Value", value.record.header); },
                               [](const wire::Chosen& chosen) { return describe_record("Chosen", chosen.record.header); },
                               [](const auto&) -> std::string { return "message"; }},
                    payload);
}

}  // namespace

Message::Message(std::size_t from_place, std::size_t to_place, const wire::PeerMessage& sent)
    : from(from_place), to(to_place), message(sent) {
  if (!looks_at_commit(message.payload)) message.commit = Slot{};
  if (std::holds_alternative<wire::Chosen>(message.payload)) message.ballot = Ballot{};
  if (auto* promise = std::get_if<wire::Promise>(&message.payload)) {
    slots.assign(promise->slots.begin(), promise->slots.end());
    promise->slots = slots;
  }
}

Fingerprint::Value fingerprint(const Message& message, const Fingerprint::Labels& labels) {
  Fingerprint print(labels);
  print.add(labels[message.from]);
  print.add(labels[message.to]);
  print.add(message.message.incarnation.open_count);
  print.add(message.message.ballot);
  print.add(message.message.commit);
  const wire::PeerPayload& payload = message.message.payload;
  const bool looks_at_probe = std::holds_alternative<wire::Hello>(payload) || std::holds_alternative<wire::Accept>(payload);
  if (looks_at_probe) print.add(message.message.probe);
  add_payload(print, message.message.payload);
  return print.value();
}

std::string describe(Ballot ballot) {
  return fmt::format("({}, {})", ballot.round(), ballot.replica().value());
}

Checksum value_of(Ballot ballot, Slot slot, std::uint64_t open_count) {
  const std::uint64_t digits = ((ballot.round() * 100 + ballot.replica().value()) * 10 + slot.value()) * 10 + open_count;
  return Checksum(static_cast<std::uint32_t>(digits));
}

std::string describe(Checksum value) {
  if (value == Checksum{}) return "no-op";
  const std::uint32_t digits = value.value();
  const std::string life = digits % 10 == 0 ? "" : fmt::format(" of life {}", digits % 10);
  return fmt::format("value of ({}, {}){}", digits / 10'000, digits / 100 % 100, life);
}

std::string describe(const Message& message) {
  const wire::PeerMessage& sent = message.message;
  std::string text = describe_payload(sent.payload);
  if (!std::holds_alternative<wire::Chosen>(sent.payload)) text += " " + describe(sent.ballot);
  if (sent.commit != Slot{}) text += fmt::format(", commit {}", sent.commit.value());
  if (sent.incarnation.open_count != 0) text += fmt::format(", life {}", sent.incarnation.open_count);
  return text;
}

MessageId Messages::intern(std::size_t from, std::size_t to, const wire::PeerMessage& message) {
  auto made = std::make_unique<Message>(from, to, message);
  const auto [known, is_new] =
      by_print_.try_emplace(fingerprint(*made, Fingerprint::own_labels), static_cast<MessageId>(all_.size()));
  if (!is_new) return known->second;
  Entry entry{std::move(made), received_[to]++, {}};
  for (const Fingerprint::Labels& labels : symmetries_) entry.prints.push_back(fingerprint(*entry.message, labels));
  all_.push_back(std::move(entry));
  return known->second;
}

}  // namespace synod::consensus::explore
