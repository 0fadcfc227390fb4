#include "tests/sim/cluster.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "wire/client.h"
#include "wire/cluster.h"
#include "wire/message.h"

namespace synod::sim {

using storage::DeviceRef;

namespace {

constexpr std::uint64_t small_disk_bytes = 5U << 20;  // of two segments
constexpr std::uint64_t silence_us_per_tick_max = 10'000;
// So that it passes a disk some times in a run.
constexpr storage::ScrubOptions scrub{.bytes_per_s = 64U << 20, .pause_us = 50'000};

// Short ones: a run has many elections.
consensus::Timeouts timeouts(const Options& options) {
  return {.heartbeat_us = 2'000,
          .ask_us = 5'000,
          .election_us_min = 12'000,
          .election_us_max = 24'000,
          .campaign_us = 8'000,
          .resend_us = 3'000,
          .catch_up_us = 1'000,
          .step_down_us = options.step_down_us,
          .stall_us = options.step_down_us,
          .silence_us_per_tick_max = silence_us_per_tick_max};
}

ClusterId cluster_id() {
  return wire::cluster_id("sim");
}

std::vector<ReplicaId> ids_of(std::size_t members) {
  std::vector<ReplicaId> ids;
  ids.reserve(members);
  for (std::size_t place = 0; place < members; ++place) ids.emplace_back(static_cast<std::uint16_t>(place + 1));
  return ids;
}

Uuid uuid_of(std::size_t place, std::uint64_t number) {
  Uuid uuid;
  uuid.bytes[0] = static_cast<std::byte>(place + 1);
  uuid.bytes[1] = static_cast<std::byte>(number);
  uuid.bytes[15] = std::byte{0xD1};
  return uuid;
}

}  // namespace

consensus::Configuration Cluster::configuration_of(const Options& options) {
  return {ids_of(options.members), options.phase1, options.phase2};
}

Cluster::Cluster(const Options& options, Network& network, Oracle& oracle, const Trace& trace)
    : options_(options),
      network_(network),
      oracle_(oracle),
      trace_(trace),
      prng_(stream(options.seed, 3)),
      crash_prng_(stream(options.seed, 4)),
      ids_(ids_of(options.members)),
      configuration_(configuration_of(options)) {
  network_.on_sent = [this](dataplane::Endpoint from, dataplane::Endpoint to, Bytes packet) { listen(from, to, packet); };
  members_.resize(options.members);
  const std::size_t small_place = prng_.below(options.members);
  for (std::size_t place = 0; place < size(); ++place) {
    Member& member = members_[place];
    member.port = std::make_unique<Port>(network_, replica_endpoint(place));
    member.idle = static_cast<Idle>(prng_.below(3));
    if (options[Fault::drift] > 0) {
      member.clock.rate_permille = 1000 - options[Fault::drift] + prng_.below(2 * options[Fault::drift] + 1);
    }
    member.is_small = options[Fault::no_room] > 0 && options.spare() > 0 && place == small_place;
    make_disk(place, 1, member.is_small ? small_disk_bytes : options.disk_bytes);
    member.first_disk = uuid_of(place, 1);
  }
}

void Cluster::make_disk(std::size_t place, std::uint64_t number, std::uint64_t bytes) {
  Member& member = members_[place];
  member.disk = std::make_unique<Disk>(bytes, stream(options_.seed, 0x100 * number + 0x10 + place));
  member.ledger = std::make_unique<Ledger>(options_.segment_bytes);
  format(*member.disk, {.cluster = cluster_id(),
                        .replica = ids_[place],
                        .members = static_cast<std::uint16_t>(size()),
                        .disk = uuid_of(place, number),
                        .segment_bytes = options_.segment_bytes});
  watch_disk(place);
}

void Cluster::watch_disk(std::size_t place) {
  Disk& disk = *members_[place].disk;
  Ledger& ledger = *members_[place].ledger;
  disk.on_asked = [&ledger](std::uint64_t offset, Bytes data) { ledger.asked(offset, data); };
  disk.on_landed = [&ledger](std::uint64_t offset, Bytes data) { ledger.landed(offset, data); };
  ledger.on_value = [this](Slot slot, Checksum checksum, Bytes body) { oracle_.value(slot, checksum, body); };
  ledger.on_vote = [this, place](const Vote& vote) { oracle_.vote(place, vote); };
}

std::vector<client::Peer> Cluster::peers() const {
  std::vector<client::Peer> peers;
  peers.reserve(size());
  for (std::size_t place = 0; place < size(); ++place) peers.push_back({ids_[place], {0, replica_endpoint(place)}});
  return peers;
}

std::optional<std::size_t> Cluster::leader() const {
  std::optional<std::size_t> leader;
  for (std::size_t place = 0; place < size(); ++place) {
    if (!members_[place].is_up() || !members_[place].node->engine().is_leader()) continue;
    const bool newer = !leader || members_[place].node->engine().promised() > members_[*leader].node->engine().promised();
    if (newer) leader = place;
  }
  return leader;
}

// --- one turn ---------------------------------------------------------------------------------------------------------------

// Time stands still now: a journal would wait in vain for what is in flight, as long as it waits for any disk.
Cluster::~Cluster() {
  for (const Member& member : members_) member.disk->kill();
}

std::uint64_t Cluster::poll(std::size_t place) {
  Member& member = members_[place];
  replica::Node& node = *member.node;
  member.disk->now_us = network_.now_us;
  member.before = node.engine();
  const consensus::Engine& before = *member.before;
  if (network_.now_us < member.strobe_until_us) member.clock.ahead_us += prng_.below(2'000);
  const PersistNumber durable = node.journal().durable();
  const bool was_busy = node.poll_once(member.clock.at(network_.now_us));
  node.engine().check_now();
  consensus::Engine::check_delta(before, node.engine());
  check_stall(place, durable);
  oracle_.replica_applied(place, node.log());
  node.flush();
  node.submit();
  // Its peers have told it: it has a bound now, and stands by its word again.
  if (member.has_lost_tail && node.engine().confirmed() && node.engine().doubt().kind == consensus::Doubt::Kind::bounded) {
    member.has_lost_tail = false;
    member.lost_bound = node.engine().doubt().bound;
    ++counters_.doubts_unbounded;
    trace_(network_.now_us, "replica {} has a bound of what it lost", place + 1);
  }
  note_repair(place, before.commit());
  note_leader();
  if (member.cut_at_next_write && member.disk->has_writes_in_flight()) cut_power(place);
  return next_turn_us(member, was_busy);
}

// What it commits was learned from a peer if its disk holds no vote for it.
void Cluster::note_repair(std::size_t place, Slot before) {
  Member& member = members_[place];
  const Slot commit = member.node->engine().commit();
  if (!member.is_behind || commit == before || member.ledger->votes().contains(commit)) return;
  member.is_behind = false;
  ++counters_.repairs;
  trace_(network_.now_us, "replica {} is brought up to date by its peers, slot {}", place + 1, commit.value());
}

std::uint64_t Cluster::next_turn_us(const Member& member, bool was_busy) {
  if (was_busy) return prng_.between(5, 25);
  switch (member.idle) {
    case Idle::spin: return prng_.between(30, 60);
    case Idle::yield: return prng_.between(50, 200);
    case Idle::sleep: return prng_.between(100, 1'000);
  }
  return 50;
}

void Cluster::note_leader() {
  const auto leads = leader();
  if (!leads) return;
  const Ballot ballot = members_[*leads].node->engine().promised();
  if (ballot <= last_leader_) return;
  last_leader_ = ballot;
  ++counters_.leader_changes;
  trace_(network_.now_us, "replica {} leads in ballot ({}, {}), commit {}", *leads + 1, ballot.round(), ballot.replica().value(),
         node(*leads).engine().commit().value());
}

// --- up and down ------------------------------------------------------------------------------------------------------------

void Cluster::start(std::size_t place) {
  Member& member = members_[place];
  CHECK(!member.is_up());
  member.back_at_us = 0;
  member.disk->revive();
  member.disk->opening = true;
  member.disk->conduct.misread_end = member.disk->sectors().size();
  if (crash_prng_.chance(options_[Fault::storm], 20) && options_[Fault::storm] > 0) {
    member.disk->dies_after_writes = static_cast<std::uint32_t>(crash_prng_.below(6));
  }
  const auto read_faults = [&] { return member.disk->counters().read_errors + member.disk->counters().misreads; };
  const std::uint64_t before = read_faults();
  member.ledger->starting();
  ++counters_.starts;
  auto opened = replica::Node::open(
      {.cluster = cluster_id(),
       .self = ids_[place],
       .configuration = configuration_,
       .timeouts = timeouts(options_),
       .journal = {.block_bytes_target = options_.block_bytes_target, .writes_in_flight = options_.writes_in_flight},
       .window_slots = options_.window_slots,
       .seed = prng_.next(),
       .scrub = scrub,
       .say = [this](const std::string& line) { trace_(network_.now_us, "{}", line); }},
      DeviceRef(*member.disk));
  member.disk->opening = false;
  if (member.disk->is_dead()) {
    ++counters_.starts_cut;
    trace_(network_.now_us, "replica {} lost power in its recovery", place + 1);
    member.back_at_us = network_.now_us + crash_prng_.below(5'000);
    return;
  }
  if (!opened) {
    ++counters_.starts_refused;
    trace_(network_.now_us, "replica {} refuses to start: {}", place + 1, opened.error().text);
    const bool had_read_fault = read_faults() != before;
    const bool excused = member.is_damaged || member.is_small || had_read_fault || member.is_swapped;
    if (!excused) oracle_.fail("a healthy disk opens", fmt::format("replica {}: {}", place + 1, opened.error().text));
    if ((member.is_damaged || member.is_small) && !had_read_fault && !member.is_swapped) member.is_lost = true;
    if (had_read_fault) member.back_at_us = network_.now_us + crash_prng_.between(1'000, 10'000);
    return;
  }
  if (member.is_swapped) return oracle_.fail("a foreign disk is refused", fmt::format("replica {} started with it", place + 1));
  member.node = *std::move(opened);
  const std::uint8_t port = member.node->add_port(dataplane::PortRef(*member.port));
  network_.listen(replica_endpoint(place));
  for (std::size_t peer = 0; peer < size(); ++peer) {
    if (peer != place) member.node->set_route(ids_[peer], {port, replica_endpoint(peer)});
  }
  const Slot committed = member.ledger->commit();
  const std::string missing = member.ledger->started(member.node->journal().recovered(), member.disk->sectors());
  if (!missing.empty() && !member.has_lost_tail)
    oracle_.fail("recovery keeps what was durable", fmt::format("replica {}: {}", place + 1, missing));
  check_word_kept(place);
  const storage::Recovered& recovered = member.node->journal().recovered();
  const consensus::Doubt::Kind doubt = node(place).engine().doubt().kind;
  counters_.from_checkpoint += recovered.has_checkpoint ? 1 : 0;
  counters_.gaps_found += recovered.gaps.size();
  counters_.doubts_bounded += doubt == consensus::Doubt::Kind::bounded ? 1 : 0;
  if (!recovered.gaps.empty() || recovered.tail_is_lost) {
    trace_(network_.now_us, "replica {} has lost blocks: {} gaps{}", place + 1, recovered.gaps.size(),
           recovered.tail_is_lost ? ", and its tail" : "");
  }
  if (recovered.gaps.empty() && !recovered.tail_is_lost && !member.is_damaged && node(place).engine().commit() < committed) {
    oracle_.fail("commits are kept", fmt::format("replica {} has committed slot {} on its disk, and starts with {}", place + 1,
                                                 committed.value(), node(place).engine().commit().value()));
  }
  member.is_behind = true;
  trace_(network_.now_us, "replica {} starts: open {}, block {} behind {}, promised ({}, {}), commit {}", place + 1,
         member.ledger->open_count(), member.ledger->sequence(), recovered.sequence, node(place).engine().promised().round(),
         node(place).engine().promised().replica().value(), node(place).engine().commit().value());
}

// What a process counts dies with it.
ClusterCounters Cluster::counters_of(const Member& member) {
  ClusterCounters counted;
  counted.recycled = member.ledger->recycled();
  if (!member.is_up()) return counted;
  counted.gaps_closed = member.node->counters().gaps_closed;
  counted.states_taken = member.node->counters().states_taken;
  counted.records_repaired = member.node->repair_counters().records;
  counted.stale_found = member.node->engine().counters().stale_found;
  return counted;
}

ClusterCounters Cluster::counters() const {
  ClusterCounters sum = counters_;
  for (const Member& member : members_) {
    const ClusterCounters counted = counters_of(member);
    sum.recycled += counted.recycled;
    sum.gaps_closed += counted.gaps_closed;
    sum.states_taken += counted.states_taken;
    sum.records_repaired += counted.records_repaired;
    sum.stale_found += counted.stale_found;
  }
  return sum;
}

void Cluster::went_down(std::size_t place) {
  Member& member = members_[place];
  const ClusterCounters counted = counters_of(member);
  counters_.gaps_closed += counted.gaps_closed;
  counters_.states_taken += counted.states_taken;
  counters_.records_repaired += counted.records_repaired;
  counters_.stale_found += counted.stale_found;
  member.cut_at_next_write = false;
  member.node.reset();
  network_.forget(replica_endpoint(place));
  counters_.undone += member.disk->undo_misdirected(
      [&](Bytes block) { return load<storage::BlockHeader>(block).sequence <= member.ledger->covered(); });
}

void Cluster::kill(std::size_t place) {
  trace_(network_.now_us, "replica {} is killed", place + 1);
  ++counters_.kills;
  members_[place].disk->kill();
  went_down(place);
  network_.refuse(replica_endpoint(place));
}

void Cluster::cut_power(std::size_t place) {
  const Cut cut = members_[place].disk->cut_power();
  trace_(network_.now_us, "replica {} loses power: of its writes in flight {} are whole, {} torn, {} absent", place + 1,
         cut.whole, cut.torn, cut.absent);
  ++counters_.cuts;
  counters_.cuts_torn += cut.torn > 0 ? 1 : 0;
  went_down(place);
  Member& member = members_[place];
  if (options_[Fault::stale_image] == 0 || member.is_damaged || !crash_prng_.chance(1, 3)) return;
  const Bytes sectors = member.disk->sectors();
  member.image = std::make_unique<Image>(Image{{sectors.begin(), sectors.end()}, *member.ledger});
}

// Whether every other member's disk holds the word that this one's got further than `last`.
bool Cluster::is_missed(std::size_t place, const Position& last) const {
  for (std::size_t other = 0; other < size(); ++other) {
    const storage::BlockHeader* header = members_[other].ledger->last();
    if (other != place && (header == nullptr || header->heard[place] <= last)) return false;
  }
  return true;
}

bool Cluster::has_lost_one() const {
  return std::ranges::any_of(members_, [](const Member& member) { return member.is_lost || member.has_lost_tail; });
}

bool Cluster::rot_tail(std::size_t place, std::uint64_t blocks) {
  Member& member = members_[place];
  const auto& chain = member.ledger->blocks();
  if (chain.size() < blocks + 4) return false;
  const auto first = std::prev(chain.end(), static_cast<std::ptrdiff_t>(blocks));
  const storage::BlockHeader& last = std::prev(first)->second.header;
  if (last.sequence + blocks != member.ledger->sequence()) return false;
  if (!is_missed(place, {last.open_count, last.sequence})) return false;
  for (auto at = first; at != chain.end(); ++at) member.disk->rot(at->second.place.offset, at->second.place.bytes);
  const std::uint64_t sequence = last.sequence;
  member.ledger->forget_behind(sequence);
  return true;
}

bool Cluster::put_image_back(std::size_t place) {
  Member& member = members_[place];
  if (member.image == nullptr) return false;
  const Image& image = *member.image;
  const storage::BlockHeader* last = image.ledger.last();
  if (last == nullptr || !is_missed(place, {last->open_count, last->sequence})) return false;
  member.disk->put_back(image.sectors);
  *member.ledger = image.ledger;
  return true;
}

void Cluster::format_again(std::size_t place) {
  Member& member = members_[place];
  CHECK(!member.is_up());
  member.is_lost = true;
  make_disk(place, 2, options_.disk_bytes);
}

void Cluster::swap_disks(std::size_t a, std::size_t b) {
  CHECK(!members_[a].is_up() && !members_[b].is_up());
  std::swap(members_[a].disk, members_[b].disk);
  std::swap(members_[a].ledger, members_[b].ledger);
  members_[a].is_swapped = members_[b].is_swapped = !members_[a].is_swapped;
}

// --- checks -----------------------------------------------------------------------------------------------------------------

void Cluster::listen(dataplane::Endpoint from, dataplane::Endpoint to, Bytes packet) {
  const auto view = wire::decode_packet(packet);
  if (!view) return;
  if (trace_.packets) trace_packet(from, to, *view);
  if (from.address == 1) check_visible(from.port - 1U, *view);
}

void Cluster::trace_packet(dataplane::Endpoint from, dataplane::Endpoint to, const wire::PacketView& packet) const {
  const auto who = [](dataplane::Endpoint end) { return fmt::format("{}{}", end.address == 1 ? "" : "client ", end.port); };
  const wire::PacketHeader& header = packet.header;
  std::string more =
      fmt::format("ballot ({}, {}) commit {}", header.ballot.round(), header.ballot.replica().value(), header.commit.value());
  if (header.type == wire::MessageType::append && header.fragment == 0) {
    const auto append = load<wire::Append>(packet.payload);
    more = fmt::format("session {} entries {} + {}, message {}", append.session.value(), append.first.value(), append.count,
                       header.message_id);
  } else if (header.type == wire::MessageType::appended) {
    const auto appended = load<wire::Appended>(packet.payload);
    more = fmt::format("session {} entries {} + {} at {}, {}", appended.session.value(), appended.first.value(), appended.count,
                       appended.first_lsn.value(), wire::name(appended.ack));
  } else if (header.type == wire::MessageType::refused) {
    const auto refused = load<wire::Refused>(packet.payload);
    more = fmt::format("{}, session {} entry {}, request {}", wire::name(refused.reason), refused.session.value(),
                       refused.sequence.value(), refused.request);
  }
  trace_(network_.now_us, "  {} -> {}: {} {}", who(from), who(to), wire::name(header.type), more);
}

// Durable before visible.
void Cluster::check_visible(std::size_t place, const wire::PacketView& packet) {
  const wire::PacketHeader& header = packet.header;
  const Member& member = members_[place];
  if (header.type == wire::MessageType::accept) return note_value(packet);
  if (header.type == wire::MessageType::received) return check_received(place, packet);
  if (header.type == wire::MessageType::appended) return check_answer(place, packet);
  const bool is_promise = header.type == wire::MessageType::promise || header.type == wire::MessageType::prepare;
  if (!is_promise && header.type != wire::MessageType::accepted) return;
  if (header.incarnation.disk != member.first_disk) {
    return oracle_.fail("a lost disk never votes",
                        fmt::format("replica {} says {} with a new disk", place + 1, wire::name(header.type)));
  }
  if (is_promise) return check_promise_visible(place, header);
  const auto decoded = wire::decode_peer_message(header, packet.payload, {});
  if (!decoded) return oracle_.fail("replicas speak the protocol", "an Accepted that nobody can decode");
  const auto& accepted = std::get<wire::Accepted>(decoded->payload);
  receivers_[{accepted.slot, header.ballot}].add(place);
  // Who has learned from a peer that a value is chosen may vote for it at any time: no other will ever be.
  if (member.ledger->holds_chosen(accepted.slot, accepted.checksum)) return;
  if (member.ledger->holds_vote({accepted.slot, header.ballot, accepted.checksum})) return;
  oracle_.fail("durable before visible",
               fmt::format("replica {} says accepted in slot {}, ballot ({}, {}), and its disk does not", place + 1,
                           accepted.slot.value(), header.ballot.round(), header.ballot.replica().value()));
}

void Cluster::check_promise_visible(std::size_t place, const wire::PacketHeader& header) {
  if (members_[place].ledger->promised() >= header.ballot) return;
  oracle_.fail(
      "durable before visible",
      fmt::format("replica {} says {} ({}, {}) and its disk holds no promise of that ballot; in effect up to block {}, then {}",
                  place + 1, wire::name(header.type), header.ballot.round(), header.ballot.replica().value(),
                  members_[place].ledger->sequence(), members_[place].ledger->waiting()));
}

// A leader steps down if its disk makes nothing durable. (What is committed without its own disk waits for it.)
void Cluster::check_stall(std::size_t place, PersistNumber before) {
  Member& member = members_[place];
  const replica::Node& node = *member.node;
  const std::uint64_t now_us = member.clock.at(network_.now_us);
  const std::uint64_t elapsed_us = std::min(now_us - std::exchange(member.polled_us, now_us), silence_us_per_tick_max);
  const bool waits = node.journal().durable() == before && node.engine().commit() > node.status().durable;
  member.stalled_us = waits ? member.stalled_us + elapsed_us : 0;
  if (member.stalled_us <= options_.step_down_us + silence_us_per_tick_max || !node.engine().is_leader()) return;
  oracle_.fail("a leader's disk makes progress",
               fmt::format("replica {} leads, and nothing became durable for {} us", place + 1, member.stalled_us));
}

void Cluster::check_word_kept(std::size_t place) {
  const consensus::Engine& engine = node(place).engine();
  const Ledger& ledger = *members_[place].ledger;
  const consensus::Doubt& doubt = engine.doubt();
  if (doubt.is_unbounded() || members_[place].has_lost_tail)
    return;  // it knows that it has forgotten something, and stands by nothing
  if (engine.promised() < ledger.promised()) {
    return oracle_.fail("promises are kept", fmt::format("replica {} has forgotten a promise", place + 1));
  }
  for (auto at = ledger.votes().upper_bound(engine.commit()); at != ledger.votes().end(); ++at) {
    const Vote& vote = at->second;
    const bool is_doubtful =
        doubt.kind == consensus::Doubt::Kind::bounded && vote.slot <= doubt.last && vote.ballot <= doubt.bound;
    if (is_doubtful || vote.ballot <= members_[place].lost_bound) continue;
    const consensus::AcceptedSlot* open = engine.open_slot(vote.slot);
    const bool kept = open != nullptr && (open->chosen || open->ballot > vote.ballot ||
                                          (open->ballot == vote.ballot && open->value.checksum == vote.checksum));
    if (!kept) {
      return oracle_.fail("votes are kept",
                          fmt::format("replica {} has forgotten its vote in slot {}", place + 1, vote.slot.value()));
    }
  }
}

bool Cluster::has_settled(const std::vector<std::size_t>& core) const {
  const auto leads = leader();
  if (!leads) return false;
  return std::ranges::all_of(core, [&](std::size_t place) {
    const Member& member = members_[place];
    return member.is_up() && member.node->engine().commit() == members_[*leads].node->engine().next_slot() - 1;
  });
}

bool Cluster::is_whole(std::size_t place) const {
  const Member& member = members_[place];
  if (!member.is_up() || member.node->gaps() > 0 || !member.node->engine().may_promise()) return false;
  const Disk& disk = *member.disk;
  if (!member.ledger->is_intact(disk)) return false;
  for (Slot slot = std::max(Slot(1), member.node->first_needed()); slot <= member.node->engine().commit(); ++slot) {
    if (!member.ledger->holds(slot, *oracle_.chosen(slot), disk)) return false;
  }
  return true;
}

bool Cluster::is_excused(std::size_t place) const {
  const Member& member = members_[place];
  if (member.is_lost || member.is_small) return true;
  // Without a bound it needs the word of everybody. (Damage to what was written while there was none takes the bound away again.)
  // So it does without the record of the members, before the first checkpoint.
  const consensus::Engine* const engine = member.is_up() ? &member.node->engine() : nullptr;
  const bool lacks_word = engine != nullptr && (engine->doubt().is_unbounded() || !engine->members_recorded());
  const bool needs_everybody = member.has_lost_tail || (member.is_damaged && lacks_word);
  return needs_everybody && std::ranges::any_of(members_, [](const Member& other) { return other.is_lost; });
}

bool Cluster::is_short_of_space() const {
  return std::ranges::any_of(members_, [](const Member& member) {
    return member.is_up() && member.node->journal().bytes_used() > member.node->journal().bytes_capacity() / 3;
  });
}

Slot Cluster::committed_by_all() const {
  Slot least{~std::uint64_t{0}};
  for (std::size_t place = 0; place < size(); ++place) {
    if (!is_excused(place)) least = std::min(least, members_[place].ledger->commit());
  }
  return std::min(least, oracle_.chosen_up_to());
}

std::string Cluster::describe() const {
  std::string text;
  for (std::size_t place = 0; place < size(); ++place) {
    const Member& member = members_[place];
    text += fmt::format("{}{}:", place == 0 ? "" : "; ", place + 1);
    if (member.is_damaged) text += " damaged";
    if (!is_whole(place)) text += " not whole";
    if (member.is_lost) text += " lost";
    if (!member.is_up()) {
      text += " down";
      continue;
    }
    const consensus::Engine& engine = member.node->engine();
    const wire::StatusAnswer status = member.node->status();
    if (const auto damaged = member.ledger->first_damaged(*member.disk)) {
      const Ledger::Block& block = member.ledger->blocks().at(*damaged);
      text += fmt::format(" block {} of {} at {}+{} is damaged", *damaged, member.ledger->sequence(), block.place.offset,
                          block.place.bytes);
    }
    text += fmt::format(" {} gaps, {} passes of the scrub,", member.node->gaps(), member.node->scrub_progress().passes);
    text += fmt::format(" commit {} next {} trim {} kept {}{}{} doubt {} confirmed {} used {}/{}", engine.commit().value(),
                        engine.next_slot().value(), member.node->log().trim().value(), engine.trim().value(),
                        engine.is_leader() ? " leads" : "", engine.may_vote() ? "" : " mute", static_cast<int>(status.doubt),
                        engine.confirmed(), status.journal_bytes, status.journal_bytes_capacity);
    const auto lacks = [&](Slot slot) { return !member.ledger->holds(slot, *oracle_.chosen(slot), *member.disk); };
    Slot lacking = std::max(Slot(1), member.node->first_needed());
    while (lacking <= engine.commit() && !lacks(lacking)) ++lacking;
    if (lacking <= engine.commit()) text += fmt::format(" slot {} is not on its disk,", lacking.value());
    text += fmt::format(" segments {} to {}", member.node->journal().first_segment(), member.node->journal().current_segment());
  }
  return text;
}

bool Cluster::is_on_a_quorum_of_disks(Slot slot) const {
  const auto checksum = oracle_.chosen(slot);
  if (!checksum) return false;
  consensus::MemberSet holders;
  for (std::size_t place = 0; place < size(); ++place) {
    const Member& member = members_[place];
    if (slot <= member.believed_up_to || member.ledger->holds(slot, *checksum, *member.disk)) holders.add(place);
  }
  return configuration_.is_phase2_quorum(holders);
}

}  // namespace synod::sim
