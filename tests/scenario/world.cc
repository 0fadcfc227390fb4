#include "tests/scenario/world.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <utility>

#include "base/crc32c.h"

namespace synod::scenario {

using consensus::BodyHandle;
using consensus::Configuration;
using consensus::Engine;
using consensus::LogState;

namespace {

constexpr std::size_t body_bytes_of_a_script = 4096;

Configuration make_configuration(const WorldOptions& options) {
  std::vector<ReplicaId> ids;
  ids.reserve(options.members.size());
  for (std::size_t place = 0; place < options.members.size(); ++place) ids.emplace_back(static_cast<std::uint16_t>(place + 1));
  if (options.phase1 == 0) return Configuration(ids);
  return {ids, options.phase1, options.phase2};
}

// The value of a slot: one run of entries. Its session was never opened: scripts are about agreement, and the log gives such
// entries their LSNs all the same.
constexpr SessionId session_of_a_script{1};

std::vector<std::byte> make_body(wire::Chain assumed, const std::vector<std::string>& entries) {
  std::vector<std::byte> buffer(body_bytes_of_a_script);
  wire::BodyWriter writer(buffer, assumed);
  std::vector<std::byte> run;
  for (const std::string& entry : entries) {
    const auto bytes = static_cast<std::uint32_t>(entry.size());
    for (const Bytes part : {bytes_of(bytes), bytes_of(std::string_view(entry))}) run.insert(run.end(), part.begin(), part.end());
  }
  const auto count = static_cast<std::uint32_t>(entries.size());
  CHECK(writer.fits(run.size(), count, buffer.size()));
  writer.add(wire::RunKind::entries, session_of_a_script, Sequence(1), count, run);
  const Bytes body = writer.finish();
  return {body.begin(), body.end()};
}

std::string_view name_of(wire::Role role) {
  switch (role) {
    case wire::Role::leader: return "leader";
    case wire::Role::candidate: return "candidate";
    default: return "follower";
  }
}

}  // namespace

World::World(const WorldOptions& options)
    : options_(options),
      names_(options.members),
      configuration_(make_configuration(options)),
      oracle_(configuration_),
      prng_(options.seed),
      replicas_(options.members.size()) {
  std::vector<wire::MemberUuid> uuids;
  for (std::size_t place = 0; place < size(); ++place) {
    Uuid uuid;
    uuid.bytes[0] = static_cast<std::byte>(++uuids_drawn_);
    replicas_[place].disk_uuid = uuid;
    uuids.push_back({.replica = configuration_.member(place), .uuid = uuid});
  }
  // Every disk names all members already: a scenario begins when the introductions are over.
  for (std::size_t place = 0; place < size(); ++place) {
    DiskRecord members{.record = {.kind = wire::RecordKind::members, .slot = {}, .ballot = {}, .value = {}}};
    for (const wire::MemberUuid& uuid : uuids) members.members.push_back(uuid);
    replicas_[place].disk.push_back(members);
    replicas_[place].durable = 1;
    start(place);
  }
  confirm_all();
}

// --- one call of one engine -------------------------------------------------------------------------------------------------

void World::step(std::size_t place, const std::function<void(Engine&)>& call) {
  call_engine(place, call);
  settle(place);
}

// What follows at once: a prompt disk, clients that wait for a leader, a read that has its answer.
void World::settle(std::size_t place) {
  for (bool more = true; more;) more = (disk_is_prompt && flush(place, SIZE_MAX)) || propose_next(place);
  answer_early(place);
  answer_read(place);
}

void World::call_engine(std::size_t place, const std::function<void(Engine&)>& call) {
  Replica& replica = replicas_[place];
  if (!replica.engine) throw std::runtime_error(names_.replica(place) + " is down");
  const Engine before = *replica.engine;
  effects_.clear();
  call(*replica.engine);
  carry_out(place);
  for (bool more = true; more;) {
    effects_.clear();
    more = replica.engine->pump(effects_);
    carry_out(place);
  }
  replica.engine->check_now();
  Engine::check_delta(before, *replica.engine);
  if (replica.engine->counters().conflicting_values != 0) oracle_.fail("an engine met two values where there must be one");
  note_doubt(place, before);
  check();
}

void World::note_doubt(std::size_t place, const Engine& before) {
  const Engine& engine = *replicas_[place].engine;
  const consensus::Doubt& doubt = engine.doubt();
  if (engine.counters().stale_found != before.counters().stale_found) say(What::changes, place, "finds that its disk is stale");
  if (before.doubt().is_unbounded() && !doubt.is_unbounded()) {
    say(What::changes, place,
        fmt::format("adopts {}, and doubts slots up to {}", names_.ballot(doubt.bound), doubt.last.value()));
  }
  if (engine.confirmed() && !before.confirmed() && !confirms_by_itself) say(What::changes, place, "may vote");
  const bool promised = before.may_promise() || before.doubt() != doubt;
  if (engine.may_promise() && !promised && before.confirmed()) say(What::changes, place, "is in doubt no more");
}

void World::carry_out(std::size_t place) {
  note_role(place);
  for (const consensus::Persist& persist : effects_.persists) stage(place, persist);
  for (const consensus::Send& send : effects_.sends) transmit(place, send);
  for (const consensus::Serve& range : effects_.serves) serve(place, range);
  for (const consensus::Commit& committed : effects_.commits) commit(place, committed);
  if (effects_.leadership_changed) rebuild_proposed(replicas_[place]);
  if (effects_.leadership_changed) replicas_[place].early.clear();
  Replica& replica = replicas_[place];
  if (effects_.open_count_floor <= replica.open_count) return;
  replica.open_count = effects_.open_count_floor;
  say(What::changes, place, fmt::format("counts its opens from {} on", replica.open_count));
  replica.engine->raise_open_count(replica.open_count);
}

void World::note_role(std::size_t place) {
  Replica& replica = replicas_[place];
  const wire::Role role = replica.engine->role();
  const wire::Role before = std::exchange(replica.role, role);
  if (role == before) return;
  const std::string ballot = names_.ballot(replica.engine->promised());
  switch (role) {
    case wire::Role::leader: say(What::changes, place, "leads in " + ballot); break;
    case wire::Role::candidate: say(What::changes, place, "campaigns with " + ballot); break;
    default: say(What::changes, place, before == wire::Role::leader ? "leads no more" : "gives its ballot up"); break;
  }
}

void World::check() const {
  if (oracle_.failed()) throw std::runtime_error(oracle_.failure());
}

void World::say(What what, std::size_t who, std::string text, std::vector<std::size_t> others) {
  trace_.add({.what = what,
              .who = who,
              .text = std::move(text),
              .others = std::move(others),
              .at_once = disk_is_prompt,
              .time_us = now_us_ - 1'000'000,
              .timed = runs_});
}

// --- the log ----------------------------------------------------------------------------------------------------------------

void World::commit(std::size_t place, const consensus::Commit& committed) {
  oracle_.committed(place, committed.slot, committed.value.checksum);
  const BodyHandle handle = committed.value.body;
  const Bytes body = handle == consensus::no_body ? Bytes{} : Bytes(replicas_[place].pool[handle.value()]);
  say(What::commits, place, apply(place, committed.slot, committed.value.checksum, body));
}

std::string World::apply(std::size_t place, Slot slot, Checksum checksum, Bytes body) {
  Replica& replica = replicas_[place];
  const auto view = wire::BodyView::decode(body);
  CHECK(view.has_value());
  const bool is_void = !view->is_noop() && view->header().assumed_chain != replica.log->chain();
  const Lsn first = replica.log->tail();
  replica.log->apply(slot, checksum, *view, [](const consensus::AppliedRun&) {});
  const std::uint64_t entries = replica.log->tail() - first;
  std::string text = names_.slot(slot, checksum);
  if (is_void) text += ", void";
  if (entries == 1) text += fmt::format(" at LSN {}", first.value());
  if (entries > 1) text += fmt::format(" at LSN {}..{}", first.value(), first.value() + entries - 1);
  replica.committed.push_back(names_.slot(slot, checksum) + (is_void ? " (void)" : ""));
  return text;
}

void World::rebuild_proposed(Replica& replica) {
  replica.proposed.reset();
  if (!replica.engine->is_leader()) return;
  replica.proposed = std::make_unique<LogState>(false);
  replica.proposed->assign(*replica.log);
  for (Slot slot = replica.log->applied() + 1; slot < replica.engine->next_slot(); ++slot) {
    const consensus::AcceptedSlot* open = replica.engine->open_slot(slot);
    CHECK(open != nullptr);
    const Bytes body = open->value.body == consensus::no_body ? Bytes{} : Bytes(replica.pool[open->value.body.value()]);
    const auto view = wire::BodyView::decode(body);
    CHECK(view.has_value());
    replica.proposed->apply(slot, open->value.checksum, *view, [](const consensus::AppliedRun&) {});
  }
}

// --- clients ----------------------------------------------------------------------------------------------------------------

void World::propose(std::size_t place, const std::vector<std::string>& entries, wire::AckLevel level) {
  std::string text;
  for (const std::string& entry : entries) text += (text.empty() ? "" : "+") + entry;
  Replica& replica = replicas_[place];
  if (!replica.engine) throw std::runtime_error(names_.replica(place) + " is down");
  const bool waits = !replica.engine->can_propose();
  const std::string early = wire::is_early(level) ? fmt::format(" with ack {}", wire::name(level)) : "";
  say(What::client, place, "is asked to append " + text + early + (waits ? ", which waits" : ""));
  replica.asked.push_back({entries, level});
  settle(place);
}

void World::answer_read(std::size_t place) {
  Replica& replica = replicas_[place];
  if (!replica.read) return;
  const Engine& engine = *replica.engine;
  if (!engine.is_leader() || engine.promised() != replica.read->ballot) {
    replica.read.reset();
    return say(What::client, place, "cannot answer the read: it leads no more");
  }
  if (engine.confirmed_probe() < replica.read->probe || engine.commit() < engine.settled_slot()) return;
  replica.read.reset();
  say(What::client, place, fmt::format("answers the read: the tail is LSN {}", replica.log->tail().value()));
}

bool World::propose_next(std::size_t place) {
  Replica& replica = replicas_[place];
  if (replica.asked.empty() || !replica.engine->can_propose()) return false;
  const auto [entries, level] = std::move(replica.asked.front());
  replica.asked.pop_front();
  std::vector<std::byte> body = make_body(replica.proposed->chain(), entries);
  const auto view = wire::BodyView::decode(body);
  CHECK(view.has_value());
  const Checksum checksum(crc32c(body));
  std::string text;
  for (const std::string& entry : entries) text += (text.empty() ? "" : "+") + entry;
  names_.remember(checksum, text);
  const BodyHandle handle(static_cast<std::uint32_t>(replica.pool.size()));
  const auto bytes = static_cast<std::uint32_t>(body.size());
  if (wire::is_early(level)) {
    replica.early.push_back({replica.engine->next_slot(), replica.proposed->tail(), text, level});
  }
  replica.proposed->apply(replica.engine->next_slot(), checksum, *view, [](const consensus::AppliedRun&) {});
  replica.pool.push_back(std::move(body));
  const bool needs_receipts = level == wire::AckLevel::memory || level == wire::AckLevel::one;
  const wire::Asks asks = needs_receipts ? wire::Asks::received : wire::Asks::nothing;
  call_engine(place, [&](Engine& engine) { engine.propose({checksum, bytes, handle}, effects_, asks); });
  return true;
}

void World::answer_early(std::size_t place) {
  Replica& replica = replicas_[place];
  if (!replica.engine) return;
  std::erase_if(replica.early, [&](const WaitingEarly& wait) {
    if (wait.slot > replica.engine->reached(wait.level)) return false;
    if (wait.slot <= replica.engine->commit()) return true;  // the final answer was given
    say(What::client, place,
        fmt::format("answers {} early with ack {}: LSN {}, provisionally", wait.text, wire::name(wait.level), wait.lsn.value()));
    return true;
  });
}

void World::read_tail(std::size_t place) {
  Replica& replica = replicas_[place];
  if (!replica.engine || !replica.engine->is_leader()) throw std::runtime_error(names_.replica(place) + " does not lead");
  say(What::client, place, "is asked for the tail");
  step(place, [&](Engine& engine) { replica.read = WaitingRead{engine.promised(), engine.ask_probe()}; });
}

// --- state ------------------------------------------------------------------------------------------------------------------

std::string World::entry_state(std::size_t place) const {
  const Replica& replica = replicas_[place];
  if (!replica.engine) return fmt::format("down, {} durable records", replica.durable);
  const Engine& engine = *replica.engine;
  std::string text = fmt::format("{}, promised {}, commit {}", replica.is_paused ? "paused" : name_of(engine.role()),
                                 names_.ballot(engine.promised()), engine.commit().value());
  if (!replica.committed.empty()) text += ":";
  for (const std::string& value : replica.committed) text += " " + value;
  std::string open;
  for (Slot slot = engine.commit() + 1; slot <= engine.commit() + window_slots_max; ++slot) {
    const consensus::AcceptedSlot* accepted = engine.open_slot(slot);
    if (accepted != nullptr)
      open += fmt::format(" {} of {}", names_.slot(slot, accepted->value.checksum), names_.ballot(accepted->ballot));
  }
  return open.empty() ? text : text + "; accepted:" + open;
}

std::string World::state() const {
  std::size_t width = 0;
  for (const std::string& member : options_.members) width = std::max(width, member.size());
  std::string text;
  for (std::size_t place = 0; place < size(); ++place) {
    text += fmt::format("{:<{}}  {}\n", names_.replica(place), width, entry_state(place));
  }
  return text;
}

}  // namespace synod::scenario
