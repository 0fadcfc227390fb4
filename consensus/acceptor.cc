#include "consensus/acceptor.h"

#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"

namespace synod::consensus {

namespace {

// One vote for each open slot, some of them twice (an old ballot's and a new one's), and a few promises.
std::size_t held_capacity(std::size_t window_slots) {
  return 2 * window_slots + 16;
}

void release(const Value& value, Effects& effects) {
  if (value.body != no_body) effects.releases.push_back(value.body);
}

}  // namespace

Acceptor::Acceptor(std::size_t window_slots, Ballot promised, Slot commit)
    : promised_(promised), slots_(window_slots), held_(held_capacity(window_slots)) {
  slots_.reset(commit);
}

void Acceptor::restore(Slot slot, Ballot ballot, const Value& value, bool chosen) {
  CHECK(chosen || ballot <= promised_);  // a learned record carries the ballot of whoever served it
  CHECK(!slots_[slot].present());
  slots_[slot] = {ballot, value, PersistNumber{}, chosen};
}

PersistNumber Acceptor::stage(const Persist& record, Effects& effects) {
  const bool is_vote = record.kind == wire::RecordKind::accepted || record.kind == wire::RecordKind::chosen;
  CHECK(is_vote ? effects.may_stage_vote() : effects.may_stage_control());
  ++(is_vote ? effects.votes : effects.controls);
  effects.persists.push_back(record);
  return ++staged_;
}

void Acceptor::promise(Ballot ballot, ReplicaId to, Effects& effects) {
  CHECK_GT(ballot, promised_);
  CHECK(can_hold());
  promised_ = ballot;
  promise_number_ = stage({.kind = wire::RecordKind::promise, .slot = {}, .ballot = ballot, .value = {}}, effects);
  held_.push({HeldReply::Kind::promise, to, promise_number_, ballot, Slot{}, Checksum{}});
}

bool Acceptor::can_repeat_promise() const {
  return promise_number_ <= durable_ && !accepted_in_promised();
}

std::size_t Acceptor::report(std::span<wire::PromisedSlot> out) const {
  std::size_t count = 0;
  for (Slot slot = slots_.first(); slot <= slots_.last(); ++slot) {
    const AcceptedSlot& accepted = slots_[slot];
    if (!accepted.present()) continue;
    if (mutant(Mutant::promise_omits_staged_accept) && accepted.number + 1 == promise_number_) continue;
    CHECK_LT(count, out.size());
    out[count++] = {slot, accepted.ballot, accepted.value.checksum, accepted.value.body_bytes};
  }
  return count;
}

bool Acceptor::accepted_in_promised() const {
  for (Slot slot = slots_.first(); slot <= slots_.last(); ++slot) {
    if (slots_[slot].ballot == promised_) return true;
  }
  return false;
}

void Acceptor::accept(Ballot ballot, Slot slot, const Value& value, ReplicaId to, Effects& effects) {
  CHECK(ballot >= promised_ || mutant(Mutant::accept_below_promise));
  CHECK(can_hold());
  AcceptedSlot& accepted = slots_[slot];
  CHECK(!accepted.chosen || accepted.value.checksum == value.checksum);
  if (accepted.present() && accepted.value.body != value.body) release(accepted.value, effects);
  accepted.ballot = ballot;
  accepted.value = value;
  accepted.number = stage({.kind = wire::RecordKind::accepted, .slot = slot, .ballot = ballot, .value = value}, effects);
  // The accepted record implies the promise: recovery takes the highest ballot of either kind.
  if (ballot > promised_) {
    promised_ = ballot;
    if (!mutant(Mutant::promise_number_stale)) promise_number_ = accepted.number;
  }
  held_.push({HeldReply::Kind::accepted, to, accepted.number, ballot, slot, value.checksum});
}

void Acceptor::learn(Ballot ballot, Slot slot, const Value& value, Effects& effects) {
  AcceptedSlot& accepted = slots_[slot];
  CHECK(!accepted.chosen);
  if (accepted.present()) release(accepted.value, effects);
  // No vote: nothing is held. The record's ballot is the server's and may be above ours, which promises nothing.
  accepted.ballot = ballot;
  accepted.value = value;
  accepted.chosen = true;
  accepted.number = stage({.kind = wire::RecordKind::chosen, .slot = slot, .ballot = ballot, .value = value}, effects);
}

void Acceptor::mark_chosen(Slot slot) {
  CHECK(slots_[slot].present());
  slots_[slot].chosen = true;
}

void Acceptor::persist_members(Effects& effects) {
  CHECK(can_hold());
  const PersistNumber number = stage({.kind = wire::RecordKind::members, .slot = {}, .ballot = {}, .value = {}}, effects);
  held_.push({HeldReply::Kind::members, ReplicaId{}, number, Ballot{}, Slot{}, Checksum{}});
}

void Acceptor::persist_repair(Ballot bound, Slot last, Effects& effects) {
  CHECK(can_hold());
  const PersistNumber number = stage({.kind = wire::RecordKind::repair, .slot = last, .ballot = bound, .value = {}}, effects);
  held_.push({HeldReply::Kind::repair, ReplicaId{}, number, bound, last, Checksum{}});
}

void Acceptor::adopt(Ballot bound) {
  if (bound <= promised_) return;
  promised_ = bound;
  promise_number_ = durable_;
}

void Acceptor::install(Slot slot, Effects& effects) {
  for (Slot open = slots_.first(); open <= std::min(slot, slots_.last()); ++open) release(slots_[open].value, effects);
  if (slot >= slots_.last()) return slots_.reset(slot);
  while (slots_.first() <= slot) slots_.advance();
}

void Acceptor::on_durable(PersistNumber durable) {
  CHECK_GE(durable, durable_);
  CHECK_LE(durable, staged_);
  durable_ = durable;
}

std::optional<HeldReply> Acceptor::next_reply() {
  if (!has_reply()) return std::nullopt;
  const HeldReply reply = held_.front();
  held_.pop();
  return reply;
}

void Acceptor::advance(Effects& effects) {
  const AcceptedSlot& accepted = slots_[slots_.first()];
  CHECK(accepted.present());
  release(accepted.value, effects);
  slots_.advance();
}

void Acceptor::check_now(Slot commit) const {
  CHECK_EQ(slots_.first(), commit + 1);
  CHECK_LE(durable_, staged_);
  for (Slot slot = slots_.first(); slot <= slots_.last(); ++slot) {
    const AcceptedSlot& accepted = slots_[slot];
    if (!accepted.present()) continue;
    CHECK(accepted.ballot <= promised_ || accepted.chosen);
    CHECK_LE(accepted.number, staged_);
    CHECK((accepted.value.body == no_body) == (accepted.value.body_bytes == 0));
  }
  for (std::size_t i = 0; i < held_.size(); ++i) {
    CHECK_LE(held_[i].number, staged_);
    CHECK(held_[i].ballot <= promised_ || held_[i].kind == HeldReply::Kind::repair);
    if (i > 0) CHECK_LT(held_[i - 1].number, held_[i].number);
  }
}

}  // namespace synod::consensus
