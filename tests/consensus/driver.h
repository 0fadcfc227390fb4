// One engine driven by hand: the test plays all its peers, its disk and its clock.
//
// A driver carries effects out as consensus/engine.h says and keeps what came out; bodies are counted, so that a handle that is
// released twice or never is seen by the test.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "consensus/engine.h"

namespace synod::consensus::testing {

[[nodiscard]] inline Uuid uuid_of(std::uint64_t number) {
  Uuid uuid;
  for (std::size_t i = 0; i < 8; ++i) uuid.bytes[i] = static_cast<std::byte>(number >> (8 * i));
  uuid.bytes[15] = std::byte{1};
  return uuid;
}

struct DriverOptions {
  std::uint16_t members = 3;
  std::size_t window_slots = 16;
  std::uint16_t self = 1;
  bool knows_members = true;
  Ballot promised;
  Slot commit;
  std::uint64_t open_count = 1;
  // Of rule 6. `is_confirmed`: all peers have answered already that they have heard no more of this disk.
  bool is_confirmed = true;
  Position claim{};
  wire::HeardTable heard{};
  Doubt doubt{};
  Slot highest_slot{};
  std::size_t phase1 = 0;  // 0: majorities
  std::size_t phase2 = 0;
};

class Driver {
 public:
  explicit Driver(const DriverOptions& options = {});

  // What came out, in order. Cleared by the test.
  std::vector<Send> sends;
  std::vector<Persist> persists;
  std::vector<Commit> commits;
  std::vector<Serve> serves;

  [[nodiscard]] Engine& engine() { return *engine_; }
  [[nodiscard]] std::uint64_t now_us() const { return now_us_; }

  // A message of a peer; a record in it gets a new body handle if it has a body and the engine wants it.
  void hear(std::uint16_t from, Ballot ballot, const wire::PeerPayload& payload, Slot commit = {}, Probe probe = {});
  void hear(const wire::PeerMessage& heard);
  // Everything staged up to `number`, or everything, is on stable storage.
  void make_durable(std::uint64_t number);
  void make_durable() { make_durable(persisted_); }
  void tick(std::uint64_t us);
  // Ticks of a millisecond each.
  void pass(std::uint64_t us);
  Slot propose(std::uint32_t checksum, std::uint32_t bytes = 8, wire::Asks asks = wire::Asks::nothing);
  void stop_voting();
  void set_trim(Slot slot) { engine_->set_trim(slot); }
  void install(Slot slot);
  void restore(std::uint64_t slot, Ballot ballot, std::uint32_t checksum, bool chosen = false);
  // Every peer, or one, answers this process's question.
  void confirm();
  void answer(std::uint16_t from, const wire::Hello& answer) { hear(from, Ballot{}, answer, {}, engine_->question()); }
  // What the engine last asked the caller to raise its open count to.
  [[nodiscard]] std::uint64_t open_count_floor() const { return open_count_floor_; }

  // Follower -> leader, answered by the peers 2 .. quorum with empty promises.
  void lead(std::span<const wire::PromisedSlot> found = {});
  // Follower -> candidate whose own promise waits for the disk.
  void campaign();

  [[nodiscard]] std::size_t bodies_alive() const { return alive_; }
  [[nodiscard]] BodyHandle new_body();
  [[nodiscard]] std::uint64_t persisted() const { return persisted_; }

  template <class Payload>
  [[nodiscard]] std::vector<Send> sent() const {
    std::vector<Send> found;
    for (const Send& send : sends) {
      if (std::holds_alternative<Payload>(send.payload)) found.push_back(send);
    }
    return found;
  }
  template <class Payload>
  [[nodiscard]] std::size_t count() const {
    return sent<Payload>().size();
  }
  [[nodiscard]] static wire::PeerMessage message(std::uint16_t from, Ballot ballot, const wire::PeerPayload& payload,
                                                 Slot commit = {}, Probe probe = {});

 private:
  template <class Call>
  void step(Call&& call);
  void carry_out();

  std::unique_ptr<Engine> engine_;
  Effects effects_;
  std::vector<bool> bodies_;
  std::size_t alive_ = 0;
  std::uint64_t persisted_ = 0;
  std::uint64_t now_us_ = 1'000'000;
  std::uint64_t open_count_floor_ = 0;
  std::vector<std::unique_ptr<std::vector<wire::PromisedSlot>>> lists_;  // what the promises in `sends` point to
};

// An accept, a value or a chosen record as a peer sends it; the body itself is never looked at by an engine.
[[nodiscard]] wire::RecordView record(std::uint64_t slot, Ballot ballot, std::uint32_t checksum, std::uint32_t bytes = 8);

[[nodiscard]] constexpr Ballot ballot_of(std::uint64_t round, std::uint16_t replica) {
  return {round, ReplicaId(replica)};
}

}  // namespace synod::consensus::testing
