// The disks and processes of a scenario: staging, durability, crash, recovery.
#include <algorithm>
#include <stdexcept>

#include "tests/scenario/world.h"

namespace synod::scenario {

using consensus::BodyHandle;
using consensus::Engine;
using consensus::Value;

void World::stage(std::size_t place, const consensus::Persist& persist) {
  Replica& replica = replicas_[place];
  DiskRecord record{persist, {}, replica.engine->commit(), {}};
  if (persist.kind == wire::RecordKind::members) {
    const auto uuids = replica.engine->member_uuids();
    record.members = {uuids.begin(), uuids.end()};
  }
  if (persist.value.body != consensus::no_body) record.body = replica.pool[persist.value.body.value()];
  replica.disk.push_back(std::move(record));
  if (!disk_is_prompt) say(What::writes, place, names_.record(persist));
}

void World::make_durable(std::size_t place, std::size_t count) {
  if (!replicas_[place].engine) throw std::runtime_error(names_.replica(place) + " is down");
  flush(place, count);
  settle(place);
}

bool World::flush(std::size_t place, std::size_t count) {
  Replica& replica = replicas_[place];
  const std::size_t end = replica.durable + std::min(count, replica.disk.size() - replica.durable);
  if (end == replica.durable) return false;
  while (replica.durable < end) became_durable(place);
  check();
  const PersistNumber number(end - replica.disk_at_start);
  call_engine(place, [&](Engine& engine) { engine.on_durable(number); });
  return true;
}

void World::became_durable(std::size_t place) {
  Replica& replica = replicas_[place];
  const consensus::Persist& record = replica.disk[replica.durable++].record;
  say(What::durable, place, names_.record(record));
  if (record.kind == wire::RecordKind::accepted) count_vote(place, record);
}

void World::count_vote(std::size_t place, const consensus::Persist& record) {
  oracle_.durable_vote(place, record.ballot, record.slot, record.value.checksum);
  std::vector<std::size_t>& voters = votes_[{record.slot, record.ballot, record.value.checksum}];
  if (std::ranges::find(voters, place) != voters.end()) return;
  const auto is_quorum = [&] {
    consensus::MemberSet set;
    for (const std::size_t voter : voters) set.add(voter);
    return configuration_.is_phase2_quorum(set);
  };
  const bool was_quorum = is_quorum();
  voters.push_back(place);
  if (was_quorum || !is_quorum()) return;
  say(What::chosen, place, names_.slot(record.slot, record.value.checksum) + " is chosen in " + names_.ballot(record.ballot),
      voters);
}

std::optional<std::size_t> World::newest(const Replica& replica, Slot slot) {
  for (std::size_t i = replica.disk.size(); i > 0; --i) {
    if (replica.disk[i - 1].record.slot == slot) return i - 1;
  }
  return std::nullopt;
}

void World::crash(std::size_t place) {
  Replica& replica = replicas_[place];
  if (!replica.engine) throw std::runtime_error(names_.replica(place) + " is down already");
  replica.engine.reset();
  std::string text = "crashes";
  if (replica.durable < replica.disk.size()) text += " and loses what was not durable";
  say(What::changes, place, text);
  replica.disk.resize(replica.durable);
  replica.log.reset();
  replica.proposed.reset();
  replica.asked.clear();
  replica.read.reset();
  replica.pool.clear();
  replica.committed.clear();
  replica.role = wire::Role::follower;
  replica.is_paused = false;
}

void World::format(std::size_t place) {
  Replica& replica = replicas_[place];
  if (replica.engine) throw std::runtime_error(names_.replica(place) + " is up");
  replica.disk_uuid = {};
  replica.disk_uuid.bytes[0] = static_cast<std::byte>(++uuids_drawn_);
  replica.open_count = 0;
  replica.disk.clear();
  replica.durable = 0;
  say(What::changes, place, "gets a new, empty disk");
}

void World::start(std::size_t place) {
  Replica& replica = replicas_[place];
  if (replica.engine) throw std::runtime_error(names_.replica(place) + " is up");
  if (++replica.open_count > 1 || replica.disk.empty()) say(What::changes, place, "starts");
  replica.disk_at_start = replica.disk.size();
  consensus::Restored restored;
  for (const DiskRecord& record : replica.disk) {
    restored.commit = std::max(restored.commit, record.commit);
    // A learned record's ballot is that of whoever served it.
    if (record.record.kind != wire::RecordKind::chosen) restored.promised = std::max(restored.promised, record.record.ballot);
    if (record.record.kind == wire::RecordKind::members) restored.members = record.members;
  }
  replica.engine = std::make_unique<Engine>(consensus::EngineOptions{.self = configuration_.member(place),
                                                                     .configuration = configuration_,
                                                                     .incarnation = {replica.disk_uuid, replica.open_count},
                                                                     .window_slots = window_slots_max,
                                                                     .timeouts = {},
                                                                     .seed = prng_.next()},
                                            restored);
  replica.log = std::make_unique<consensus::LogState>(false);
  for (Slot slot(1); slot <= restored.commit; ++slot) {
    const DiskRecord& record = replica.disk[newest(replica, slot).value()];
    apply(place, slot, record.record.value.checksum, record.body);
  }
  for (Slot slot = restored.commit + 1; slot <= restored.commit + window_slots_max; ++slot) {
    const std::optional<std::size_t> index = newest(replica, slot);
    if (!index) continue;
    const DiskRecord& record = replica.disk[*index];
    Value value = record.record.value;
    if (!record.body.empty()) {
      value.body = BodyHandle(static_cast<std::uint32_t>(replica.pool.size()));
      replica.pool.push_back(record.body);
    }
    replica.engine->restore(slot, record.record.ballot, value, record.record.kind == wire::RecordKind::chosen);
  }
  replica.engine->check_now();
}

void World::pause(std::size_t place) {
  replicas_[place].is_paused = true;
  say(What::changes, place, "is paused");
}

void World::resume(std::size_t place) {
  replicas_[place].is_paused = false;
  say(What::changes, place, "goes on");
}

}  // namespace synod::scenario
