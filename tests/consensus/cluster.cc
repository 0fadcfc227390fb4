#include "tests/consensus/cluster.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstdio>

#include "tests/consensus/driver.h"
#include "wire/message.h"

namespace synod::consensus::testing {

namespace {

constexpr std::uint64_t tick_us = 1'000;

// A CHECK aborts: the seed of the run must not be lost with it.
volatile std::sig_atomic_t running_seed = 0;

void print_seed(int) {
  std::fprintf(stderr, "the run that stopped had SYNOD_SEED=%ld\n", static_cast<long>(running_seed));
  std::signal(SIGABRT, SIG_DFL);
}

Configuration make_configuration(const ClusterOptions& options) {
  std::vector<ReplicaId> members;
  for (std::uint16_t id = 1; id <= options.members; ++id) members.emplace_back(id);
  if (options.phase1 == 0) return Configuration(members);
  return {members, options.phase1, options.phase2};
}

}  // namespace

Cluster::Cluster(const ClusterOptions& options)
    : options_(options),
      prng_(options.seed),
      configuration_(make_configuration(options)),
      oracle_(configuration_),
      members_(options.members),
      clients_(options.clients) {
  running_seed = static_cast<std::sig_atomic_t>(options.seed);
  std::signal(SIGABRT, print_seed);
  for (std::size_t place = 0; place < members_.size(); ++place) {
    members_[place].id = configuration_.member(place);
    members_[place].disk_uuid = uuid_of(++uuids_drawn_);
    start(place);
  }
  for (std::size_t i = 0; i < clients_.size(); ++i) clients_[i].uuid = uuid_of(1'000 + i);
  at(now_us_ + 500, [this] { client_event(); });
}

// --- time -------------------------------------------------------------------------------------------------------------------

void Cluster::at(std::uint64_t time_us, std::function<void()> event) {
  events_.emplace(time_us, std::move(event));
}

bool Cluster::run_until(std::uint64_t us, const std::function<bool()>& done) {
  const std::uint64_t end_us = now_us_ + us;
  while (!oracle_.failed() && !events_.empty() && events_.begin()->first <= end_us) {
    if (done()) return true;
    auto event = events_.extract(events_.begin());
    now_us_ = std::max(now_us_, event.key());
    event.mapped()();
  }
  if (!oracle_.failed()) now_us_ = end_us;
  return done();
}

void Cluster::run_for(std::uint64_t us) {
  run_until(us, [] { return false; });
}

void Cluster::tick(std::size_t place, std::uint64_t life) {
  if (members_[place].life != life || !members_[place].is_up()) return;
  step(place, [&](Engine& engine) { engine.on_tick(now_us_, effects_); });
  at(now_us_ + tick_us, [this, place, life] { tick(place, life); });
}

// --- one call of one engine -------------------------------------------------------------------------------------------------

void Cluster::step(std::size_t place, const std::function<void(Engine&)>& call) {
  Member& member = members_[place];
  const Engine before = *member.engine;
  effects_.clear();
  call(*member.engine);
  carry_out(place);
  for (bool more = true; more && !oracle_.failed();) {
    effects_.clear();
    more = member.engine->pump(effects_) && !prng_.chance(world.pause_per_mille, 1000);
    carry_out(place);
  }
  member.engine->check_now();
  Engine::check_delta(before, *member.engine);
  stale_found_ += member.engine->counters().stale_found - before.counters().stale_found;
  if (before.doubt().is_unbounded() && !member.engine->doubt().is_unbounded()) ++repairs_;
  elections_ += member.engine->counters().elections - before.counters().elections;
  check_bodies(place);
  if (member.engine->counters().conflicting_values != 0) oracle_.fail("an engine met two values where there must be one");
}

void Cluster::carry_out(std::size_t place) {
  Member& member = members_[place];
  for (const Persist& persist : effects_.persists) stage(member, persist);
  if (!effects_.persists.empty()) schedule_disk(place);
  for (const Send& send : effects_.sends) transmit(place, send);
  for (const Serve& range : effects_.serves) serve(place, range);
  for (const Commit& commit : effects_.commits) {
    oracle_.committed(place, commit.slot, commit.value.checksum);
    if (commit.value.body != no_body && !member.pool[commit.value.body.value()].alive) oracle_.fail("commit of a released body");
    apply(place, commit.slot, commit.value.checksum,
          commit.value.body == no_body ? Bytes{} : Bytes(member.pool[commit.value.body.value()].bytes));
  }
  for (const BodyHandle body : effects_.releases) {
    if (body.value() >= member.pool.size() || !member.pool[body.value()].alive) return oracle_.fail("a body was released twice");
    member.pool[body.value()] = {};
    --member.bodies_alive;
  }
  if (effects_.leadership_changed) rebuild_proposed(member);
  if (effects_.open_count_floor > member.open_count) {
    member.open_count = effects_.open_count_floor;
    member.engine->raise_open_count(member.open_count);
  }
}

// An idle proposer holds no body, so the pool holds exactly those of the open slots.
void Cluster::check_bodies(std::size_t place) {
  const Member& member = members_[place];
  std::size_t open = 0;
  for (Slot slot = member.engine->commit() + 1; slot <= member.engine->commit() + options_.window_slots; ++slot) {
    const AcceptedSlot* accepted = member.engine->open_slot(slot);
    if (accepted == nullptr || accepted->value.body == no_body) continue;
    ++open;
    if (!member.pool[accepted->value.body.value()].alive) return oracle_.fail("an open slot's body was released");
  }
  if (open > member.bodies_alive) return oracle_.fail("two slots own one body");
  if (member.engine->role() == wire::Role::follower && open != member.bodies_alive) {
    oracle_.fail(fmt::format("member {} leaks {} bodies", place, member.bodies_alive - open));
  }
}

// --- network ----------------------------------------------------------------------------------------------------------------

void Cluster::transmit(std::size_t place, const Send& send) {
  Member& member = members_[place];
  check_durable_before_visible(place, send);
  Packet packet{
      send.to, {member.id, {member.disk_uuid, member.open_count}, send.ballot, send.commit, send.probe, send.payload}, {}, {}};
  if (const auto* promise = std::get_if<wire::Promise>(&send.payload))
    packet.slots = {promise->slots.begin(), promise->slots.end()};
  if (send.body != no_body) {
    const PoolBody& body = member.pool[send.body.value()];
    if (!body.alive) return oracle_.fail("a released body was sent");
    packet.body = body.bytes;
  }
  post(place, std::move(packet));
}

void Cluster::post(std::size_t from, Packet packet) {
  const std::size_t to = configuration_.place_of(packet.to);
  if (cuts_.contains({from, to}) || prng_.chance(world.loss_per_mille, 1000)) return;
  if (std::holds_alternative<wire::Accept>(packet.message.payload) && prng_.chance(world.accept_loss_per_mille, 1000)) return;
  if (filter && !filter(from, to, packet.message)) return;
  const std::size_t copies = prng_.chance(world.repeat_per_mille, 1000) ? 2 : 1;
  for (std::size_t copy = 0; copy < copies; ++copy) {
    const bool is_late = prng_.chance(world.late_per_mille, 1000);
    const std::uint64_t delay_us = prng_.between(world.delay_us_min, is_late ? world.late_us_max : world.delay_us_max);
    at(now_us_ + delay_us, [this, to, packet] { deliver(to, packet); });
  }
}

void Cluster::deliver(std::size_t place, const Packet& packet) {
  Member& member = members_[place];
  if (!member.is_up()) return;
  wire::PeerMessage message = packet.message;
  if (auto* promise = std::get_if<wire::Promise>(&message.payload)) promise->slots = packet.slots;
  BodyHandle handle = no_body;
  if (!packet.body.empty() && member.engine->wants_body(message) && !prng_.chance(world.no_room_per_mille, 1000)) {
    handle = BodyHandle(static_cast<std::uint32_t>(member.pool.size()));
    member.pool.push_back({packet.body, true});
    ++member.bodies_alive;
  }
  step(place, [&](Engine& engine) { engine.on_message(message, handle, effects_); });
}

void Cluster::inject(std::size_t to, const wire::PeerMessage& message) {
  deliver(to, Packet{configuration_.member(to), message, {}, {}});
}

void Cluster::cut_off(std::size_t member) {
  for (std::size_t peer = 0; peer < size(); ++peer) {
    cut(member, peer);
    cut(peer, member);
  }
}

// Each slot as Chosen, from what is durable on this disk; what is not is not sent, and will be asked for again.
void Cluster::serve(std::size_t place, const Serve& range) {
  Member& member = members_[place];
  for (Slot slot = range.from; slot <= range.last; ++slot) {
    const auto newest = member.newest.find(slot);
    if (newest == member.newest.end()) return oracle_.fail("a served slot was never journalled");
    if (newest->second >= member.durable) continue;
    const DiskRecord& record = member.disk[newest->second];
    const wire::RecordHeader header = wire::seal({.slot = slot,
                                                  .ballot = record.record.ballot,
                                                  .body_bytes = record.record.value.body_bytes,
                                                  .body_checksum = record.record.value.checksum,
                                                  .kind = wire::RecordKind::chosen});
    post(place, {range.to,
                 {member.id,
                  {member.disk_uuid, member.open_count},
                  member.engine->promised(),
                  member.engine->commit(),
                  Probe{},
                  wire::Chosen{{header, {}}}},
                 {},
                 record.body});
  }
}

// --- durable before visible -------------------------------------------------------------------------------------------------

void Cluster::check_durable_before_visible(std::size_t place, const Send& send) {
  const Member& member = members_[place];
  if (const auto* promise = std::get_if<wire::Promise>(&send.payload)) {
    if (member.durable_ballot < send.ballot) return oracle_.fail("a promise left before its record was durable");
    return check_promise(member, *promise, send.commit);
  }
  if (std::holds_alternative<wire::Prepare>(send.payload)) {
    if (member.durable_ballot < send.ballot) oracle_.fail("a prepare left before its own promise was durable");
  }
  if (const auto* accepted = std::get_if<wire::Accepted>(&send.payload)) {
    const bool is_durable = member.durable_votes.contains({accepted->slot, send.ballot, accepted->checksum}) ||
                            member.durable_chosen.contains({accepted->slot, accepted->checksum});
    if (!is_durable) oracle_.fail("a vote left before its record was durable");
  }
}

// Rule 1: whatever is on this disk above its commit watermark is in the promise.
void Cluster::check_promise(const Member& member, const wire::Promise& promise, Slot commit) {
  for (auto newest = member.newest.upper_bound(commit); newest != member.newest.end(); ++newest) {
    const auto reported = std::ranges::find(promise.slots, newest->first, &wire::PromisedSlot::slot);
    const Persist& record = member.disk[newest->second].record;
    if (reported == promise.slots.end() || reported->ballot != record.ballot || reported->checksum != record.value.checksum) {
      return oracle_.fail(fmt::format("a promise does not report slot {} as it is on disk", newest->first.value()));
    }
  }
}

}  // namespace synod::consensus::testing
