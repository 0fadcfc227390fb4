#include "tests/sim/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/crc32c.h"
#include "wire/client.h"
#include "wire/cluster.h"

namespace synod::sim {

namespace {

constexpr std::uint64_t entries_in_safety_max = 1'500;
constexpr std::uint64_t heal_limit_us = 30'000'000;

}  // namespace

Run::Run(const Options& options, const Trace& trace)
    : options_(options),
      trace_(trace),
      network_(stream(options.seed, 2)),
      oracle_(Cluster::configuration_of(options_)),
      cluster_(options_, network_, oracle_, trace_),
      prng_(stream(options.seed, 5)),
      level_prng_(stream(options.seed, 6)),
      mixes_levels_(level_prng_.chance(2, 3)) {
  for (std::size_t i = 0; i < faults; ++i) fault_prngs_.push_back(stream(options.seed, 0x1000 + i));
  for (std::size_t number = 0; number < options_.writers + 1; ++number) {
    // Impatient ones open many sessions; the first writer is patient, and will get everything appended in the end.
    const std::uint64_t patience_us = prng_.chance(1, 2) ? prng_.between(4'000, 30'000) : prng_.between(20'000, 400'000);
    const std::uint64_t timeout_us = number > 0 && number < options_.writers && prng_.chance(2, 3) ? patience_us : 0;
    clients_.push_back(std::make_unique<Client>(cluster_, network_, oracle_, known_, number, timeout_us));
    at(network_.now_us + 10 * number, {Happening::client, number});
  }
  for (std::size_t place = 0; place < cluster_.size(); ++place) at(network_.now_us + place, {Happening::node, place});
}

Outcome Run::go() {
  for (std::size_t place = 0; place < cluster_.size() && !oracle_.failure(); ++place) cluster_.start(place);
  safety();
  if (!oracle_.failure()) heal_core();
  if (!oracle_.failure()) heal_everybody();
  if (!oracle_.failure()) read_back();
  for (const auto& client : clients_) {
    if (!oracle_.failure()) client->check_history();
  }
  return {oracle_.failure(), network_.now_us, tally()};
}

template <class Done>
bool Run::run_until(Done&& done, std::uint64_t limit_us) {
  phase_end_us_ = network_.now_us + limit_us;
  while (!oracle_.failure()) {
    if (done()) return true;
    if (network_.now_us >= phase_end_us_) return false;
    step();
  }
  return false;
}

void Run::step() {
  const auto next = events_.begin();
  network_.now_us = std::max(network_.now_us, next->first);
  const Event event = next->second;
  events_.erase(next);
  switch (event.what) {
    case Happening::node: return poll_node(event.index);
    case Happening::client: return poll_client(event.index);
    case Happening::links_healed:
      if (faulty_) network_.heal();
      return;
    case Happening::fault:
      if (!faulty_) return;
      strike(static_cast<Fault>(event.index));
      return schedule(static_cast<Fault>(event.index));
  }
}

void Run::poll_node(std::size_t place) {
  Member& member = cluster_.member(place);
  const std::uint64_t now_us = network_.now_us;
  if (member.paused_until_us > now_us) return at(member.paused_until_us, {Happening::node, place});
  if (member.is_up()) {
    at(now_us + cluster_.poll(place), {Happening::node, place});
    // Its operator has seen that the disk failed, and starts it again.
    if (member.is_up() && member.node->journal().failed() && prng_.chance(1, 50)) cluster_.kill(place);
    return;
  }
  if (member.back_at_us == 0 && !member.is_lost) member.back_at_us = now_us + down_time_us();
  if (member.back_at_us != 0 && member.back_at_us <= now_us) cluster_.start(place);
  at(now_us + 200, {Happening::node, place});
}

void Run::poll_client(std::size_t number) {
  Client& client = *clients_[number];
  if (client.look_away_us > 0) return at(network_.now_us + std::exchange(client.look_away_us, 0), {Happening::client, number});
  if (number < options_.writers) {
    const bool is_silent = number == 0 && flooding_ && client.session() != SessionId{};
    if (!is_silent) write(client);
  } else {
    keep_trimmed();
    watch();
    flood();
  }
  client.poll();
  at(network_.now_us + prng_.between(40, 160), {Happening::client, number});
}

void Run::write(Client& client) {
  if (submitted_ >= submit_max_ || !prng_.chance(1, 10)) return;
  for (std::uint64_t burst = prng_.between(1, 6); burst > 0 && submitted_ < submit_max_; --burst) {
    // Large ones are of one size, so that fragments of two of them could be taken for each other.
    const std::uint64_t bytes = prng_.chance(1, 100) ? 5'000 : prng_.below(options_.entry_bytes_max);
    std::string payload = fmt::format("{} ", submitted_) + std::string(bytes, static_cast<char>('a' + submitted_ % 26));
    if (!client.append(std::move(payload), draw_level(client))) return;
    ++submitted_;
  }
}

// `all` waits for a replica that is down: only who gives up at a deadline asks for it.
wire::AckLevel Run::draw_level(const Client& client) {
  if (!mixes_levels_ || level_prng_.chance(1, 3)) return wire::AckLevel::quorum;
  const auto level = static_cast<wire::AckLevel>(level_prng_.between(1, wire::ack_levels - 1));
  return level == wire::AckLevel::all && !client.is_impatient() ? wire::AckLevel::quorum : level;
}

// Asks for the tail and reads, again and again, from the leader or from one replica.
void Run::watch() {
  Client& watcher = *clients_.back();
  if (watcher.is_waiting() || !faulty_ || !prng_.chance(1, 4)) return;
  const std::uint64_t known = std::max(known_.tail, known_.acknowledged).value();
  if (known < 2 || prng_.chance(1, 2)) return watcher.ask_tail(200'000);
  if (!options_.is_trimmed && prng_.chance(1, 40)) {
    return watcher.ask_trim(Lsn(std::min(trim_limit().value(), prng_.below(known) / 2)), 200'000);
  }
  const std::uint64_t from = prng_.chance(1, 2) ? prng_.below(known) : known - 1;
  std::optional<std::size_t> place;
  if (prng_.chance(1, 2)) place = prng_.below(cluster_.size());
  watcher.ask_read(Lsn(from), Lsn(from + prng_.between(1, 64)), place, 50'000);
}

// The slot behind may hold no entry, and go with the one before it: so one entry less.
Lsn Run::trim_limit() const {
  const Lsn limit = oracle_.tail();
  return limit == Lsn{} ? limit : limit - 1;
}

// So that segments are used again and again.
void Run::keep_trimmed() {
  Client& watcher = *clients_.back();
  if (!options_.is_trimmed || is_reading_back_ || watcher.is_waiting() || !prng_.chance(1, 4)) return;
  // Where space gets short nothing else helps. (In so small a journal, what the few last ones keep may be all of it: what lies
  // behind the newest checkpoint below them.)
  const std::uint64_t kept_if_short = prng_.chance(1, 8) ? 0 : 5;
  const std::uint64_t kept = cluster_.is_short_of_space() ? kept_if_short : options_.entries_kept;
  const std::uint64_t tail = std::max(known_.tail, known_.acknowledged).value();
  // The last entry may hold all of it, too, while control records come (seed 16499: thirty starts, and no commit).
  const Lsn limit = kept == 0 ? oracle_.tail() : trim_limit();
  const std::uint64_t wanted = std::min(limit.value(), tail > kept ? tail - kept : 0);
  if (wanted <= oracle_.trim().value() + kept / 4) return;
  trace_(network_.now_us, "a trim up to {}; everybody has committed up to slot {}; {}", wanted,
         cluster_.committed_by_all().value(), trace_.enabled ? cluster_.describe() : "");
  watcher.ask_trim(Lsn(wanted), 50'000);
}

// Strangers open sessions, and never use them, until the session of the first writer, who is silent meanwhile, is evicted.
void Run::flood() {
  const auto leader = cluster_.leader();
  const SessionId victim = clients_.front()->session();
  if (!flooding_ || !leader || victim == SessionId{}) return;
  if (oracle_.was_evicted(victim)) flooding_ = false;
  for (int i = 0; i < 4; ++i) {
    wire::PacketHeader header;
    header.type = wire::MessageType::open_session;
    header.cluster = wire::cluster_id("sim");
    header.destination = cluster_.node(*leader).engine().leader();
    header.incarnation.disk.bytes[0] = std::byte{0xF1};
    store(MutableBytes(header.incarnation.disk.bytes).subspan(4), ++flood_clients_);
    header.incarnation.open_count = 1;
    header.message_id = flood_clients_;
    wire::OpenSession request;
    request.request = flood_clients_;
    const Bytes payload = bytes_of(request);
    header.message_bytes = static_cast<std::uint32_t>(payload.size());
    header = wire::seal(header, payload);
    Datagram packet(sizeof(header) + payload.size());
    store(packet, header);
    copy(MutableBytes(packet).subspan(sizeof(header)), payload);
    network_.inject(client_endpoint(60), replica_endpoint(*leader), std::move(packet));
  }
}

// --- phases -----------------------------------------------------------------------------------------------------------------

void Run::safety() {
  set_packet_faults();
  set_read_faults();
  schedule_faults();
  submit_max_ = entries_in_safety_max;
  const auto introduced = [&] {
    for (std::size_t place = 0; place < cluster_.size(); ++place) {
      if (!cluster_.member(place).is_up() || !cluster_.node(place).engine().may_vote()) return false;
    }
    return true;
  };
  const std::uint64_t end_us = network_.now_us + options_.safety_us;
  introduced_ = run_until(introduced, options_.safety_us);
  if (network_.now_us < end_us) run_until([] { return false; }, end_us - network_.now_us);
  trace_(network_.now_us, "the faults are over; {} entries are chosen", oracle_.tail().value());
}

void Run::bring_back(std::size_t place) {
  Member& member = cluster_.member(place);
  member.paused_until_us = 0;
  member.cut_at_next_write = false;
  member.disk->conduct = {};
  if (!member.is_up() && !member.is_lost) member.back_at_us = network_.now_us;
}

bool Run::all_answered() {
  return std::ranges::all_of(clients_, [](const auto& client) { return client->is_idle(); });
}

// Any quorum of healthy disks must do.
void Run::heal_core() {
  faulty_ = false;
  flooding_ = false;
  network_.faults = {};
  network_.heal();
  options_[Fault::storm] = 0;
  std::vector<std::size_t> healthy;
  for (std::size_t place = 0; place < cluster_.size(); ++place) {
    const Member& member = cluster_.member(place);
    // One with a damaged disk runs on, and what it cannot read any more nobody in the core might have: it is no part of it.
    if (!member.is_lost && !member.is_damaged && !member.is_small) healthy.push_back(place);
  }
  for (std::size_t i = healthy.size(); i > 1; --i) std::swap(healthy[i - 1], healthy[prng_.below(i)]);
  healthy.resize(std::max(options_.phase1, options_.phase2));
  std::string names;
  for (std::size_t place = 0; place < cluster_.size(); ++place) {
    if (std::ranges::find(healthy, place) != healthy.end()) {
      bring_back(place);
      names += fmt::format(" {}", place + 1);
      continue;
    }
    for (std::size_t other = 0; other < cluster_.size(); ++other) {
      network_.cut(replica_endpoint(place), replica_endpoint(other));
      network_.cut(replica_endpoint(other), replica_endpoint(place));
    }
    for (const auto& client : clients_) {
      network_.cut(replica_endpoint(place), client->endpoint());
      network_.cut(client->endpoint(), replica_endpoint(place));
    }
  }
  trace_(network_.now_us, "healed: replicas{} and the clients", names);
  // Some appends more, so that the run has what every run must have.
  submit_max_ = submitted_ + 50;
  const auto done = [&] {
    if (oracle_.tail().value() < options_.entries_wanted && submitted_ == submit_max_ && all_answered()) submit_max_ += 50;
    return oracle_.tail().value() >= options_.entries_wanted && submitted_ == submit_max_ && all_answered() &&
           cluster_.has_settled(healthy);
  };
  if (run_until(done, heal_limit_us) || oracle_.failure()) return;
  oracle_.fail("a healed quorum goes on",
               fmt::format("{} entries are chosen, {} were submitted; replicas{} do not come to rest: {}", oracle_.tail().value(),
                           submitted_, names, cluster_.describe()));
}

void Run::heal_everybody() {
  network_.heal();
  std::vector<std::size_t> everybody;
  for (std::size_t place = 0; place < cluster_.size(); ++place) {
    bring_back(place);
    everybody.push_back(place);
  }
  // Long enough for one that must not vote to try.
  const std::uint64_t least_us = network_.now_us + 50'000;
  std::uint64_t whole_again_us = 0;
  const auto done = [&] {
    if (network_.now_us < least_us) return false;
    std::erase_if(everybody, [&](std::size_t place) { return cluster_.is_excused(place); });
    if (oracle_.tail().value() < options_.entries_wanted && submitted_ == submit_max_ && all_answered()) submit_max_ += 50;
    if (oracle_.tail().value() < options_.entries_wanted || !all_answered() || !cluster_.has_settled(everybody)) return false;
    // Their disks are read for this: now and then.
    if (network_.now_us < whole_again_us) return false;
    whole_again_us = network_.now_us + 10'000;
    return std::ranges::all_of(everybody, [&](std::size_t place) { return cluster_.is_whole(place); });
  };
  if (run_until(done, heal_limit_us) || oracle_.failure()) return;
  oracle_.fail("everybody catches up", cluster_.describe());
}

// The whole log, as far as it is kept, through the client protocol.
void Run::read_back() {
  is_reading_back_ = true;
  Client& reader = *clients_.back();
  run_until([&] { return !reader.is_waiting(); }, heal_limit_us);
  reader.ask_tail(heal_limit_us);
  run_until([&] { return !reader.is_waiting(); }, heal_limit_us);
  std::vector<std::size_t> readable;
  for (std::size_t place = 0; place < cluster_.size(); ++place) {
    const Member& member = cluster_.member(place);
    if (member.is_up() && !member.is_damaged && !member.is_small && !member.is_lost) {
      readable.push_back(place);
    }
  }
  const std::size_t place = readable[prng_.below(readable.size())];
  if (oracle_.trim() > known_.trim_asked) {
    return oracle_.fail("a trim is asked for", fmt::format("trimmed up to {}", oracle_.trim().value()));
  }
  if (oracle_.trim() < known_.trim) {
    return oracle_.fail("a trim is for ever", fmt::format("answered with {}, and in the end the log is trimmed up to {}",
                                                          known_.trim.value(), oracle_.trim().value()));
  }
  const Lsn first = oracle_.trim();
  if (first > Lsn{}) {
    reader.ask_read(first - 1, first, place, 1'000'000);
    run_until([&] { return !reader.is_waiting(); }, heal_limit_us);
    if (!reader.last_was_trimmed()) oracle_.fail("what is trimmed is refused", fmt::format("position {}", first.value() - 1));
  }
  int lagging = 0;  // answers of "not yet": what was chosen last is still on its way
  for (std::uint64_t at = first.value(); at < oracle_.tail().value() && !oracle_.failure();) {
    // One that came back behind a trim got a checkpoint, and the others have what lies before it.
    const auto has_it = [&](std::size_t other) { return cluster_.node(other).first_readable() <= Lsn(at); };
    const auto holder = std::ranges::find_if(readable, has_it);
    if (holder == readable.end()) return oracle_.fail("the log can be read", fmt::format("nobody has position {}", at));
    const std::size_t asked = has_it(place) ? place : *holder;
    reader.ask_read(Lsn(at), oracle_.tail(), asked, 1'000'000);
    const bool is_answered = run_until([&] { return !reader.is_waiting(); }, heal_limit_us);
    if (is_answered && reader.last_was_trimmed() && Lsn(at) < oracle_.trim()) {
      at = oracle_.trim().value();  // by a trim that was still on its way
      continue;
    }
    const bool lags = is_answered && reader.last_read() == 0 && reader.last_read_tail() <= Lsn(at);
    if (lags && ++lagging < 1'000) {
      run_until([] { return false; }, 1'000);
      continue;
    }
    if (!is_answered || reader.last_read() == 0) {
      oracle_.fail("the log can be read", fmt::format("position {} cannot be read from replica {}", at, place + 1));
    }
    at += reader.last_read();
  }
}

// Those that networks, disks and clusters count themselves beside those that were counted as they struck.
std::array<std::uint64_t, faults> Run::struck() const {
  std::array<std::uint64_t, faults> struck = struck_;
  const auto of = [&struck](Fault fault) -> std::uint64_t& { return struck[static_cast<std::size_t>(fault)]; };
  const NetworkCounters& packets = network_.counters();
  of(Fault::loss) = packets.lost - packets.accepts_lost - packets.cut_off;
  of(Fault::accept_loss) = packets.accepts_lost;
  of(Fault::duplication) = packets.doubled;
  of(Fault::reordering) = packets.overtaken;
  of(Fault::replay) = packets.replayed;
  of(Fault::corruption) = packets.corrupted;
  of(Fault::drift) = options_[Fault::drift] > 0 ? 1 : 0;
  for (std::size_t place = 0; place < cluster_.size(); ++place) {
    const Member& member = cluster_.member(place);
    const DiskCounters& disk = member.disk->counters();
    of(Fault::write_error) += disk.write_errors;
    of(Fault::read_error) += disk.read_errors;
    of(Fault::misread) += disk.misreads;
    of(Fault::misdirected_write) += disk.misdirected;
    of(Fault::no_room) += member.is_small ? 1 : 0;
  }
  return struck;
}

Tally Run::tally() const {
  Tally tally;
  tally.virtual_us = network_.now_us;
  tally.committed = oracle_.tail().value();
  tally.slots = oracle_.chosen_up_to().value();
  tally.void_slots = oracle_.void_slots();
  for (const auto& client : clients_) {
    tally.appended += client->counters().appended;
    tally.unknown += client->counters().unknown;
    tally.not_appended += client->counters().not_appended;
    tally.sessions_lost += client->counters().sessions_lost;
    for (std::size_t level = 0; level < wire::ack_levels; ++level) {
      tally.answered[level] += client->counters().answered[level];
      tally.early_lost[level] += client->counters().early_lost[level];
    }
    tally.tails += client->counters().tails;
    tally.reads += client->counters().reads;
    tally.trims += client->counters().trims;
    tally.trimmed_reads += client->counters().trimmed_reads;
  }
  const ClusterCounters counted = cluster_.counters();
  tally.recycled = counted.recycled;
  tally.from_checkpoint = counted.from_checkpoint;
  tally.gaps_found = counted.gaps_found;
  tally.gaps_closed = counted.gaps_closed;
  tally.states_taken = counted.states_taken;
  tally.records_repaired = counted.records_repaired;
  tally.doubts_bounded = counted.doubts_bounded;
  tally.doubts_unbounded = counted.doubts_unbounded;
  tally.stale_found = counted.stale_found;
  tally.leader_changes = counted.leader_changes;
  tally.starts = counted.starts;
  tally.starts_refused = counted.starts_refused;
  tally.starts_cut = counted.starts_cut;
  tally.kills = counted.kills;
  tally.cuts = counted.cuts;
  tally.cuts_torn = counted.cuts_torn;
  for (std::size_t place = 0; place < cluster_.size(); ++place) {
    tally.damaged += cluster_.member(place).is_damaged ? 1 : 0;
    tally.lost += cluster_.member(place).is_lost ? 1 : 0;
  }
  tally.repairs = counted.repairs;
  tally.struck = struck();
  tally.digest = network_.counters().digest;
  for (std::size_t place = 0; place < cluster_.size(); ++place) {
    tally.digest = (tally.digest ^ crc32c(cluster_.member(place).disk->sectors())) * 0x9E3779B97F4A7C15;
  }
  tally.packets = network_.counters().sent;
  tally.packets_lost = network_.counters().lost;
  return tally;
}

}  // namespace synod::sim
