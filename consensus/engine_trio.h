// Three engines in one thread that hand each other their messages, for the benchmark and for the test that counts allocations.
// No port and no disk: every record is durable at once. Allocates at construction only.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "base/check.h"
#include "base/ring.h"
#include "consensus/engine.h"

namespace synod::consensus {

class EngineTrio {
 public:
  static constexpr std::size_t members = 3;

  EngineTrio() : packets_(4096) {
    std::array<ReplicaId, members> ids;
    std::array<wire::MemberUuid, members> uuids;
    for (std::size_t i = 0; i < members; ++i) {
      ids[i] = ReplicaId(static_cast<std::uint16_t>(i + 1));
      uuids[i] = {.replica = ids[i], .uuid = incarnation(i).disk};
    }
    for (std::size_t i = 0; i < members; ++i) {
      Timeouts timeouts;
      if (i > 0) timeouts.election_us_max = std::uint64_t{1} << 40;  // only the first one ever tries to lead
      const EngineOptions options{.self = ids[i],
                                  .configuration = Configuration(ids),
                                  .incarnation = incarnation(i),
                                  .window_slots = window_slots_max,
                                  .timeouts = timeouts,
                                  .seed = i};
      engines_[i] = std::make_unique<Engine>(options, Restored{.promised = {}, .commit = {}, .members = uuids});
    }
    heal();
  }

  // The leader hears nobody until it steps down; then it is elected again.
  void cut_off() {
    is_cut_off_ = true;
    while (engines_[0]->is_leader()) tick();
    is_cut_off_ = false;
  }
  void heal() {
    while (!engines_[0]->is_leader()) tick();
  }

  // A millisecond goes by.
  void tick() {
    now_us_ += 1'000;
    for (std::size_t member = 0; member < members; ++member) {
      call(member, [&](Engine& engine, Effects& effects) { engine.on_tick(now_us_, effects); });
      deliver_all();
    }
  }

  // One append: propose, two accepts, two votes, the commit.
  void append(std::uint32_t body_bytes) {
    CHECK(engines_[0]->can_propose());
    call(0, [&](Engine& engine, Effects& effects) { engine.propose({Checksum(++value_), body_bytes, body}, effects); });
    deliver_all();
  }

  [[nodiscard]] const Engine& leader() const { return *engines_[0]; }
  [[nodiscard]] std::uint64_t messages() const { return messages_; }
  [[nodiscard]] std::uint64_t records() const { return records_[0] + records_[1] + records_[2]; }
  [[nodiscard]] std::uint64_t commits() const { return commits_; }

 private:
  struct Packet {
    std::size_t to = 0;
    wire::PeerMessage message;
  };

  static constexpr BodyHandle body{1};  // nobody looks into a body here: one handle stands for all

  static Incarnation incarnation(std::size_t member) {
    Incarnation result{{}, 1};
    result.disk.bytes[0] = static_cast<std::byte>(member + 1);
    return result;
  }

  template <class Call>
  void call(std::size_t member, Call&& call) {
    Engine& engine = *engines_[member];
    effects_.clear();
    call(engine, effects_);
    carry_out(member);
    for (bool more = true; more;) {
      engine.on_durable(PersistNumber(records_[member]), records_[member]);
      effects_.clear();
      more = engine.pump(effects_);
      carry_out(member);
    }
  }

  void carry_out(std::size_t member) {
    records_[member] += effects_.persists.size();
    commits_ += effects_.commits.size();
    for (const Send& send : effects_.sends) {
      packets_.push({send.to.value() - 1U,
                     {ReplicaId(static_cast<std::uint16_t>(member + 1)), incarnation(member), send.ballot, send.commit,
                      send.probe, send.payload}});
    }
  }

  void deliver_all() {
    while (!packets_.empty()) {
      const Packet packet = packets_.front();
      packets_.pop();
      ++messages_;
      if (is_cut_off_) continue;
      call(packet.to, [&](Engine& engine, Effects& effects) {
        engine.on_message(packet.message, engine.wants_body(packet.message) ? body : no_body, effects);
      });
    }
  }

  std::array<std::unique_ptr<Engine>, members> engines_;
  std::array<std::uint64_t, members> records_{};
  Effects effects_;
  Ring<Packet> packets_;
  std::uint64_t now_us_ = 1'000'000;
  std::uint64_t messages_ = 0;
  std::uint64_t commits_ = 0;
  std::uint32_t value_ = 0;
  bool is_cut_off_ = false;
};

}  // namespace synod::consensus
