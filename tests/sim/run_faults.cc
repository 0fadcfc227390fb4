// What goes wrong in the safety phase.
#include <algorithm>
#include <utility>

#include "tests/sim/run.h"
#include "wire/cluster.h"
#include "wire/packet.h"

namespace synod::sim {

namespace {

constexpr Fault timed[] = {
    Fault::partition,      Fault::one_way,  Fault::isolation,   Fault::clog,    Fault::kill,         Fault::power_cut,
    Fault::blackout,       Fault::storm,    Fault::pause,       Fault::step,    Fault::strobe,       Fault::slow_client,
    Fault::slow_disk,      Fault::stall,    Fault::write_error, Fault::bit_rot, Fault::latent_error, Fault::misdirected_write,
    Fault::superblock_rot, Fault::tail_rot, Fault::stale_image, Fault::wipe,    Fault::truncation,   Fault::swap,
    Fault::session_flood,  Fault::garbage};

}  // namespace

void Run::schedule_faults() {
  for (const Fault fault : timed) {
    if (options_[fault] > 0) schedule(fault);
  }
}

void Run::schedule(Fault fault) {
  const std::uint64_t mean_us = 1'000'000 / options_[fault];
  at(network_.now_us + prng(fault).between(mean_us / 4, mean_us + mean_us * 3 / 4),
     {Happening::fault, static_cast<std::size_t>(fault)});
}

void Run::set_packet_faults() {
  network_.faults = {.loss_permille = options_[Fault::loss],
                     .accept_loss_permille = options_[Fault::accept_loss],
                     .duplication_permille = options_[Fault::duplication],
                     .reordering_permille = options_[Fault::reordering],
                     .replay_permille = options_[Fault::replay],
                     .corruption_permille = options_[Fault::corruption],
                     .delay_us_min = 5,
                     .delay_us_max = network_.prng().chance(1, 2) ? 35U : 305U};
}

void Run::set_read_faults() {
  for (std::size_t place = 0; place < cluster_.size(); ++place) {
    DiskConduct& conduct = cluster_.member(place).disk->conduct;
    conduct.read_error_permille = options_[Fault::read_error];
    conduct.misread_permille = options_[Fault::misread];
  }
}

std::optional<std::size_t> Run::random_up(Prng& prng) const {
  std::vector<std::size_t> up;
  for (std::size_t place = 0; place < cluster_.size(); ++place) {
    if (cluster_.member(place).is_up()) up.push_back(place);
  }
  if (up.empty()) return std::nullopt;
  return up[prng.below(up.size())];
}

// Disks may be damaged as long as a quorum of others stays whole: a damaged one again, or one more.
std::optional<std::size_t> Run::pick_for_damage(Prng& prng) const {
  std::vector<std::size_t> hurt;
  std::vector<std::size_t> whole;
  for (std::size_t place = 0; place < cluster_.size(); ++place) {
    const Member& member = cluster_.member(place);
    (member.is_damaged || member.is_small || member.is_lost ? hurt : whole).push_back(place);
  }
  if (hurt.size() < options_.spare()) return whole[prng.below(whole.size())];
  if (hurt.empty()) return std::nullopt;
  return hurt[prng.below(hurt.size())];
}

std::uint64_t Run::down_time_us() {
  return prng_.chance(1, 10) ? prng_.below(200'000) : prng_.below(15'000);
}

void Run::strike(Fault fault) {
  switch (fault) {
    case Fault::partition:
    case Fault::one_way:
    case Fault::isolation:
    case Fault::clog: return strike_network(fault);
    case Fault::garbage: return send_garbage();
    case Fault::slow_client:
      clients_[prng(fault).below(clients_.size())]->look_away_us = prng(fault).between(5'000, 200'000);
      return count(fault);
    case Fault::session_flood:
      if (std::exchange(was_flooded_, true)) return;
      flooding_ = true;
      return count(fault);
    case Fault::slow_disk:
    case Fault::stall:
    case Fault::write_error:
    case Fault::superblock_rot: return strike_disk(fault);
    case Fault::bit_rot:
    case Fault::latent_error:
    case Fault::misdirected_write: return damage(fault);
    case Fault::tail_rot:
    case Fault::stale_image: return lose_tail(fault);
    case Fault::wipe:
    case Fault::truncation: return lose(fault);
    default: return strike_process(fault);
  }
}

void Run::strike_network(Fault fault) {
  Prng& draw = prng(fault);
  std::vector<dataplane::Endpoint> ends;
  ends.reserve(cluster_.size() + clients_.size());
  for (std::size_t place = 0; place < cluster_.size(); ++place) ends.push_back(replica_endpoint(place));
  for (const auto& client : clients_) ends.push_back(client->endpoint());
  const dataplane::Endpoint one = ends[draw.below(cluster_.size())];
  const dataplane::Endpoint other = ends[draw.below(ends.size())];
  const std::uint64_t halves = draw.next();
  const bool clients_reach_it = draw.chance(1, 2);
  for (std::size_t a = 0; a < ends.size(); ++a) {
    for (std::size_t b = 0; b < ends.size(); ++b) {
      const bool apart = ((halves >> a) & 1U) != ((halves >> b) & 1U);
      if (fault == Fault::partition && apart) network_.cut(ends[a], ends[b]);
      const bool of_one = a != b && (ends[a] == one || ends[b] == one);
      const bool of_client = a >= cluster_.size() || b >= cluster_.size();
      if (fault == Fault::isolation && of_one && !(clients_reach_it && of_client)) network_.cut(ends[a], ends[b]);
    }
  }
  count(fault);
  if (fault == Fault::one_way) network_.cut(one, other);
  if (fault == Fault::clog) network_.clog(one, other, draw.between(5'000, 80'000));
  const std::uint64_t lasts_us = draw.between(5'000, 120'000);
  trace_(network_.now_us, "{} for {} ms", name(fault), lasts_us / 1000);
  at(network_.now_us + lasts_us, {Happening::links_healed, 0});
}

void Run::strike_process(Fault fault) {
  Prng& draw = prng(fault);
  if (fault == Fault::blackout) {
    trace_(network_.now_us, "blackout");
    count(fault);
    for (std::size_t place = 0; place < cluster_.size(); ++place) {
      if (cluster_.member(place).is_up()) cluster_.cut_power(place);
    }
    return;
  }
  // The leader more often than others.
  const auto victim = draw.chance(1, 3) && cluster_.leader() ? cluster_.leader() : random_up(draw);
  if (!victim) return;
  Member& member = cluster_.member(*victim);
  if (fault != Fault::swap) count(fault);
  switch (fault) {
    case Fault::kill: return cluster_.kill(*victim);
    case Fault::power_cut:
      // Mostly in the middle of a write: that is when it hurts.
      if (draw.chance(9, 10)) {
        member.cut_at_next_write = true;
      } else {
        cluster_.cut_power(*victim);
      }
      return;
    case Fault::storm:
      cluster_.cut_power(*victim);
      for (std::uint64_t times = draw.between(2, 5); times > 0 && !oracle_.failure(); --times) {
        cluster_.start(*victim);
        if (member.is_up() && draw.chance(1, 2)) (void)cluster_.poll(*victim);
        if (member.is_up()) cluster_.cut_power(*victim);
        if (member.is_lost) return;
      }
      return;
    case Fault::pause:
      member.paused_until_us = network_.now_us + (draw.chance(1, 20) ? 500'000 : draw.between(1'000, 60'000));
      trace_(network_.now_us, "replica {} stands still until {} ms", *victim + 1, member.paused_until_us / 1000);
      return;
    case Fault::step:
      member.clock.ahead_us += draw.chance(1, 10) ? 5'000'000 : draw.between(1'000, 100'000);
      trace_(network_.now_us, "the clock of replica {} jumps", *victim + 1);
      return;
    case Fault::strobe: member.strobe_until_us = network_.now_us + draw.between(5'000, 50'000); return;
    case Fault::swap: {
      const auto other = random_up(draw);
      if (!other || other == victim || member.is_lost || cluster_.member(*other).is_lost) return;
      trace_(network_.now_us, "replicas {} and {} get each other's disks", *victim + 1, *other + 1);
      count(fault);
      cluster_.cut_power(*victim);
      cluster_.cut_power(*other);
      cluster_.swap_disks(*victim, *other);
      cluster_.start(*victim);
      cluster_.start(*other);
      cluster_.swap_disks(*victim, *other);
      return;
    }
    default: CHECK(false);
  }
}

void Run::strike_disk(Fault fault) {
  Prng& draw = prng(fault);
  const std::size_t victim = draw.below(cluster_.size());
  Disk& disk = *cluster_.member(victim).disk;
  if (fault != Fault::write_error) count(fault);  // the disk counts those
  switch (fault) {
    case Fault::slow_disk:
      disk.conduct.latency_us_min = draw.chance(1, 2) ? 20 : draw.below(1'000);
      disk.conduct.latency_us_max = disk.conduct.latency_us_min + draw.below(draw.chance(1, 4) ? 10'000 : 1'000);
      return;
    case Fault::stall: disk.conduct.stalled_until_us = network_.now_us + draw.between(5'000, 100'000); break;
    case Fault::write_error: disk.conduct.next_write_fails = true; break;
    case Fault::superblock_rot:
      disk.flip_bits(std::uint64_t{victim % storage::superblock_copies} * storage::device_block_bytes, 512);
      break;
    default: CHECK(false);
  }
  trace_(network_.now_us, "{} of replica {}'s disk", name(fault), victim + 1);
}

// Damage that the journal can tell from a torn tail: later blocks vouch for what was hit.
void Run::damage(Fault fault) {
  Prng& draw = prng(fault);
  const auto victim = pick_for_damage(draw);
  if (!victim) return;
  Member& member = cluster_.member(*victim);
  std::vector<Ledger::Place> places;
  for (const auto& [sequence, block] : member.ledger->blocks()) {
    if (sequence <= member.ledger->covered()) places.push_back(block.place);
  }
  if (places.size() < 8 || member.is_lost) return;
  const Ledger::Place hit = places[draw.below(places.size())];
  trace_(network_.now_us, "{} on replica {}'s disk, offset {}", name(fault), *victim + 1, hit.offset);
  if (fault != Fault::misdirected_write) count(fault);  // the disk counts those
  member.is_damaged = true;
  member.believed_up_to = oracle_.chosen_up_to() + 2 * options_.window_slots;
  switch (fault) {
    case Fault::bit_rot: return member.disk->flip_bits(hit.offset, hit.bytes);
    case Fault::latent_error: return member.disk->make_unreadable(hit.offset + draw.below(hit.bytes));
    default: member.disk->conduct.misdirect_next_write_to = hit.offset; return;
  }
}

// What was durable last is missing, and nothing on this disk says so: only the others can. So every other member must have heard
// of it on its disk; and since a loss without a bound takes the word of each of them, there is one at a time, and none while a
// disk is lost.
void Run::lose_tail(Fault fault) {
  Prng& draw = prng(fault);
  if (!introduced_ || cluster_.has_lost_one()) return;
  const auto victim = pick_for_damage(draw);
  if (!victim || cluster_.member(*victim).is_small) return;
  Member& member = cluster_.member(*victim);
  if (member.is_up()) cluster_.cut_power(*victim);
  const bool done = fault == Fault::tail_rot ? cluster_.rot_tail(*victim, draw.between(1, 5)) : cluster_.put_image_back(*victim);
  if (!done) return;
  count(fault);
  trace_(network_.now_us, "{} of replica {}'s disk, now up to block {}", name(fault), *victim + 1, member.ledger->sequence());
  member.is_damaged = member.has_lost_tail = true;
  member.believed_up_to = oracle_.chosen_up_to() + 2 * options_.window_slots;
}

void Run::lose(Fault fault) {
  Prng& draw = prng(fault);
  if (!introduced_ || cluster_.has_lost_one()) return;
  const auto victim = pick_for_damage(draw);
  if (!victim || cluster_.member(*victim).is_lost) return;
  Member& member = cluster_.member(*victim);
  if (member.is_up()) cluster_.cut_power(*victim);
  count(fault);
  trace_(network_.now_us, "{} of replica {}'s disk", name(fault), *victim + 1);
  member.is_damaged = true;
  member.believed_up_to = oracle_.chosen_up_to() + 2 * options_.window_slots;
  if (fault == Fault::truncation) return member.disk->truncate(storage::segments_offset + (1U << 20));
  cluster_.format_again(*victim);
  member.back_at_us = network_.now_us + draw.below(20'000);
}

// Packets that nobody sent: noise, or a header that looks right; and refusals of whoever is well.
void Run::send_garbage() {
  count(Fault::garbage);
  Prng& draw = prng(Fault::garbage);
  for (int i = 0; i < 20; ++i) {
    Datagram packet(draw.between(1, 1472));
    for (auto& byte : packet) byte = static_cast<std::byte>(draw.next());
    if (packet.size() > sizeof(wire::PacketHeader) && draw.chance(3, 4)) {
      const Bytes payload = Bytes(packet).subspan(sizeof(wire::PacketHeader));
      wire::PacketHeader header;
      header.type = static_cast<wire::MessageType>(draw.below(48));
      // Whoever sends a whole trim has asked for one: that is no garbage.
      if (header.type == wire::MessageType::trim) header.type = wire::MessageType::trim_answer;
      header.cluster = wire::cluster_id("sim");
      header.source = ReplicaId(static_cast<std::uint16_t>(draw.below(6)));
      header.destination = ReplicaId(static_cast<std::uint16_t>(draw.below(6)));
      header.ballot = Ballot(draw.below(40), ReplicaId(static_cast<std::uint16_t>(draw.below(6))));
      header.commit = Slot(draw.below(4'000));
      header.message_id = draw.next();
      header.message_bytes = static_cast<std::uint32_t>(payload.size());
      store(packet, wire::seal(header, payload));
    }
    network_.inject(replica_endpoint(draw.below(cluster_.size())), replica_endpoint(draw.below(cluster_.size())),
                    std::move(packet));
    network_.inject_refusal(replica_endpoint(draw.below(cluster_.size())), replica_endpoint(draw.below(cluster_.size())));
  }
}

}  // namespace synod::sim
