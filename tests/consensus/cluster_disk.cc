// The members' disks and processes: staging, durability, crash, recovery.
#include <fmt/format.h>

#include <algorithm>

#include "tests/consensus/cluster.h"
#include "tests/consensus/driver.h"

namespace synod::consensus::testing {

void Cluster::stage(Member& member, const Persist& persist) {
  DiskRecord record{persist, {}, member.engine->commit(), {}};
  if (persist.kind == wire::RecordKind::members) record.members = member.engine->member_uuids();
  if (persist.value.body != no_body) {
    const PoolBody& body = member.pool[persist.value.body.value()];
    if (!body.alive) return oracle_.fail("a released body was journalled");
    record.body = body.bytes;
  }
  if (persist.slot != Slot{}) member.newest[persist.slot] = member.disk.size();
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
    step(place, [&](Engine& engine) { engine.on_durable(number); });
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
  if (record.kind == wire::RecordKind::promise || record.kind == wire::RecordKind::accepted) {
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
  member.newest.clear();
  for (std::size_t i = 0; i < kept; ++i) {
    if (member.disk[i].record.slot != Slot{}) member.newest[member.disk[i].record.slot] = i;
  }
}

void Cluster::format_again(std::size_t place) {
  Member& member = members_[place];
  CHECK(!member.is_up());
  member.was_formatted_again = true;
  member.disk_uuid = uuid_of(++uuids_drawn_);
  member.open_count = 0;
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
  Restored restored;
  FixedVector<wire::MemberUuid, members_max> uuids;
  for (const DiskRecord& record : member.disk) {
    restored.commit = std::max(restored.commit, record.commit);
    if (record.record.kind == wire::RecordKind::members) uuids = record.members;
  }
  restored.promised = member.durable_ballot;
  restored.members = std::span(uuids.begin(), uuids.end());
  member.engine = std::make_unique<Engine>(EngineOptions{.self = member.id,
                                                         .configuration = configuration_,
                                                         .incarnation = {member.disk_uuid, member.open_count},
                                                         .window_slots = options_.window_slots,
                                                         .timeouts = options_.timeouts,
                                                         .seed = prng_.next()},
                                           restored);
  member.log = std::make_unique<LogState>(true);
  for (Slot slot(1); slot <= restored.commit; ++slot) {
    const auto newest = member.newest.find(slot);
    if (newest == member.newest.end()) return oracle_.fail("a committed slot is not on the disk that says so");
    const DiskRecord& record = member.disk[newest->second];
    oracle_.committed(place, slot, record.record.value.checksum);
    apply(place, slot, record.record.value.checksum, record.body);
  }
  for (auto newest = member.newest.upper_bound(restored.commit); newest != member.newest.end(); ++newest) {
    const DiskRecord& record = member.disk[newest->second];
    Value value = record.record.value;
    if (!record.body.empty()) {
      value.body = BodyHandle(static_cast<std::uint32_t>(member.pool.size()));
      member.pool.push_back({record.body, true});
      ++member.bodies_alive;
    }
    member.engine->restore(newest->first, record.record.ballot, value, record.record.kind == wire::RecordKind::chosen);
  }
  member.engine->check_now();
  at(now_us_ + prng_.between(1, 1000), [this, place, life = member.life] { tick(place, life); });
}

}  // namespace synod::consensus::testing
