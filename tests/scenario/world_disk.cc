// The disks and processes of a scenario: staging, durability, crash, recovery.
#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "tests/scenario/world.h"

namespace synod::scenario {

using consensus::BodyHandle;
using consensus::Engine;
using consensus::Value;
using consensus::testing::is_of_a_slot;
using consensus::testing::make_block;

namespace {

// What a page shows is agreement: few heartbeats lie between two of its lines, and nobody asks a silent leader whether it is
// there.
constexpr consensus::Timeouts unhurried{.heartbeat_us = 20'000,
                                        .ask_us = UINT64_MAX,
                                        .election_us_min = 150'000,
                                        .election_us_max = 300'000,
                                        .step_down_us = 400'000};

}  // namespace

void World::stage(std::size_t place, const consensus::Persist& persist) {
  Replica& replica = replicas_[place];
  DiskRecord record = make_block(*replica.engine, persist, replica.open_count, replica.disk.size());
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
  call_engine(place, [&](Engine& engine) { engine.on_durable(number, end); });
  return true;
}

void World::became_durable(std::size_t place) {
  Replica& replica = replicas_[place];
  const consensus::Persist& record = replica.disk[replica.durable++].record;
  say(What::durable, place, names_.record(record));
  if (record.kind == wire::RecordKind::repair) replica.is_tail_missing = false;
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
    const DiskRecord& block = replica.disk[i - 1];
    if (!block.is_lost && is_of_a_slot(block.record) && block.record.slot == slot) return i - 1;
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
  replica.early.clear();
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
  const consensus::Restored restored = consensus::testing::recover(replica.disk, replica.is_tail_missing);
  replica.engine = std::make_unique<Engine>(consensus::EngineOptions{.self = configuration_.member(place),
                                                                     .configuration = configuration_,
                                                                     .incarnation = {replica.disk_uuid, replica.open_count},
                                                                     .window_slots = window_slots_max,
                                                                     .timeouts = unhurried,
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
  if (restored.doubt.is_unbounded()) say(What::changes, place, "has lost the end of its journal");
  if (restored.doubt.kind == consensus::Doubt::Kind::bounded && !replica.engine->may_promise()) {
    say(What::changes, place,
        fmt::format("doubts slots up to {} in ballots up to {}", restored.doubt.last.value(),
                    names_.ballot(restored.doubt.bound)));
  }
  confirm_all();
}

bool World::is_recorded(std::size_t place) const {
  const auto is_members = [](const DiskRecord& block) { return block.record.kind == wire::RecordKind::members; };
  return std::ranges::any_of(replicas_[place].disk, is_members);
}

// Everybody who can is asked, and answers.
void World::confirm_all() {
  if (!confirms_by_itself) return;
  for (std::size_t place = 0; place < size(); ++place) {
    for (std::size_t peer = 0; peer < size(); ++peer) {
      const bool is_cut = cuts_.contains({place, peer}) || cuts_.contains({peer, place});
      if (peer == place || is_cut || !replicas_[place].is_running() || !replicas_[peer].is_running()) continue;
      const Engine& engine = *replicas_[place].engine;
      if (engine.confirmed() || engine.doubt().is_unbounded() || !is_recorded(place) || !is_recorded(peer)) continue;
      wire::PeerMessage answer{.from = configuration_.member(peer),
                               .incarnation = {replicas_[peer].disk_uuid, replicas_[peer].open_count},
                               .ballot = {},
                               .commit = {},
                               .probe = engine.question(),
                               .payload = wire::Hello{.is_certain = 1, .position = replicas_[peer].engine->heard()[place]}};
      call_engine(place, [&](Engine& asker) { asker.on_message(answer, consensus::no_body, effects_); });
    }
  }
}

// --- what disks lose --------------------------------------------------------------------------------------------------------

Replica& World::down(std::size_t place) {
  if (replicas_[place].engine) throw std::runtime_error(names_.replica(place) + " is up");
  return replicas_[place];
}

void World::make_unreadable(std::size_t place, std::size_t record) {
  Replica& replica = down(place);
  if (record == 0 || record >= replica.disk.size()) throw std::runtime_error("no such record, or nothing stands behind it");
  replica.disk[record - 1].is_lost = true;
  say(What::changes, place, "cannot read its record " + names_.record(replica.disk[record - 1].record));
}

// The votes that are gone count no more, unless somebody counted them already.
void World::forget_votes(std::size_t place, std::size_t records) {
  const Replica& replica = replicas_[place];
  for (std::size_t i = records; i < replica.disk.size(); ++i) {
    const consensus::Persist& lost = replica.disk[i].record;
    if (lost.kind == wire::RecordKind::accepted) oracle_.lost_vote(place, lost.ballot, lost.slot);
  }
}

void World::lose_tail(std::size_t place, std::size_t records) {
  Replica& replica = down(place);
  if (records == 0 || records >= replica.disk.size()) throw std::runtime_error("it has not so many records");
  forget_votes(place, replica.disk.size() - records);
  for (std::size_t i = 0; i < records; ++i) {
    say(What::changes, place, "loses its record " + names_.record(replica.disk.back().record));
    replica.disk.pop_back();
  }
  replica.durable = replica.disk.size();
  replica.is_tail_missing = true;
}

void World::keep_image(std::size_t place) {
  Replica& replica = replicas_[place];
  replica.image = {replica.disk.begin(), replica.disk.begin() + static_cast<std::ptrdiff_t>(replica.durable)};
  replica.image_open_count = replica.open_count;
  say(What::changes, place, "has an image made of its disk");
}

void World::put_image_back(std::size_t place) {
  Replica& replica = down(place);
  if (replica.image.empty()) throw std::runtime_error(names_.replica(place) + " has no image");
  forget_votes(place, replica.image.size());
  replica.disk = replica.image;
  replica.durable = replica.disk.size();
  replica.open_count = replica.image_open_count;
  say(What::changes, place, "gets the image of its disk back");
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
