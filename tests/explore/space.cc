#include "tests/explore/space.h"

#include <algorithm>
#include <numeric>

namespace synod::consensus::explore {

namespace {

// Every way to swap those who never propose; ballots order the proposers, so those are not alike. The first one changes nothing.
std::vector<Fingerprint::Labels> symmetries_of(const Bounds& bounds) {
  std::vector<Fingerprint::Labels> all;
  Fingerprint::Labels labels = Fingerprint::own_labels;
  do {
    all.push_back(labels);
  } while (std::next_permutation(labels.begin() + bounds.proposers, labels.begin() + bounds.members));
  return all;
}

}  // namespace

Space::Space(const Bounds& bounds)
    : bounds_(bounds), symmetries_(symmetries_of(bounds)), messages_(symmetries_), sets_(messages_, symmetries_.size()) {
  for (std::size_t place = 0; place < bounds_.members; ++place) initial_.push_back(intern(Replica(bounds_, place)));
}

CoreId Space::intern(Replica replica) {
  const Fingerprint::Value print = replica.fingerprint(Fingerprint::own_labels);
  const auto [known, is_new] = by_print_.try_emplace(print, static_cast<CoreId>(cores_.size()));
  if (!is_new) {
    keep_twin(known->second, std::move(replica));
    return known->second;
  }
  Core core;
  for (const Fingerprint::Labels& labels : symmetries_) core.prints.push_back(replica.fingerprint(labels));
  core.facts = facts_of(replica);
  core.crashes = replica.crashes();
  core.replica = std::make_unique<Replica>(std::move(replica));
  cores_.push_back(std::move(core));
  return known->second;
}

std::uint32_t Space::facts_of(const Replica& replica) {
  Fingerprint print;
  for (const DiskRecord& record : replica.disk().history) {
    print.add(static_cast<std::uint64_t>(record.kind));
    print.add(record.slot);
    print.add(record.ballot);
    print.add(record.checksum);
  }
  print.add(~std::uint64_t{0});
  for (const Checksum value : replica.committed()) print.add(value);
  print.add(~std::uint64_t{0});
  for (const Checksum value : replica.ever_committed()) print.add(value);
  for (const DiskRecord& record : replica.disk().lost) {
    print.add(record.slot);
    print.add(record.ballot);
    print.add(record.checksum);
  }
  return facts_.try_emplace(print.value(), static_cast<std::uint32_t>(facts_.size())).first->second;
}

SetId Space::intern(std::size_t from, const std::vector<Sent>& sent) {
  std::vector<MessageId> ids;
  ids.reserve(sent.size());
  for (const Sent& out : sent) ids.push_back(messages_.intern(from, out.to, out.message));
  return sets_.intern(std::move(ids));
}

std::optional<Step> Space::run(CoreId core, const Replica& before, const Action& action) {
  ++calls_;
  running_ = action;
  std::vector<Sent> sent;
  Replica after = before;
  const bool possible =
      action.kind == ActionKind::deliver ? after.deliver(messages_[action.argument], sent) : after.act(action, sent);
  if (!after.failure().empty()) {
    failure_ = after.failure();
    return std::nullopt;
  }
  if (!possible) return std::nullopt;
  if (action.kind != ActionKind::crash) Engine::check_delta(before.engine(), after.engine());
  after.send_what_it_could(sent);
  const Step step{intern(std::move(after)), intern(action.place, sent)};
  running_.reset();
  if (step.core == core && step.sent == MessageSets::empty) return std::nullopt;
  return step;
}

const Step* Space::deliver(CoreId core, MessageId message) {
  const std::uint32_t number = messages_.number_at_receiver(message);
  std::vector<std::uint32_t>& heard = cores_[core].heard;
  if (number >= heard.size()) heard.resize(number + 1);
  if (heard[number] == 0) {
    const auto place = static_cast<std::uint8_t>(messages_[message].to);
    const std::optional<Step> step = run(core, *cores_[core].replica, {ActionKind::deliver, place, message});
    if (!failure_.empty()) return nullptr;
    std::uint32_t& known = cores_[core].heard[number];  // cores_ may have grown
    known = 1;
    if (step) {
      known = static_cast<std::uint32_t>(steps_.size()) + 2;
      steps_.push_back(*step);
    }
  }
  const std::uint32_t known = cores_[core].heard[number];
  return known == 1 ? nullptr : &steps_[known - 2];
}

const std::vector<ActionStep>& Space::actions(CoreId core) {
  if (!cores_[core].actions) {
    std::vector<ActionStep> possible;
    for (const Action& action : cores_[core].replica->actions()) {
      const std::optional<Step> step = run(core, *cores_[core].replica, action);
      if (!failure_.empty()) break;
      if (step) possible.push_back({action, *step});
    }
    cores_[core].actions = std::move(possible);
  }
  return *cores_[core].actions;
}

void Space::keep_twin(CoreId core, Replica replica) {
  if (bounds_.twins_every == 0 || ++twins_met_ % bounds_.twins_every != 0) return;
  twins_.push_back({core, std::make_unique<Replica>(std::move(replica))});
}

bool Space::acts_alike(const Twin& twin) {
  const auto is_same = [](const std::optional<Step>& left, const Step* right) {
    if (!left || right == nullptr) return !left && right == nullptr;
    return left->core == right->core && left->sent == right->sent;
  };
  const std::size_t place = cores_[twin.core].replica->place();
  for (MessageId message = 0; message < messages_.size(); ++message) {
    const std::vector<std::uint32_t>& heard = cores_[twin.core].heard;
    const std::uint32_t number = messages_.number_at_receiver(message);
    // Only what can meet: other messages may well be a bug to this replica.
    if (messages_[message].to != place || number >= heard.size() || heard[number] == 0) continue;
    const Step* expected = deliver(twin.core, message);
    if (!is_same(run(twin.core, *twin.replica, {ActionKind::deliver, static_cast<std::uint8_t>(place), message}), expected)) {
      return false;
    }
  }
  const std::vector<ActionStep>& expected = actions(twin.core);
  std::size_t found = 0;
  for (const Action& action : twin.replica->actions()) {
    const std::optional<Step> step = run(twin.core, *twin.replica, action);
    if (!step) continue;
    if (found == expected.size() || !is_same(step, &expected[found].step)) return false;
    ++found;
  }
  return found == expected.size();
}

std::uint64_t Space::differing_twins() {
  std::vector<Twin> twins;
  twins.swap(twins_);
  bounds_.twins_every = 0;
  std::uint64_t differing = 0;
  for (const Twin& twin : twins) differing += acts_alike(twin) ? 0U : 1U;
  twins_.swap(twins);
  return differing;
}

}  // namespace synod::consensus::explore
