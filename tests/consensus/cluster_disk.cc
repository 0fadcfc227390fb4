// The members' disks and processes: staging, durability, crash, recovery.
#include <fmt/format.h>

#include <algorithm>

#include "tests/consensus/cluster.h"
#include "tests/consensus/driver.h"

namespace synod::consensus::testing {

void Cluster::stage(Member& member, const Persist& persist) {
  DiskRecord record = make_block(*member.engine, persist, member.open_count, member.disk.size());
  if (persist.value.body != no_body) {
    const PoolBody& body = member.pool[persist.value.body.value()];
    if (!body.alive) return oracle_.fail("a released body was journalled");
    record.body = body.bytes;
  }
  if (is_of_a_slot(persist)) member.newest[persist.slot] = member.disk.size();
  member.disk.push_back(std::move(record));
}

// Writes finish in order; each call covers everything that is staged now.
void Cluster::schedule_disk(std::size_t place) {
  Member& member = members_[place];
  if (member.is_stalled) return;
  const std::uint64_t done_us = now_us_ + prng_.between(world.disk_us_min, world.disk_us_max);
  member.disk_free_us = std::max(member.disk_free_us, done_us);
  // Any prefix of what is in flight may be there at any time; most often all of it.
  const std::size_t staged = member.disk.size();
  at(member.disk_free_us, [this, place, staged, life = member.life] {
    Member& owner = members_[place];
    if (owner.life != life || owner.is_stalled || owner.durable >= staged) return;
    while (owner.durable < staged) became_durable(place, owner.durable);
    const PersistNumber number(staged - owner.disk_at_start);
    step(place, [&](Engine& engine) { engine.on_durable(number, staged); });
  });
}

void Cluster::resume_disk(std::size_t member) {
  members_[member].is_stalled = false;
  if (members_[member].is_up() && members_[member].durable < members_[member].disk.size()) schedule_disk(member);
}

void Cluster::became_durable(std::size_t place, std::size_t index) {
  Member& member = members_[place];
  member.durable = index + 1;
  const Persist& record = member.disk[index].record;
  if (record.kind == wire::RecordKind::repair) member.is_tail_missing = false;
  if (record.kind != wire::RecordKind::chosen) {
    member.durable_ballot = std::max(member.durable_ballot, record.ballot);
  }
  if (record.kind == wire::RecordKind::accepted) {
    member.durable_votes.insert({record.slot, record.ballot, record.value.checksum});
    oracle_.durable_vote(place, record.ballot, record.slot, record.value.checksum);
  }
  if (record.kind == wire::RecordKind::chosen) member.durable_chosen.insert({record.slot, record.value.checksum});
}

void Cluster::crash(std::size_t place) {
  Member& member = members_[place];
  if (!member.is_up()) return;
  ++member.life;
  member.engine.reset();
  member.log.reset();
  member.proposed.reset();
  member.applied.clear();
  member.read.reset();
  member.pool.clear();
  member.bodies_alive = 0;
  // Of what was not durable any prefix may have reached the disk.
  const std::size_t kept = prng_.between(member.durable, member.disk.size());
  while (member.durable < kept) became_durable(place, member.durable);
  member.disk.resize(kept);
  index_disk(member);
}

void Cluster::index_disk(Member& member) {
  member.newest.clear();
  for (std::size_t i = 0; i < member.disk.size(); ++i) {
    const DiskRecord& block = member.disk[i];
    if (!block.is_lost && is_of_a_slot(block.record)) member.newest[block.record.slot] = i;
  }
}

// --- what disks lose --------------------------------------------------------------------------------------------------------

bool Cluster::lose_middle(std::size_t place) {
  Member& member = members_[place];
  CHECK(!member.is_up());
  const Slot commit = recover(member.disk, member.is_tail_missing).commit;
  std::vector<std::size_t> candidates;
  for (std::size_t i = 0; i + 1 < member.disk.size(); ++i) {
    const Persist& record = member.disk[i].record;
    const bool is_log = record.kind == wire::RecordKind::promise || is_of_a_slot(record);
    // A committed value that is gone is fetched from the others, by those who keep an index of them; these disks do not.
    const bool is_needed = is_of_a_slot(record) && record.slot <= commit && member.newest[record.slot] == i;
    // Somebody who can be read must stand behind it.
    if (is_log && !is_needed && !member.disk[i].is_lost && !member.disk.back().is_lost) candidates.push_back(i);
  }
  if (candidates.empty()) return false;
  // Mostly one of the newest: those may be open.
  const std::size_t from_end = prng_.chance(3, 4) ? std::min<std::size_t>(8, candidates.size()) : candidates.size();
  const std::size_t index = candidates[candidates.size() - 1 - prng_.below(from_end)];
  member.disk[index].is_lost = true;
  member.has_lost_records = true;
  index_disk(member);
  return true;
}

bool Cluster::lose_tail(std::size_t place) {
  const Member& member = members_[place];
  std::size_t first = 0;
  while (first < member.disk.size() && member.disk[first].record.kind != wire::RecordKind::members) ++first;
  if (first + 1 >= member.disk.size()) return false;
  const std::size_t most = std::min<std::size_t>(prng_.chance(1, 2) ? 4 : 40, member.disk.size() - first - 1);
  cut_disk(place, member.disk.size() - prng_.between(1, most));
  members_[place].is_tail_missing = true;
  return true;
}

// Rule 6 finds a disk that went back if those who may confirm it include one who heard more: every quorum, here.
bool Cluster::would_be_found(std::size_t place, std::size_t records) const {
  const Position claim = members_[place].disk[records - 1].vouched;
  MemberSet others;
  others.add(place);
  for (std::size_t other = 0; other < size(); ++other) {
    const Member& member = members_[other];
    if (other == place || member.was_formatted_again) continue;
    const bool is_witness = member.durable > 0 && member.disk[member.durable - 1].heard[place] > claim;
    if (!is_witness) others.add(other);
  }
  return !configuration_.is_phase1_quorum(others) || !configuration_.is_phase2_quorum(others);
}

bool Cluster::go_back(std::size_t place, bool image) {
  Member& member = members_[place];
  std::size_t first = 0;
  while (first < member.disk.size() && member.disk[first].record.kind != wire::RecordKind::members) ++first;
  if (first + 1 >= member.disk.size()) return false;
  std::size_t records = member.disk.size() - 1;
  for (std::size_t tries = 0; tries < 40 && records > first + 1 && !would_be_found(place, records); ++tries) --records;
  if (!would_be_found(place, records)) return false;
  if (prng_.chance(1, 3)) records = prng_.between(first + 1, records);
  cut_disk(place, records);
  if (image) member.open_count = member.disk.back().open_count;
  return true;
}

void Cluster::cut_disk(std::size_t place, std::size_t records) {
  Member& member = members_[place];
  CHECK(!member.is_up());
  member.has_lost_records = true;
  for (std::size_t i = records; i < member.disk.size(); ++i) {
    const Persist& lost = member.disk[i].record;
    if (lost.kind != wire::RecordKind::accepted) continue;
    member.durable_votes.erase({lost.slot, lost.ballot, lost.value.checksum});
    oracle_.lost_vote(place, lost.ballot, lost.slot);
  }
  member.disk.resize(records);
  member.durable = records;
  member.durable_chosen.clear();
  for (const DiskRecord& block : member.disk) {
    if (block.record.kind == wire::RecordKind::chosen)
      member.durable_chosen.insert({block.record.slot, block.record.value.checksum});
  }
  index_disk(member);
  member.durable_ballot = recover(member.disk, member.is_tail_missing).promised;
}

// --- processes --------------------------------------------------------------------------------------------------------------

void Cluster::format_again(std::size_t place) {
  Member& member = members_[place];
  CHECK(!member.is_up());
  member.was_formatted_again = true;
  member.disk_uuid = uuid_of(++uuids_drawn_);
  member.open_count = 0;
  member.is_tail_missing = false;
  member.disk.clear();
  member.newest.clear();
  member.durable_votes.clear();
  member.durable_chosen.clear();
  member.durable_ballot = {};
  member.durable = 0;
}

void Cluster::start(std::size_t place) {
  Member& member = members_[place];
  if (member.is_up()) return;
  ++member.life;
  ++member.open_count;
  member.is_stalled = false;
  member.disk_at_start = member.disk.size();
  const Restored restored = recover(member.disk, member.is_tail_missing);
  member.durable_ballot = std::max(restored.promised, restored.doubt.bound);
  if (restored.doubt.kind == Doubt::Kind::bounded) ++bounded_starts_;
  if (restored.doubt.is_unbounded()) ++unbounded_starts_;
  member.engine = std::make_unique<Engine>(EngineOptions{.self = member.id,
                                                         .configuration = configuration_,
                                                         .incarnation = {member.disk_uuid, member.open_count},
                                                         .window_slots = options_.window_slots,
                                                         .timeouts = options_.timeouts,
                                                         .seed = prng_.next()},
                                           restored);
  restore_slots(place, restored.commit);
  member.engine->check_now();
  at(now_us_ + prng_.between(1, 1000), [this, place, life = member.life] { tick(place, life); });
}

void Cluster::restore_slots(std::size_t place, Slot commit) {
  Member& member = members_[place];
  member.log = std::make_unique<LogState>(true);
  for (Slot slot(1); slot <= commit; ++slot) {
    const auto newest = member.newest.find(slot);
    if (newest == member.newest.end()) return oracle_.fail("a committed slot is not on the disk that says so");
    const DiskRecord& record = member.disk[newest->second];
    oracle_.committed(place, slot, record.record.value.checksum);
    apply(place, slot, record.record.value.checksum, record.body);
  }
  for (auto newest = member.newest.upper_bound(commit); newest != member.newest.end(); ++newest) {
    const DiskRecord& record = member.disk[newest->second];
    Value value = record.record.value;
    if (!record.body.empty()) {
      value.body = BodyHandle(static_cast<std::uint32_t>(member.pool.size()));
      member.pool.push_back({record.body, true});
      ++member.bodies_alive;
    }
    member.engine->restore(newest->first, record.record.ballot, value, record.record.kind == wire::RecordKind::chosen);
  }
}

}  // namespace synod::consensus::testing
