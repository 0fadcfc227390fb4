#include "replica/node.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <variant>

#include "base/check.h"
#include "base/mutant.h"
#include "replica/recovery.h"
#include "wire/message.h"

namespace synod::replica {

namespace {

constexpr std::size_t openings_max = 256;
constexpr std::size_t tails_max = 1024;
constexpr std::size_t ack_waits_max = 4096;  // of each level
constexpr std::size_t trims_max = 64;
constexpr std::size_t own_records_max = 4096;
constexpr std::uint64_t check_interval_us = 1'000'000;  // of the engine's invariants

// Bodies: one an open slot in the acceptor, one an open slot that a candidate fetched, the open batch, and what one step moves.
std::size_t pool_bodies(std::size_t window_slots) {
  return 2 * window_slots + 8;
}

// Slots that the journal can hold: a no-op's record is its header. At least one: it is the journal that refuses a device without
// room, and says why.
std::size_t index_slots(const storage::DeviceInfo& device) {
  return std::max<std::size_t>(1, device.size_bytes / sizeof(wire::RecordHeader));
}

// Memory does not rot, and none of it survives a restart: passes over it would only be seen in the tail of the latencies.
storage::ScrubOptions scrub_options(const storage::DeviceInfo& device, storage::ScrubOptions asked) {
  if (device.immediate) asked.bytes_per_s = 0;
  return asked;
}

bool names_each_once(std::span<const wire::MemberUuid> members, const consensus::Configuration& configuration) {
  for (std::size_t place = 0; place < configuration.size(); ++place) {
    const auto names = [&](const wire::MemberUuid& member) {
      return member.replica == configuration.member(place) && !member.uuid.is_none();
    };
    if (std::ranges::none_of(members, names)) return false;
  }
  return members.size() == configuration.size();
}

}  // namespace

struct Node::Parts {
  std::unique_ptr<storage::Journal> journal;
  std::unique_ptr<consensus::LogState> log;
  std::unique_ptr<SlotIndex> index;
  std::vector<wire::MemberUuid> members;
  Ballot promised;
  std::map<Slot, OpenRecord> open;
  consensus::Doubt doubt;
  Slot trim;
  storage::CheckpointAt trim_base;
  Lsn trimmed;
  Lsn first_lsn;
};

Result<std::unique_ptr<Node>> Node::open(const NodeOptions& options, storage::DeviceRef device) {
  Parts parts;
  parts.log = std::make_unique<consensus::LogState>(true);
  parts.index = std::make_unique<SlotIndex>(index_slots(device.info()));
  Recovery recovery(*parts.log, *parts.index, device);
  auto journal = storage::Journal::open(device, options.cluster, options.self, options.journal, recovery.visitor());
  if (!journal) return std::unexpected(journal.error());
  parts.journal = std::move(*journal);
  if (const auto finished = recovery.finish(parts.journal->recovered()); !finished) {
    return std::unexpected(finished.error());
  }
  parts.promised = recovery.promised();
  if (mutant(Mutant::ballot_reused_after_restart) && parts.promised.replica() == options.self) {
    parts.promised = Ballot(parts.promised.round() - 1, options.self);
  }
  parts.members = recovery.members();
  parts.open = recovery.open();
  parts.doubt = recovery.doubt();
  // Where the log has come as far again as the trim that was recorded, its slot is looked up anew: the record may speak of less.
  // (Where a gap stopped the log short of it, a peer's checkpoint will bring it there.)
  if (recovery.trim() > parts.log->applied() + 1) {
    parts.trimmed = parts.log->trim();
  } else if (recovery.trimmed() > parts.log->trim()) {
    parts.trimmed = recovery.trimmed();
  }
  parts.trim_base = recovery.trim_base();
  parts.first_lsn = recovery.first_lsn();
  parts.trim = std::min(recovery.trim(), parts.log->applied() + 1);
  const Slot window_end = parts.log->applied() + options.window_slots;
  // Where a slot was lost, later ones may lie beyond the window. They are in doubt, too: no promise is made before they are
  // known.
  if (parts.doubt.kind != consensus::Doubt::Kind::none) parts.open.erase(parts.open.upper_bound(window_end), parts.open.end());
  if (parts.doubt.kind != consensus::Doubt::Kind::none && options.configuration.size() == 1) {
    return fail(
        "the journal is damaged although it was durable, and there is no other member to repair it from: this replica must not "
        "vote; `synod verify` says where; restore a whole copy");
  }
  // To leave out a vote would be to forget it (rule 1).
  if (!parts.open.empty() && parts.open.rbegin()->first > window_end) {
    return fail(
        fmt::format("the journal holds a vote for slot {}, and only slots up to {} can be open: it was written with a larger "
                    "window; start this replica with that one",
                    parts.open.rbegin()->first.value(), window_end.value()));
  }
  if (auto ours = check_members(parts, options); !ours) return std::unexpected(ours.error());
  return std::unique_ptr<Node>(new Node(options, std::move(parts)));
}

// Quorums of one cluster must be of one set of members, from its first vote on.
Result<> Node::check_members(const Parts& parts, const NodeOptions& options) {
  const storage::Identity& identity = parts.journal->recovered().identity;
  const Uuid disk = identity.disk;
  if (identity.group != options.group) {
    return fail(fmt::format("the journal is that of group {}, and group {} is expected: check --data", identity.group.value(),
                            options.group.value()));
  }
  if (identity.members != options.configuration.size()) {
    return fail(
        fmt::format("the journal was formatted for {} replicas and the configuration names {} members: correct the members, or "
                    "format a new directory",
                    identity.members, options.configuration.size()));
  }
  for (const wire::MemberUuid& member : parts.members) {
    if (member.replica == options.self && member.uuid != disk) {
      return fail(
          "the journal records another disk under this replica's id: it was copied; use the original, or add a new member");
    }
    if (options.configuration.place_of(member.replica) == consensus::Configuration::not_a_member) {
      return fail(fmt::format("the journal records member {} which the configuration does not name: correct the members",
                              member.replica.value()));
    }
  }
  // The record is made when all are known; one that says otherwise was not written by this program.
  if (!parts.members.empty() && !names_each_once(parts.members, options.configuration)) {
    return fail(
        "the journal's record of the members does not name the disk of each member once: do not start this replica; keep its "
        "directory and report it");
  }
  return {};
}

Node::Node(const NodeOptions& options, Parts&& parts)
    : options_(options),
      journal_(std::move(parts.journal)),
      messenger_({options.cluster,
                  options.group,
                  options.self,
                  {journal_->recovered().identity.disk, journal_->recovered().identity.open_count}},
                 {}),
      pool_(pool_bodies(options.window_slots)),
      engine_({.self = options.self,
               .configuration = options.configuration,
               .incarnation = messenger_.local().incarnation,
               .window_slots = options.window_slots,
               .timeouts = options.timeouts,
               .seed = options.seed},
              {.promised = parts.promised,
               .commit = parts.log->applied(),
               .members = parts.members,
               .claim = journal_->recovered().watermarks.heard[options.configuration.place_of(options.self)],
               .heard = journal_->recovered().watermarks.heard,
               .doubt = parts.doubt,
               .trim = parts.trim,
               .highest_slot = journal_->recovered().watermarks.highest}),
      log_state_(std::move(parts.log)),
      log_(*log_state_),
      index_(std::move(parts.index)),
      intake_(pool_, journal_->largest_body()),
      reads_(messenger_, *journal_, *index_),
      checkpoint_(std::min(storage::checkpoint_part_bytes, journal_->largest_body())),
      base_reader_(*journal_),
      scrub_(*journal_, scrub_options(journal_->device_info(), options.scrub)),
      staged_(options.window_slots),
      waits_(ack_waits_max),
      openings_(openings_max),
      tails_(tails_max),
      trims_(trims_max),
      durable_slot_(log_.applied()),
      own_records_(own_records_max),
      page_body_(index_page_bytes),
      trimmed_(parts.trimmed),
      trim_target_(parts.trim),
      trim_slot_(parts.trim),
      trim_base_(parts.trim_base),
      first_lsn_(parts.first_lsn) {
  for (const storage::Gap& gap : journal_->recovered().gaps) add_gap(gap);
  for (const auto& [slot, record] : parts.open) {
    CHECK(slot > log_.applied());
    const BodyHandle body = pool_.acquire_copy(record.body);
    const bool chosen = record.header.kind == wire::RecordKind::chosen;
    engine_.restore(slot, record.header.ballot, {record.header.body_checksum, record.header.body_bytes, body}, chosen);
    staged_[slot.value() % staged_.size()] = {PersistNumber{}, record.location};
  }
}

void Node::set_route(ReplicaId peer, const dataplane::Route& route) {
  if (routes_.size() <= peer.value()) {
    routes_.resize(peer.value() + std::size_t{1});
    has_route_.resize(peer.value() + std::size_t{1});
  }
  routes_[peer.value()] = route;
  has_route_[peer.value()] = 1;
  reads_.set_route(peer, route);
}

bool Node::poll_once(std::uint64_t now_us) {
  if (started_us_ == 0) started_us_ = now_us_ = now_us;
  note_absence(now_us);
  now_us_ = now_us;
  may_rest_ = is_drained_;
  wants_turn_ = !is_drained_;
  const std::size_t packets = messenger_.poll([this](const dataplane::Message& message) { on_message(message); });
  for (const dataplane::Route& route : messenger_.refused()) on_refused(route);
  wants_turn_ = wants_turn_ || !messenger_.refused().empty();
  const bool completed = collect();
  if (wants_turn_ || completed || reads_.are_waiting() || now_us - turned_us_ >= options_.turn_interval_us) take_turn();
  const bool is_under_way = !is_drained_ || (!failed_ && (journal_->is_at_work() || disk_is_awaited_));
  may_rest_ = may_rest_ && !completed && !is_under_way;
  return packets > 0 || completed || is_under_way;
}

void Node::on_message(const dataplane::Message& message) {
  const bool is_sign_of_life =
      message.header.type == wire::MessageType::heartbeat || message.header.type == wire::MessageType::heartbeat_answer;
  may_rest_ = may_rest_ && is_sign_of_life;
  // What a process of an older or newer version, or anybody else, sends must not reach the wrong half.
  if (wire::is_client_message(message.header.type)) {
    on_client(message);
    wants_turn_ = true;
  } else {
    wants_turn_ = on_peer(message) || wants_turn_;
  }
}

// What the journal can take changes here, with what is staged, and with what is submitted.
bool Node::collect() {
  room_.reset();
  return journal_->collect();
}

void Node::on_refused(const dataplane::Route& route) {
  for (std::size_t peer = 0; peer < routes_.size(); ++peer) {
    if (has_route_[peer] != 0 && routes_[peer] == route) engine_.leader_gone(ReplicaId(static_cast<std::uint16_t>(peer)));
  }
}

void Node::take_turn() {
  turned_us_ = now_us_;
  has_turned_ = true;
  if (now_us_ - checked_us_ >= check_interval_us) {
    engine_.check_now();
    checked_us_ = now_us_;
  }
  poll_journal();
  effects_.clear();
  grant(effects_);
  engine_.on_tick(now_us_, effects_);
  carry_out();
  note_stall();
  note_leader();
  retain();
  propose_batch();
  drain();
  answer_waits();
  answer_tails();
  upkeep();
  reads_.start(durable_slot(), first_readable(), log_.tail(), engine_.promised(), engine_.commit());
  takes_appends_ = engine_.is_leader() && has_room_for_appends();
  if (journal_->device_info().immediate) finish_writes();
}

// What waits for a write that is complete at once need not wait for the next poll. The packets that do not wait for it leave
// first.
void Node::finish_writes() {
  flush();
  submit();
  if (!collect()) return;
  poll_journal();
  drain();
  answer_waits();
}

void Node::poll_journal() {
  journal_->take_reads([this](const storage::ReadResult& result) { reads_.on_read(result, log_.tail()); });
  const PersistNumber durable = journal_->durable();
  index_->set_durable(durable);
  if (is_traced()) trace_durable(durable);
  engine_.on_durable(engine_durable(durable), journal_->told_sequence());
  engine_.on_durable_slot(durable_slot(), first_lsn_ > log_.trim() ? first_lsn_ : Lsn{});
  if (failed_ || !journal_->failed().has_value()) return;
  failed_ = true;
  say(fmt::format("the journal failed ({}): this replica votes no more; replace its disk", std::strerror(*journal_->failed())));
  reads_.forget_waiting();
  effects_.clear();
  engine_.stop_voting(effects_);
  carry_out();
}

void Node::trace_durable(PersistNumber durable) {
  if (!engine_.is_leader()) return;
  for (Slot slot = engine_.commit() + 1; slot < engine_.next_slot(); ++slot) {
    if (staged_[slot.value() % staged_.size()].number <= durable) options_.trace->on_own_durable(slot);
  }
}

// Once each time it begins and ends.
void Node::note_stall() {
  const bool stalls = engine_.is_stalled() && !failed_;
  if (stalls == is_stalled_) return;
  is_stalled_ = stalls;
  if (failed_) return;
  say(stalls ? fmt::format("the disk has completed no write for {} ms: this replica does not lead until it does",
                           options_.timeouts.stall_us / 1000)
             : "the disk completes writes again");
}

// So long that the others may have elected another leader: whoever looks for the reason finds it here.
void Node::note_absence(std::uint64_t now_us) const {
  if (now_us < now_us_ + options_.timeouts.election_us_min) return;
  say(fmt::format("was away for {} ms: its core had other work, or the kernel kept it in a system call",
                  (now_us - now_us_) / 1000));
}

// The first one that is heard of is no news.
void Node::note_leader() {
  const ReplicaId leader = engine_.leader();
  if (leader == ReplicaId{} || leader == noted_leader_) return;
  const ReplicaId before = std::exchange(noted_leader_, leader);
  if (before == ReplicaId{}) return;
  say(fmt::format("replica {} leads with ballot ({}, {}); before it, replica {} did", leader.value(), engine_.promised().round(),
                  engine_.promised().replica().value(), before.value()));
}

void say_on_stderr(const std::string& line) {
  fmt::print(stderr, "synod: {}\n", line);
}

void Node::say(const std::string& what) const {
  if (options_.say) options_.say(fmt::format("replica {}: {}", options_.self.value(), what));
}

void Node::grant(consensus::Effects& effects) {
  if (!room_) {
    const bool for_vote = journal_->can_stage(wire::RecordKind::accepted, journal_->largest_body());
    // What is smaller, and may go into the reserve, has room where a vote has.
    const bool for_control = for_vote || journal_->can_stage(wire::RecordKind::promise, members_max * sizeof(wire::MemberUuid));
    room_ = Room{.for_vote = for_vote, .for_control = for_control};
  }
  // One record a call, of the largest size, if the journal can take it; heartbeats and learning go on without.
  const bool may_vote = !failed_ && !installing_from_ && index_->unstaged() < SlotIndex::unstaged_max;
  effects.votes_max = may_vote && room_->for_vote ? 1 : 0;
  effects.controls_max = !failed_ && room_->for_control ? 1 : 0;
}

void Node::propose_batch() {
  if (!intake_.has_batch() || !engine_.can_propose()) return;
  effects_.clear();
  grant(effects_);
  if (!effects_.may_stage_vote()) return;
  const wire::Asks asks = asks_of_batch();
  is_at_leisure_ =
      asks == wire::Asks::received_at_leisure && !intake_.has(wire::AckLevel::leader) && !intake_.has(wire::AckLevel::one);
  const Slot slot = engine_.propose(intake_.take(engine_.next_slot()), effects_, asks);
  if (is_traced()) options_.trace->on_proposed(slot);
  for (std::size_t i = 0; i < openings_.size(); ++i) {
    if (openings_[i].slot == Slot{}) openings_[i].slot = slot;
  }
  for (std::size_t i = 0; i < trims_.size(); ++i) {
    if (trims_[i].slot == Slot{}) trims_[i].slot = slot;
  }
  carry_out();
  is_at_leisure_ = false;
}

// `memory` and `one` need to know who has received what; no early level waits for the disks of others.
wire::Asks Node::asks_of_batch() const {
  if (!intake_.has(wire::AckLevel::memory) && !intake_.has(wire::AckLevel::one)) return wire::Asks::nothing;
  const bool waits = intake_.has(wire::AckLevel::quorum) || intake_.has(wire::AckLevel::all);
  return waits ? wire::Asks::received : wire::Asks::received_at_leisure;
}

// Not more than packets that come meanwhile can wait for: a window may become durable at once. The next poll goes on.
void Node::drain() {
  constexpr std::size_t effects_max = 16;
  is_drained_ = false;
  for (std::size_t count = 0; !is_drained_ && count < effects_max;) {
    effects_.clear();
    grant(effects_);
    is_drained_ = !engine_.pump(effects_);
    count += effects_.sends.size() + effects_.commits.size();
    carry_out();
  }
}

bool Node::on_peer(const dataplane::Message& message) {
  if (on_checkpoint_message(message)) return true;
  const auto decoded = wire::decode_peer_message(message.header, message.payload, promise_slots_, message.checksum);
  if (!decoded) {
    ++counters_.bad_messages;
    return false;
  }
  if (const auto* chosen = std::get_if<wire::Chosen>(&decoded->payload)) {
    const Bytes bytes = message.payload.subspan(sizeof(wire::RecordHeader));
    if (repair({chosen->record.header, bytes})) return true;
  }
  const auto* vote = std::get_if<wire::Accepted>(&decoded->payload);
  if (vote != nullptr && is_traced()) {
    options_.trace->on_peer_durable(vote->slot, options_.configuration.place_of(message.header.source));
  }
  // One for what is committed is of use to those only who wait for all disks.
  const bool is_late_vote = vote != nullptr && vote->slot <= engine_.commit() && waits_.empty();
  effects_.clear();
  grant(effects_);
  BodyHandle body = no_body;
  if (effects_.may_stage_vote() && engine_.wants_body(*decoded)) {
    const Bytes bytes = message.payload.subspan(sizeof(wire::RecordHeader));
    if (!wire::BodyView::decode(bytes)) {
      ++counters_.bad_bodies;
      return false;
    }
    if (bytes.size() <= journal_->largest_body()) body = pool_.acquire_copy(bytes);
    if (body == no_body && !bytes.empty()) ++counters_.starved;
  }
  is_at_leisure_ =
      message.header.type == wire::MessageType::accept && message.header.probe == wire::probe_of(wire::Asks::received_at_leisure);
  engine_.on_message(*decoded, body, effects_);
  carry_out();
  is_at_leisure_ = false;
  return !is_late_vote;
}

void Node::submit() {
  if (std::exchange(has_turned_, false)) {
    journal_->flush(watermarks(), may_wait_for_more());
    disk_is_awaited_ = disk_is_awaited_ && !journal_->is_flushed();
  }
  room_.reset();
  journal_->submit();
}

// Where nobody waits for the disk, a write takes along what comes behind: it costs its core more than an append does. Not so long
// that the leader would send again, nor until the window is full.
bool Node::may_wait_for_more() const {
  if (disk_is_awaited_ || journal_->device_info().immediate) return false;
  return now_us_ - staged_us_ < options_.timeouts.resend_us / 4 && staged_records_ < options_.window_slots / 2;
}

void Node::finish() {
  journal_->flush(watermarks());
  journal_->submit();
}

wire::StatusAnswer Node::status() const {
  const dataplane::MessengerCounters& packets = messenger_.counters();
  wire::StatusAnswer status;
  status.promised = engine_.promised();
  status.commit = engine_.commit();
  status.durable = durable_slot_;
  status.tail = log_.tail();
  status.journal_bytes = journal_->bytes_used();
  status.journal_bytes_capacity = journal_->bytes_capacity();
  status.sessions = log_.sessions().size();
  status.appends = counters_.entries_applied;
  status.elections = engine_.counters().elections;
  status.packets_received = packets.packets_received;
  status.packets_sent = packets.packets_sent;
  status.packets_dropped = packets.dropped_total() + packets.send_dropped + counters_.bad_messages + counters_.bad_bodies;
  status.uptime_us = now_us_ - started_us_;
  status.trim = log_.trim();
  status.scrub_blocks_checked = scrub_.progress().blocks_checked;
  status.scrub_blocks_bad = scrub_.progress().blocks_bad;
  status.records_repaired = repairs_.counters().records;
  status.journal_failed_errno = static_cast<std::uint32_t>(journal_->failed().value_or(0));
  status.segments_total = static_cast<std::uint32_t>(journal_->segments().size());
  status.segments_free = journal_->segments_free();
  status.segments_ready = journal_->segments_ready();
  status.preparing_failed = journal_->preparing_failed() ? 1 : 0;
  status.doubt = static_cast<wire::DoubtKind>(engine_.may_promise() ? consensus::Doubt::Kind::none : engine_.doubt().kind);
  status.confirmed = engine_.confirmed() ? 1 : 0;
  status.stalled = is_stalled_ ? 1 : 0;
  status.space_low = has_room_for_appends() ? 0 : 1;
  status.replica = options_.self;
  status.leader = engine_.leader();
  status.members = static_cast<std::uint16_t>(options_.configuration.size());
  status.role = engine_.role();
  status.votes = engine_.may_vote() ? 1 : 0;
  status.groups = options_.groups;
  status.stable = journal_->device_info().stable ? 1 : 0;
  return status;
}

}  // namespace synod::replica
