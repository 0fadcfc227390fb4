#include "tests/consensus/driver.h"

#include <gtest/gtest.h>

namespace synod::consensus::testing {

wire::RecordView record(std::uint64_t slot, Ballot ballot, std::uint32_t checksum, std::uint32_t bytes) {
  return {wire::seal({.slot = Slot(slot), .ballot = ballot, .body_bytes = bytes, .body_checksum = Checksum(checksum)}), {}};
}

Driver::Driver(const DriverOptions& options) {
  std::vector<ReplicaId> members;
  std::vector<wire::MemberUuid> uuids;
  for (std::uint16_t id = 1; id <= options.members; ++id) {
    members.emplace_back(id);
    uuids.push_back({.replica = ReplicaId(id), .uuid = uuid_of(id)});
  }
  if (!options.knows_members) uuids.clear();
  const bool has_sizes = options.phase1 != 0;
  engine_ = std::make_unique<Engine>(
      EngineOptions{.self = ReplicaId(options.self),
                    .configuration = has_sizes ? Configuration(members, options.phase1, options.phase2) : Configuration(members),
                    .incarnation = {uuid_of(options.self), options.open_count},
                    .window_slots = options.window_slots,
                    .timeouts = {},
                    .seed = 1},
      Restored{.promised = options.promised,
               .commit = options.commit,
               .members = uuids,
               .claim = options.claim,
               .heard = options.heard,
               .doubt = options.doubt,
               .highest_slot = options.highest_slot});
  if (options.knows_members && options.is_confirmed) confirm();
}

void Driver::confirm() {
  for (std::uint16_t peer = 1; peer <= engine_->configuration().size(); ++peer) answer(peer, wire::Hello{.is_certain = 1});
}

void Driver::install(Slot slot) {
  step([&] { engine_->install(slot, effects_); });
}

void Driver::restore(std::uint64_t slot, Ballot ballot, std::uint32_t checksum, bool chosen) {
  engine_->restore(Slot(slot), ballot, {Checksum(checksum), 8, new_body()}, chosen);
}

BodyHandle Driver::new_body() {
  bodies_.push_back(true);
  ++alive_;
  return BodyHandle(static_cast<std::uint32_t>(bodies_.size() - 1));
}

wire::PeerMessage Driver::message(std::uint16_t from, Ballot ballot, const wire::PeerPayload& payload, Slot commit, Probe probe) {
  return {ReplicaId(from), {uuid_of(from), 1}, ballot, commit, probe, payload};
}

void Driver::hear(std::uint16_t from, Ballot ballot, const wire::PeerPayload& payload, Slot commit, Probe probe) {
  hear(message(from, ballot, payload, commit, probe));
}

void Driver::hear(const wire::PeerMessage& heard) {
  BodyHandle body = no_body;
  if (engine_->wants_body(heard)) {
    std::visit(
        [&](const auto& payload) {
          if constexpr (requires { payload.record; }) {
            if (payload.record.header.body_bytes > 0) body = new_body();
          }
        },
        heard.payload);
  }
  step([&] { engine_->on_message(heard, body, effects_); });
}

void Driver::make_durable(std::uint64_t number) {
  step([&] { engine_->on_durable(PersistNumber(number), number); });
}

void Driver::tick(std::uint64_t us) {
  now_us_ += us;
  step([&] { engine_->on_tick(now_us_, effects_); });
}

void Driver::pass(std::uint64_t us) {
  for (std::uint64_t passed = 0; passed < us; passed += 1000) tick(1000);
}

Slot Driver::propose(std::uint32_t checksum, std::uint32_t bytes, wire::Asks asks) {
  Slot slot;
  const BodyHandle body = bytes == 0 ? no_body : new_body();
  step([&] { slot = engine_->propose({Checksum(checksum), bytes, body}, effects_, asks); });
  return slot;
}

void Driver::stop_voting() {
  step([&] { engine_->stop_voting(effects_); });
}

void Driver::campaign() {
  for (int ms = 0; ms < 1000 && engine_->role() == wire::Role::follower; ++ms) {
    tick(1000);
    if (sent<wire::Suspect>().empty()) continue;
    const auto peers = static_cast<std::uint16_t>(engine_->configuration().size());
    for (std::uint16_t peer = 1; peer <= peers; ++peer) {
      hear(peer, Ballot{}, wire::SuspectAnswer{1}, engine_->commit());
    }
  }
  ASSERT_EQ(engine_->role(), wire::Role::candidate);
}

void Driver::lead(std::span<const wire::PromisedSlot> found) {
  campaign();
  make_durable();
  const auto quorum = static_cast<std::uint16_t>(engine_->configuration().size() / 2 + 1);
  for (std::uint16_t peer = 2; peer <= quorum; ++peer) {
    hear(peer, engine_->promised(), wire::Promise{Slot{}, engine_->commit() + 16, found}, engine_->commit());
  }
}

template <class Call>
void Driver::step(Call&& call) {
  const Engine before = *engine_;
  effects_.clear();
  call();
  carry_out();
  bool more = true;
  while (more) {
    effects_.clear();
    more = engine_->pump(effects_);
    carry_out();
  }
  engine_->check_now();
  Engine::check_delta(before, *engine_);
}

void Driver::carry_out() {
  for (const Persist& persist : effects_.persists) persists.push_back(persist);
  if (effects_.open_count_floor != 0) open_count_floor_ = effects_.open_count_floor;
  persisted_ += effects_.persists.size();
  for (Send send : effects_.sends) {
    EXPECT_TRUE(send.body == no_body || bodies_[send.body.value()]) << "sent after its release";
    if (auto* promise = std::get_if<wire::Promise>(&send.payload)) {
      lists_.push_back(std::make_unique<std::vector<wire::PromisedSlot>>(promise->slots.begin(), promise->slots.end()));
      promise->slots = *lists_.back();
    }
    sends.push_back(send);
  }
  for (const Serve& serve : effects_.serves) serves.push_back(serve);
  for (const Commit& commit : effects_.commits) commits.push_back(commit);
  for (const BodyHandle body : effects_.releases) {
    EXPECT_TRUE(bodies_[body.value()]) << "released twice";
    bodies_[body.value()] = false;
    --alive_;
  }
}

}  // namespace synod::consensus::testing
