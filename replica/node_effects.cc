// Carrying out what the engine asks for, in the order of consensus/effects.h.
#include <algorithm>

#include "base/check.h"
#include "base/crc32c.h"
#include "replica/message_id.h"
#include "replica/node.h"
#include "wire/message.h"

namespace synod::replica {

namespace {

// Whether two messages differ in their receiver alone. It is accepts that go to several, and their bodies that cost something.
bool is_alike(const consensus::Send& one, const consensus::Send& other) {
  const auto* const accept = std::get_if<wire::Accept>(&one.payload);
  const auto* const accept_of_other = std::get_if<wire::Accept>(&other.payload);
  if (accept == nullptr || accept_of_other == nullptr) return false;
  const wire::RecordHeader& record = accept->record.header;
  const wire::RecordHeader& record_of_other = accept_of_other->record.header;
  return record.slot == record_of_other.slot && record.ballot == record_of_other.ballot && one.body == other.body &&
         one.ballot == other.ballot && one.commit == other.commit && one.probe == other.probe;
}

}  // namespace

void Node::carry_out() {
  if (effects_.empty() && effects_.open_count_floor == 0) return;
  for (const consensus::Persist& record : effects_.persists) persist(record);
  for (std::span sends(effects_.sends.begin(), effects_.sends.size()); !sends.empty();) sends = sends.subspan(send(sends));
  for (const consensus::Serve& range : effects_.serves) reads_.serve(range);
  for (const consensus::Commit& slot : effects_.commits) commit(slot);
  flush_answer();
  if (effects_.leadership_changed) change_leadership();
  if (effects_.open_count_floor != 0) raise_open_count(effects_.open_count_floor);
  for (const BodyHandle body : effects_.releases) pool_.release(body);
}

void Node::persist(const consensus::Persist& record) {
  wire::RecordHeader header{.slot = record.slot, .ballot = record.ballot, .kind = record.kind};
  Bytes body = pool_.body(record.value);
  std::array<wire::MemberUuid, members_max> members;
  if (record.kind == wire::RecordKind::members) {
    const auto uuids = engine_.member_uuids();
    std::ranges::copy(uuids, members.begin());
    body = std::as_bytes(std::span(members).first(uuids.size()));
    header.body_checksum = Checksum(crc32c(body));
  } else {
    header.body_checksum = record.value.checksum;
  }
  header.body_bytes = static_cast<std::uint32_t>(body.size());
  room_.reset();
  disk_is_awaited_ = disk_is_awaited_ || !is_at_leisure_;
  if (journal_->is_flushed()) {
    staged_us_ = now_us_;
    staged_records_ = 0;
  }
  ++staged_records_;
  const storage::Journal::Staged staged = journal_->stage(header, body);
  const bool is_value = record.kind == wire::RecordKind::accepted || record.kind == wire::RecordKind::chosen;
  if (is_value) staged_[record.slot.value() % staged_.size()] = staged;
}

std::size_t Node::send(std::span<const consensus::Send> messages) {
  const consensus::Send& message = messages.front();
  FixedVector<dataplane::Destination, members_max> destinations;
  std::size_t count = 0;
  do {
    const ReplicaId to = messages[count].to;
    const bool is_attached = to.value() < routes_.size() && has_route_[to.value()] != 0;
    if (is_attached) destinations.push_back({routes_[to.value()], to});
    ++count;
  } while (count < messages.size() && !destinations.full() && is_alike(messages[count], message));
  if (destinations.empty()) return count;  // their ports are not attached yet
  wire::EncodedPayload encoded = wire::encode_peer_payload(message.payload, scratch_);
  wire::PacketHeader header;
  header.type = encoded.type;
  header.ballot = message.ballot;
  header.commit = message.commit;
  header.probe = message.probe;
  std::optional<Checksum> body_checksum;
  std::visit(
      [&](const auto& payload) {
        if constexpr (requires { payload.record; }) {
          const wire::RecordHeader& record = payload.record.header;
          header.message_id = stable_message_id(encoded.type, record.ballot, record.slot);
          encoded.body = pool_.body({record.body_checksum, record.body_bytes, message.body});
          body_checksum = record.body_checksum;
        }
      },
      message.payload);
  messenger_.send_to_each({destinations.begin(), destinations.size()}, header, encoded.head, encoded.body, body_checksum);
  return count;
}

void Node::commit(const consensus::Commit& slot) {
  const auto body = wire::BodyView::known(pool_.body(slot.value));  // it passed the gateway when it came, or we made it
  const Lsn base = log_.tail();
  const wire::Chain chain = log_.chain();
  bool has_trimmed = false;
  log_.apply(slot.slot, slot.value.checksum, body, [&](const consensus::AppliedRun& run) {
    has_trimmed = has_trimmed || run.kind == wire::RunKind::trim;
    answer_run(run);
  });
  if (!trims_.empty()) answer_trims(slot.slot, has_trimmed);
  const std::uint64_t entries = log_.tail() - base;
  counters_.entries_applied += entries;
  if (is_traced()) options_.trace->on_committed(slot.slot, base, entries);
  if (entries < body.header().entries) ++counters_.slots_void;
  index_->append(slot.slot, base, chain, slot.value.checksum, staged_[slot.slot.value() % staged_.size()]);
}

Slot Node::durable_slot() {
  const PersistNumber durable = journal_->durable();
  // A trim may overtake a late disk. What it lets go need not become durable any more.
  durable_slot_ = std::max(durable_slot_, index_->first() - 1);
  while (durable_slot_ < index_->commit() && (*index_)[durable_slot_ + 1].number <= durable) ++durable_slot_;
  return durable_slot_;
}

void Node::change_leadership() {
  intake_.stop();
  openings_.clear();
  waits_.clear();
  for (; !tails_.empty(); tails_.pop()) {
    const TailWait& wait = tails_.front();
    refuse(wait.route, {.request = wait.request, .reason = wire::RefusalReason::not_leader});
  }
  for (; !trims_.empty(); trims_.pop()) {
    const TrimWait& wait = trims_.front();
    refuse(wait.route, {.request = wait.request, .reason = wire::RefusalReason::not_leader});
  }
  if (!engine_.is_leader()) return;
  // Rule 8: what our phase 1 found and proposed again comes before anything that we admit.
  intake_.begin(log_);
  for (Slot slot = engine_.commit() + 1; slot < engine_.next_slot(); ++slot) {
    const consensus::AcceptedSlot* open = engine_.open_slot(slot);
    CHECK(open != nullptr);
    const auto body = wire::BodyView::known(pool_.body(open->value));
    intake_.proposed().apply(slot, open->value.checksum, body, [](const consensus::AppliedRun&) {});
  }
  intake_.begin_admitting();
}

}  // namespace synod::replica
