#include "tests/sim/oracle.h"

#include <fmt/format.h>

#include <algorithm>

#include "wire/body.h"

namespace synod::sim {

void Oracle::value(Slot slot, Checksum checksum, Bytes body) {
  auto& values = slot <= log_.applied() ? settled_ : values_;
  values[slot].try_emplace(checksum, body.begin(), body.end());
}

void Oracle::vote(std::size_t member, const Vote& vote) {
  Ballotted& ballotted = votes_[{vote.slot, vote.ballot}];
  if (ballotted.members.size() > 0 && ballotted.checksum != vote.checksum) {
    return fail("one value per ballot",
                fmt::format("slot {}, ballot ({}, {}): replica {} voted for another value than before it", vote.slot.value(),
                            vote.ballot.round(), vote.ballot.replica().value(), member + 1));
  }
  ballotted.checksum = vote.checksum;
  ballotted.members.add(member);
  if (!configuration_.is_phase2_quorum(ballotted.members)) return;
  const auto [at, is_new] = chosen_.emplace(vote.slot, vote.checksum);
  if (at->second != vote.checksum) {
    return fail("one value per slot",
                fmt::format("slot {}: ballot ({}, {}) chose {:08x}, and {:08x} was chosen before", vote.slot.value(),
                            vote.ballot.round(), vote.ballot.replica().value(), vote.checksum.value(), at->second.value()));
  }
  if (is_new) extend();
}

void Oracle::extend() {
  for (auto next = chosen_.find(log_.applied() + 1); next != chosen_.end() && !failure_; ++next) {
    if (next->first != log_.applied() + 1) return;
    apply(next->first, next->second);
  }
}

void Oracle::apply(Slot slot, Checksum checksum) {
  const auto& known = values_[slot];
  const auto bytes = known.find(checksum);
  static const std::vector<std::byte> nothing;
  const auto body = wire::BodyView::decode(bytes == known.end() ? nothing : bytes->second);
  if (!body || (bytes == known.end() && checksum != Checksum{})) {
    return fail("chosen value is whole", fmt::format("slot {}: nobody wrote a body of the chosen value", slot.value()));
  }
  const bool is_void = !body->is_noop() && body->header().assumed_chain != log_.chain();
  void_slots_ += is_void ? 1 : 0;
  if (!is_void) {
    body->for_each_run([&](const wire::RunView& run) {
      Bytes rest = run.entries;
      for (std::uint32_t i = 0; i < run.header.entries; ++i) {
        const wire::EntrySplit split = wire::split_entry(rest);
        rest = split.rest;
        entries_.emplace_back(reinterpret_cast<const char*>(split.payload.data()), split.payload.size());
        if (lsns_.emplace(entries_.back(), entries_.size() - 1).second) continue;
        fail("exactly once", fmt::format("twice in the log: {}", entries_.back().substr(0, 30)));
      }
    });
  }
  log_.apply(slot, checksum, *body, [](const consensus::AppliedRun&) {});
  chains_.push_back(log_.chain());
  lsn_after_.push_back(entries_.size());
  trims_.push_back(log_.trim());
  settled_[slot].merge(values_[slot]);
  values_.erase(values_.begin(), values_.upper_bound(slot));
  while (settled_.size() > settled_slots_max) settled_.erase(settled_.begin());
}

void Oracle::replica_applied(std::size_t member, const consensus::LogState& log) {
  const Slot applied = log.applied();
  if (applied == Slot{}) return;
  if (applied > log_.applied()) {
    return fail("committed is chosen", fmt::format("replica {} has committed slot {}, and only slots up to {} are chosen",
                                                   member + 1, applied.value(), log_.applied().value()));
  }
  if (chains_[applied.value() - 1] != log.chain()) {
    return fail("committed is chosen", fmt::format("replica {} has committed other values than were chosen, up to slot {}",
                                                   member + 1, applied.value()));
  }
  if (lsn_after_[applied.value() - 1] != log.tail().value()) {
    fail("dense positions", fmt::format("replica {} counts {} entries up to slot {}, and there are {}", member + 1,
                                        log.tail().value(), applied.value(), lsn_after_[applied.value() - 1]));
  }
  if (trims_[applied.value() - 1] != log.trim()) {
    fail("replicas trim alike", fmt::format("replica {} keeps what is from {} on, and the log up to slot {} says {}", member + 1,
                                            log.trim().value(), applied.value(), trims_[applied.value() - 1].value()));
  }
}

std::optional<Checksum> Oracle::chosen(Slot slot) const {
  const auto found = chosen_.find(slot);
  return found == chosen_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<Lsn> Oracle::lsn_of(const std::string& payload) const {
  const auto found = lsns_.find(payload);
  return found == lsns_.end() ? std::nullopt : std::optional(Lsn(found->second));
}

Slot Oracle::slot_of(Lsn lsn) const {
  const auto after = std::ranges::upper_bound(lsn_after_, lsn.value());
  return Slot(static_cast<std::uint64_t>(after - lsn_after_.begin()) + 1);
}

std::optional<std::vector<std::pair<Slot, Checksum>>> Oracle::open_values_with(SessionId session, Sequence sequence) const {
  const auto place = log_.sessions().find(session);
  if (!place || log_.sessions().at(*place).last >= sequence) return std::nullopt;
  std::vector<std::pair<Slot, Checksum>> found;
  const auto search = [&](Slot slot, const Values& values) {
    for (const auto& [checksum, bytes] : values) {
      const auto body = wire::BodyView::decode(bytes);
      if (!body) continue;
      body->for_each_run([&, at = std::pair(slot, checksum)](const wire::RunView& run) {
        const bool holds = run.header.kind == wire::RunKind::entries && run.header.session == session &&
                           run.header.first <= sequence && sequence < run.header.first + run.header.entries;
        if (holds) found.push_back(at);
      });
    }
  };
  for (const auto& [slot, values] : settled_) search(slot, values);
  for (const auto& [slot, values] : values_) search(slot, values);
  return found;
}

bool Oracle::was_evicted(SessionId session) const {
  return wire::opening_slot(session) <= log_.applied() && !log_.sessions().find(session).has_value();
}

}  // namespace synod::sim
