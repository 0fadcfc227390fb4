#include "tests/scenario/names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <variant>

namespace synod::scenario {

namespace {

// In the order of wire::PeerPayload.
constexpr std::array<std::string_view, 15> kinds{"hello",  "suspect",  "suspect-answer", "prepare",   "promise",
                                                 "accept", "accepted", "nack",           "heartbeat", "heartbeat-answer",
                                                 "fetch",  "value",    "catch-up",       "chosen",    "received"};
static_assert(kinds.size() == std::variant_size_v<wire::PeerPayload>);

// Words one message; what each struct means is said in wire/message.h.
class Wording {
 public:
  Wording(const Names& names, const wire::PeerMessage& message) : names_(names), message_(message) {}

  std::string operator()(const wire::Hello& hello) const {
    if (hello.wants_answer != 0) {
      return hello.position.is_none() ? "hello, who are you?" : "hello, my disk is at " + position(hello) + "?";
    }
    if (hello.is_certain == 0) return "hello, not sure";
    return fmt::format("hello, heard {}, seen {}, slots up to {}", position(hello), names_.ballot(hello.highest_ballot),
                       hello.highest_slot.value());
  }
  std::string operator()(const wire::Suspect&) const { return "suspect" + commit(); }
  std::string operator()(const wire::SuspectAnswer& answer) const {
    return answer.lost != 0 ? "suspect answer: lost" : "suspect answer: not lost";
  }
  std::string operator()(const wire::Prepare&) const { return "prepare " + ballot() + commit(); }
  std::string operator()(const wire::Promise& promise) const {
    std::string text = "promise " + ballot() + ":";
    if (promise.slots.empty()) text += " nothing";
    for (const wire::PromisedSlot& slot : promise.slots) {
      text += fmt::format(" {} of {}", names_.slot(slot.slot, slot.checksum), names_.ballot(slot.ballot));
    }
    return text + commit();
  }
  std::string operator()(const wire::Accept& accept) const {
    return "accept " + ballot() + " " + record(accept.record) + commit();
  }
  std::string operator()(const wire::Accepted& accepted) const {
    return "accepted " + ballot() + " " + names_.slot(accepted.slot, accepted.checksum);
  }
  std::string operator()(const wire::Received& received) const {
    return "received " + ballot() + " " + names_.slot(received.slot, received.checksum);
  }
  std::string operator()(const wire::Nack& nack) const {
    return fmt::format("nack {}: promised {}", names_.ballot(nack.refused), ballot());
  }
  std::string operator()(const wire::Heartbeat&) const { return "heartbeat " + ballot() + probe() + commit(); }
  std::string operator()(const wire::HeartbeatAnswer&) const { return "heartbeat answer " + ballot() + probe(); }
  std::string operator()(const wire::Fetch& fetch) const {
    return fmt::format("fetch {} of {}", names_.slot(fetch.slot, fetch.checksum), names_.ballot(fetch.accepted));
  }
  std::string operator()(const wire::Value& value) const { return "value " + record(value.record); }
  std::string operator()(const wire::CatchUp& range) const {
    return fmt::format("catch-up {}..{}", range.from.value(), range.to.value());
  }
  std::string operator()(const wire::Chosen& chosen) const { return "chosen " + record(chosen.record); }

 private:
  [[nodiscard]] static std::string position(const wire::Hello& hello) {
    if (hello.position.is_none()) return "nothing";
    return fmt::format("open {} block {}", hello.position.open_count, hello.position.sequence);
  }
  [[nodiscard]] std::string ballot() const { return names_.ballot(message_.ballot); }
  [[nodiscard]] std::string commit() const {
    return message_.commit == Slot{} ? "" : fmt::format(", commit {}", message_.commit.value());
  }
  [[nodiscard]] std::string probe() const {
    return message_.probe == Probe{} ? "" : fmt::format(" probe {}", message_.probe.value());
  }
  [[nodiscard]] std::string record(const wire::RecordView& view) const {
    return names_.slot(view.header.slot, view.header.body_checksum);
  }

  const Names& names_;
  const wire::PeerMessage& message_;
};

}  // namespace

std::optional<std::size_t> Names::place_of(std::string_view name) const {
  const auto found = std::ranges::find(replicas_, name);
  if (found == replicas_.end()) return std::nullopt;
  return static_cast<std::size_t>(found - replicas_.begin());
}

std::string Names::ballot(Ballot ballot) const {
  if (ballot.is_none()) return "none";
  return fmt::format("({},{})", ballot.round(), replicas_.at(ballot.replica().value() - 1U).front());
}

std::string Names::list(const std::vector<std::size_t>& places) const {
  std::string text;
  for (const std::size_t place : places) text += (text.empty() ? "" : ", ") + replicas_[place];
  return text;
}

std::string Names::value(Checksum checksum) const {
  if (checksum == Checksum{}) return "no-op";
  return values_.at(checksum);
}

std::string Names::slot(Slot slot, Checksum checksum) const {
  return fmt::format("{}={}", slot.value(), value(checksum));
}

std::string Names::message(const wire::PeerMessage& message) const {
  return std::visit(Wording(*this, message), message.payload);
}

std::string Names::record(const consensus::Persist& record) const {
  switch (record.kind) {
    case wire::RecordKind::promise: return "promise " + ballot(record.ballot);
    case wire::RecordKind::members: return "members";
    case wire::RecordKind::accepted:
      return fmt::format("accepted {} {}", ballot(record.ballot), slot(record.slot, record.value.checksum));
    case wire::RecordKind::chosen: return "chosen " + slot(record.slot, record.value.checksum);
    case wire::RecordKind::repair:
      if (record.ballot.is_none()) return "repair without a bound";
      return fmt::format("repair up to {}, slot {}", ballot(record.ballot), record.slot.value());
    default: break;
  }
  return "";
}

std::string_view kind_of(const wire::PeerPayload& payload) {
  return kinds.at(payload.index());
}

bool is_kind(std::string_view word) {
  return std::ranges::find(kinds, word) != kinds.end();
}

std::optional<Slot> slot_of(const wire::PeerPayload& payload) {
  return std::visit(
      [](const auto& what) -> std::optional<Slot> {
        if constexpr (requires { what.record; }) {
          return what.record.header.slot;
        } else if constexpr (requires { what.slot; }) {
          return what.slot;
        } else {
          return std::nullopt;
        }
      },
      payload);
}

}  // namespace synod::scenario
