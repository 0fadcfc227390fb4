#include "tests/explore/replica.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/mutant.h"

namespace synod::consensus::explore {

namespace {

// One microsecond of credit for a tick; see replica.h.
constexpr std::uint64_t election_ticks = 8;
constexpr std::uint64_t step_down_ticks = 256;
constexpr Timeouts timeouts{.heartbeat_us = 0,
                            .ask_us = UINT64_MAX,  // an election may begin at any time as it is
                            .election_us_min = election_ticks,
                            .election_us_max = election_ticks,
                            .campaign_us = election_ticks,
                            .resend_us = 0,
                            .catch_up_us = 0,
                            .step_down_us = step_down_ticks,
                            .stall_us = step_down_ticks,
                            .silence_us_per_tick_max = 1};
constexpr std::uint64_t tick_us = 1;
constexpr std::uint32_t body_bytes = 8;

// What the engines fill, one call at a time.
Effects effects;

Uuid uuid_of(std::size_t place) {
  Uuid uuid;
  uuid.bytes[0] = static_cast<std::byte>(place + 1);
  return uuid;
}

ReplicaId id_of(std::size_t place) {
  return ReplicaId(static_cast<std::uint16_t>(place + 1));
}

Engine make_engine(const Bounds& bounds, std::size_t place, std::uint64_t open_count, const Disk& disk) {
  FixedVector<ReplicaId, members_max> ids;
  FixedVector<wire::MemberUuid, members_max> uuids;
  for (std::size_t member = 0; member < bounds.members; ++member) {
    ids.push_back(id_of(member));
    uuids.push_back({.replica = id_of(member), .uuid = uuid_of(member)});
  }
  const EngineOptions options{.self = id_of(place),
                              .configuration = Configuration({ids.begin(), ids.end()}),
                              .incarnation = {uuid_of(place), open_count},
                              .window_slots = bounds.window_slots,
                              .timeouts = timeouts,
                              .seed = 1};
  Ballot promised = disk.promised;
  // As in replica/node.cc.
  if (mutant(Mutant::ballot_reused_after_restart) && open_count > 0 && promised.replica() == options.self) {
    promised = Ballot(promised.round() - 1, options.self);
  }
  return {options,
          Restored{.promised = promised, .commit = disk.commit, .members = {uuids.begin(), uuids.end()}, .doubt = disk.doubt}};
}

// Nobody looks into a body: its handle is its value.
BodyHandle body_of(Checksum value) {
  return value == Checksum{} ? no_body : BodyHandle(value.value());
}

// The answers to polls and heartbeats bear on liveness and on tail reads alone, and questions about what is chosen are asked by
// the `serve` action, at any time.
bool is_left_out(const wire::PeerPayload& payload, const Bounds& bounds) {
  return (!bounds.lost_tails && std::holds_alternative<wire::Hello>(payload)) || std::holds_alternative<wire::Suspect>(payload) ||
         std::holds_alternative<wire::SuspectAnswer>(payload) || std::holds_alternative<wire::HeartbeatAnswer>(payload) ||
         std::holds_alternative<wire::CatchUp>(payload) || (!bounds.nacks && std::holds_alternative<wire::Nack>(payload));
}

}  // namespace

Replica::Replica(const Bounds& bounds, std::size_t place)
    : bounds_(&bounds), place_(place), engine_(make_engine(bounds, place, 0, disk_)) {
  disk_.may_lose = bounds.lost_middles || bounds.lost_tails;
  confirm();
}

// Nobody has heard more of this disk than it claims. (Without a bound it takes their real word.)
void Replica::confirm() {
  if (engine_.doubt().is_unbounded()) return;
  for (std::size_t peer = 0; peer < bounds_->members; ++peer) {
    if (peer == place_) continue;
    const wire::PeerMessage answer{id_of(peer),        {uuid_of(peer), heard_[peer]}, Ballot{}, Slot{},
                                   engine_.question(), wire::Hello{.is_certain = 1}};
    effects.clear();
    engine_.on_message(answer, no_body, effects);
  }
}

void Replica::fail(const std::string& what) {
  if (failure_.empty()) failure_ = fmt::format("replica {}: {}", place_ + 1, what);
}

// --- one call of the engine -------------------------------------------------------------------------------------------------

template <class Call>
void Replica::step(std::vector<Sent>& sent, Call&& call) {
  effects.clear();
  call();
  carry_out(sent);
  for (bool more = true; more && failure_.empty();) {
    if (!bounds_->slow_disks) flush();
    effects.clear();
    more = engine_.pump(effects);
    carry_out(sent);
  }
  effects.clear();
  if (engine_.pump(effects) && failure_.empty()) fail("pump had said that it rests");
  engine_.check_now();
  if (engine_.counters().conflicting_values != 0) fail("met two values where there must be one");
}

void Replica::carry_out(std::vector<Sent>& sent) {
  for (const Persist& persist : effects.persists) {
    const Value& value = persist.value;
    DiskRecord record{persist.kind, persist.slot, persist.ballot, value.checksum, value.body_bytes, engine_.commit(), {}, {}};
    if (disk_.may_lose) record.promised = engine_.promised();
    if (disk_.may_lose) record.highest = engine_.highest_slot();
    disk_.staged.push_back(record);
  }
  for (const Send& send : effects.sends) transmit(send, sent);
  for (const Serve& range : effects.serves) serve_range(range, sent);
  for (const Commit& commit : effects.commits) {
    if (commit.slot.value() != committed_.size() + 1) fail("commits come out of order");
    committed_.push_back(commit.value.checksum);
    if (!bounds_->lost_tails) continue;
    if (ever_committed_.size() < committed_.size()) ever_committed_.push_back(commit.value.checksum);
    if (ever_committed_[committed_.size() - 1] != commit.value.checksum) fail("commits another value after it started again");
  }
}

void Replica::flush() {
  while (!disk_.staged.empty()) {
    disk_.make_durable();
    ++durable_number_;
  }
  engine_.on_durable(PersistNumber(durable_number_), 0);
}

void Replica::transmit(const Send& send, std::vector<Sent>& sent) {
  check_durable_before_visible(send);
  if (is_left_out(send.payload, *bounds_)) return;
  Sent out{send.to.value() - 1U,
           {id_of(place_), {uuid_of(place_), open_count_}, send.ballot, send.commit, send.probe, send.payload},
           {}};
  if (const auto* promise = std::get_if<wire::Promise>(&send.payload)) {
    out.slots.assign(promise->slots.begin(), promise->slots.end());
  }
  sent.push_back(std::move(out));
  // The engine's list is overwritten by its next promise; a moved vector keeps its memory.
  if (auto* promise = std::get_if<wire::Promise>(&sent.back().message.payload)) promise->slots = sent.back().slots;
}

// Each slot as Chosen, from what is durable on this disk.
void Replica::serve_range(const Serve& range, std::vector<Sent>& sent) {
  for (Slot slot = range.from; slot <= range.last; ++slot) {
    const auto is_of_slot = [&](const DiskRecord& record) { return record.slot == slot; };
    if (std::ranges::any_of(disk_.staged, is_of_slot)) continue;  // asked for again when the newest record is durable
    if (slot.value() > disk_.newest.size()) return fail("a served slot was never journalled");
    const DiskRecord& record = disk_.newest[slot.value() - 1];
    const wire::RecordHeader header = wire::seal({.slot = slot,
                                                  .ballot = record.ballot,
                                                  .body_bytes = record.body_bytes,
                                                  .body_checksum = record.checksum,
                                                  .kind = wire::RecordKind::chosen});
    sent.push_back({range.to.value() - 1U,
                    {id_of(place_),
                     {uuid_of(place_), open_count_},
                     engine_.promised(),
                     engine_.commit(),
                     Probe{},
                     wire::Chosen{{header, {}}}},
                    {}});
  }
}

// --- durable before visible -------------------------------------------------------------------------------------------------

void Replica::check_durable_before_visible(const Send& send) {
  if (const auto* promise = std::get_if<wire::Promise>(&send.payload)) {
    if (disk_.promised < send.ballot) return fail("a promise left before its record was durable");
    return check_promise(*promise, send.commit);
  }
  if (std::holds_alternative<wire::Prepare>(send.payload) && disk_.promised < send.ballot) {
    return fail("a prepare left before its own promise was durable");
  }
  const auto* accepted = std::get_if<wire::Accepted>(&send.payload);
  if (accepted == nullptr) return;
  const bool is_durable = std::ranges::any_of(disk_.history, [&](const DiskRecord& record) {
    return record.slot == accepted->slot && record.checksum == accepted->checksum &&
           (record.kind == wire::RecordKind::chosen || record.ballot == send.ballot);
  });
  if (!is_durable) fail("a vote left before its record was durable");
}

// Rule 1: whatever is on this disk above its commit watermark is in the promise.
void Replica::check_promise(const wire::Promise& promise, Slot commit) {
  for (Slot slot = commit + 1; slot <= commit + bounds_->window_slots; ++slot) {
    DiskRecord newest;
    if (slot.value() <= disk_.newest.size()) newest = disk_.newest[slot.value() - 1];
    for (const DiskRecord& record : disk_.staged) {
      if (record.slot == slot) newest = record;
    }
    if (newest.slot == Slot{}) continue;
    const auto reported = std::ranges::find(promise.slots, slot, &wire::PromisedSlot::slot);
    if (reported == promise.slots.end() || reported->ballot != newest.ballot || reported->checksum != newest.checksum) {
      return fail(fmt::format("a promise does not report slot {} as it is on disk", slot.value()));
    }
  }
}

// --- actions ----------------------------------------------------------------------------------------------------------------

bool Replica::deliver(const Message& message, std::vector<Sent>& sent) {
  const wire::PeerMessage& heard = message.message;
  heard_[message.from] = std::max(heard_[message.from], heard.incarnation.open_count);
  BodyHandle body = no_body;
  if (engine_.wants_body(heard)) {
    std::visit(
        [&](const auto& payload) {
          if constexpr (requires { payload.record; }) body = body_of(payload.record.header.body_checksum);
        },
        heard.payload);
  }
  step(sent, [&] { engine_.on_message(heard, body, effects); });
  return true;
}

bool Replica::act(const Action& action, std::vector<Sent>& sent) {
  switch (action.kind) {
    case ActionKind::deliver: return false;
    case ActionKind::durable: return make_durable(action.argument, sent);
    case ActionKind::crash: return crash(action.argument, sent);
    case ActionKind::campaign: return campaign(sent);
    case ActionKind::propose: return propose(sent);
  }
  return false;
}

std::vector<Action> Replica::actions() const {
  const auto place = static_cast<std::uint8_t>(place_);
  const auto staged = static_cast<std::uint32_t>(disk_.staged.size());
  std::vector<Action> all{{ActionKind::campaign, place}, {ActionKind::propose, place}};
  for (std::uint32_t records = 1; records <= staged; ++records) all.push_back({ActionKind::durable, place, records});
  for (std::uint32_t survivors = 0; survivors <= staged; ++survivors) all.push_back({ActionKind::crash, place, survivors});
  const auto durable = static_cast<std::uint32_t>(disk_.chain.size());
  for (std::uint32_t survivors = 0; survivors <= staged; ++survivors) {
    for (std::uint32_t lost = 1; bounds_->lost_middles && lost < durable + survivors; ++lost) {
      all.push_back({ActionKind::crash, place, survivors | lost << Loss::shift});
    }
  }
  for (std::uint32_t lost = 1; bounds_->lost_tails && lost <= durable; ++lost) {
    all.push_back({ActionKind::crash, place, (Loss::tails + lost) << Loss::shift});
  }
  return all;
}

bool Replica::make_durable(std::size_t records, std::vector<Sent>& sent) {
  for (std::size_t i = 0; i < records; ++i) disk_.make_durable();
  durable_number_ += records;
  step(sent, [&] { engine_.on_durable(PersistNumber(durable_number_), 0); });
  return true;
}

bool Replica::crash(std::uint32_t argument, std::vector<Sent>& sent) {
  if (open_count_ >= bounds_->crashes) return false;
  const std::uint32_t survivors = argument & ((1U << Loss::shift) - 1);
  const std::uint32_t loss = argument >> Loss::shift;
  for (std::size_t i = 0; i < survivors; ++i) disk_.make_durable();
  disk_.staged.clear();
  if (bounds_->amnesia) {
    disk_.promised = {};
    disk_.commit = {};
    disk_.newest.clear();
  }
  if (loss > Loss::tails) disk_.lose_tail(loss - Loss::tails);
  if (loss != Loss::none && loss < Loss::tails) {
    if (!disk_.can_lose_middle(loss - 1)) return false;
    disk_.lose_middle(loss - 1);
  }
  ++open_count_;
  durable_number_ = 0;
  heard_ = {};
  engine_ = make_engine(*bounds_, place_, open_count_, disk_);
  restore_slots();
  confirm();
  engine_.check_now();
  if (engine_.doubt().is_unbounded()) tick(sent);
  return true;
}

void Replica::restore_slots() {
  committed_.clear();
  for (Slot slot(1); slot.value() <= std::max<std::uint64_t>(disk_.newest.size(), disk_.commit.value()); ++slot) {
    const bool is_there = slot.value() <= disk_.newest.size() && disk_.newest[slot.value() - 1].slot == slot;
    if (slot <= disk_.commit) {
      if (!is_there) return fail("a committed slot is not on the disk that says so");
      committed_.push_back(disk_.newest[slot.value() - 1].checksum);
    } else if (is_there) {
      const DiskRecord& record = disk_.newest[slot.value() - 1];
      engine_.restore(slot, record.ballot, {record.checksum, record.body_bytes, body_of(record.checksum)},
                      record.kind == wire::RecordKind::chosen);
    }
  }
}

// Accepts that are sent again are left out: they differ from the first ones by their watermark only, which a heartbeat says too.
void Replica::tick(std::vector<Sent>& sent) {
  now_us_ += tick_us;
  const std::size_t before = sent.size();
  step(sent, [&] { engine_.on_tick(now_us_, effects); });
  const auto is_accept = [](const Sent& out) { return std::holds_alternative<wire::Accept>(out.message.payload); };
  sent.erase(std::remove_if(sent.begin() + static_cast<std::ptrdiff_t>(before), sent.end(), is_accept), sent.end());
}

// Gives up what it is about, and tries to lead in a new ballot.
bool Replica::campaign(std::vector<Sent>& sent) {
  if (!may_campaign()) return false;
  // A leader whose disk stalls steps down and does not try again; that would be one more state of the clock.
  if (engine_.is_leader() && !disk_.staged.empty()) return false;
  std::vector<Sent> on_the_way;
  for (std::uint64_t ticks = 0; engine_.role() != wire::Role::follower; ++ticks) {
    if (ticks > 2 * step_down_ticks) return false;
    on_the_way.clear();
    tick(on_the_way);
  }
  for (std::uint64_t ticks = 0; ticks <= election_ticks; ++ticks) tick(sent);
  for (std::size_t peer = 0; peer < bounds_->members && engine_.role() == wire::Role::follower; ++peer) {
    if (peer == place_) continue;
    const wire::PeerMessage lost{id_of(peer), {uuid_of(peer), heard_[peer]}, Ballot{}, Slot{}, Probe{}, wire::SuspectAnswer{1}};
    step(sent, [&] { engine_.on_message(lost, no_body, effects); });
  }
  ++campaigns_;
  return engine_.role() != wire::Role::follower && engine_.promised().round() <= bounds_->rounds;
}

void Replica::send_what_it_could(std::vector<Sent>& sent) const {
  Replica copy = *this;
  if (engine_.role() != wire::Role::follower) copy.tick(sent);
  for (std::size_t asker = 0; bounds_->serves && asker < bounds_->members; ++asker) copy.serve(asker, sent);
}

bool Replica::propose(std::vector<Sent>& sent) {
  if (!engine_.can_propose() || engine_.next_slot().value() > bounds_->slots) return false;
  const Checksum value = value_of(engine_.promised(), engine_.next_slot(), open_count_);
  const wire::Asks asks = bounds_->receipts ? wire::Asks::received : wire::Asks::nothing;
  step(sent, [&] { engine_.propose({value, body_bytes, body_of(value)}, effects, asks); });
  return true;
}

void Replica::serve(std::size_t asker, std::vector<Sent>& sent) {
  if (asker == place_) return;
  const Slot last = engine_.commit() + bounds_->window_slots;
  const wire::PeerMessage ask{id_of(asker), {uuid_of(asker), heard_[asker]}, Ballot{}, Slot{},
                              Probe{},      wire::CatchUp{Slot(1), last}};
  step(sent, [&] { engine_.on_message(ask, no_body, effects); });
}

Fingerprint::Value Replica::fingerprint(const Fingerprint::Labels& labels) const {
  Fingerprint print(labels);
  print.add(labels[place_]);
  print.add(open_count_);
  print.add(place_ < bounds_->proposers ? campaigns_ : 0U);
  disk_.fingerprint(print, bounds_->crashes > 0);
  engine_.fingerprint(print, may_campaign(), bounds_->lost_tails);
  for (const Checksum value : committed_) print.add(value);
  if (!bounds_->lost_tails) return print.value();
  print.add(ever_committed_.size());
  for (const Checksum value : ever_committed_) print.add(value);
  return print.value();
}

}  // namespace synod::consensus::explore
