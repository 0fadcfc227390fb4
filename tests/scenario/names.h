// How a scenario's trace words things: replicas by name, ballots by the name's initial, values by what their clients wrote.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "consensus/effects.h"
#include "wire/message.h"

namespace synod::scenario {

class Names {
 public:
  explicit Names(std::vector<std::string> replicas) : replicas_(std::move(replicas)) {}

  [[nodiscard]] std::size_t size() const { return replicas_.size(); }
  [[nodiscard]] const std::string& replica(std::size_t place) const { return replicas_[place]; }
  [[nodiscard]] std::optional<std::size_t> place_of(std::string_view name) const;
  // (1,a): round 1 of the replica whose name begins with a.
  [[nodiscard]] std::string ballot(Ballot ballot) const;
  // athens, byzantium
  [[nodiscard]] std::string list(const std::vector<std::size_t>& places) const;

  // What a body with this checksum holds; an empty body is the no-op.
  void remember(Checksum checksum, const std::string& text) { values_[checksum] = text; }
  [[nodiscard]] std::string value(Checksum checksum) const;
  // 1=alice
  [[nodiscard]] std::string slot(Slot slot, Checksum checksum) const;

  [[nodiscard]] std::string message(const wire::PeerMessage& message) const;
  [[nodiscard]] std::string record(const consensus::Persist& record) const;

 private:
  std::vector<std::string> replicas_;
  std::map<Checksum, std::string> values_;
};

// The word that a script uses for a kind of message: prepare, promise, accept ...
[[nodiscard]] std::string_view kind_of(const wire::PeerPayload& payload);
[[nodiscard]] bool is_kind(std::string_view word);
// The slot that a message speaks of, where it speaks of one.
[[nodiscard]] std::optional<Slot> slot_of(const wire::PeerPayload& payload);

}  // namespace synod::scenario
