#include "tests/explore/explorer.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace synod::consensus::explore {

namespace {

constexpr int kind_shift = 29;
constexpr int place_shift = 26;
constexpr std::uint32_t argument_mask = (std::uint32_t{1} << place_shift) - 1;

std::uint32_t packed(const Action& action) {
  CHECK_LE(action.argument, argument_mask);
  return static_cast<std::uint32_t>(action.kind) << kind_shift | std::uint32_t{action.place} << place_shift | action.argument;
}

Action unpacked(std::uint32_t word) {
  return {static_cast<ActionKind>(word >> kind_shift), static_cast<std::uint8_t>(word >> place_shift & 7U), word & argument_mask};
}

}  // namespace

Explorer::Explorer(const Bounds& bounds)
    : bounds_(bounds), space_(bounds), oracle_(bounds), current_prints_(space_.symmetries()) {
  State state{};
  for (std::size_t place = 0; place < bounds_.members; ++place) state[place].core = space_.initial(place);
  seen_.insert(canonical(state));
  origins_.push_back({});
  push(frontier_, state);
}

// --- the search -------------------------------------------------------------------------------------------------------------

bool Explorer::run() {
  while (!frontier_.empty() && failure_.empty() && origins_.size() < bounds_.states_max) {
    next_.clear();
    const auto first = static_cast<std::uint32_t>(origins_.size());
    for (std::size_t i = 0; i * bounds_.members < frontier_.size() && failure_.empty(); ++i) {
      State state{};
      std::copy_n(&frontier_[i * bounds_.members], bounds_.members, state.begin());
      expand(first_of_frontier_ + static_cast<std::uint32_t>(i), state);
    }
    first_of_frontier_ = first;
    frontier_.swap(next_);
    totals_.states = origins_.size();
    totals_.frontier = frontier_.size() / bounds_.members;
    if (!frontier_.empty()) ++totals_.depth;
    if (on_level != nullptr) on_level(*this);
  }
  return failure_.empty();
}

void Explorer::push(std::vector<Place>& level, const State& state) const {
  level.insert(level.end(), state.begin(), state.begin() + bounds_.members);
}

void Explorer::expand(std::uint32_t number, const State& state) {
  current_ = number;
  current_crashes_ = 0;
  for (std::size_t place = 0; place < bounds_.members; ++place) current_crashes_ += space_.crashes(state[place].core);
  for (std::size_t i = 0; i < current_prints_.size(); ++i) current_prints_[i] = print_of(state, i);
  for (std::size_t place = 0; place < bounds_.members && failure_.empty(); ++place) expand_place(state, place);
}

void Explorer::expand_place(const State& state, std::size_t place) {
  const CoreId core = state[place].core;
  for (const ActionStep& possible : space_.actions(core)) {
    if (possible.action.kind == ActionKind::crash && current_crashes_ >= bounds_.crashes) continue;
    go(state, place, possible.action, possible.step);
  }
  for (std::size_t from = 0; from < bounds_.members; ++from) {
    if (from == place) continue;
    for (const MessageId message : space_.sets().to(state[from].sent, place)) {
      const Step* step = space_.deliver(core, message);
      if (step != nullptr) go(state, place, {ActionKind::deliver, static_cast<std::uint8_t>(place), message}, *step);
      if (!space_.failure().empty()) return fail(space_.failure(), *space_.running());
    }
  }
  if (!space_.failure().empty()) fail(space_.failure(), *space_.running());
}

void Explorer::go(const State& state, std::size_t place, const Action& action, const Step& step) {
  State after = state;
  after[place] = {step.core, space_.sets().unite(state[place].sent, step.sent)};
  if (after[place].core == state[place].core && after[place].sent == state[place].sent) return;
  ++totals_.transitions;
  if (!failure_.empty() || !seen_.insert(canonical_after(state[place], after[place]))) return;
  origins_.push_back({current_, packed(action)});
  push(next_, after);
  check(after, action);
}

Fingerprint::Value Explorer::print_of(const State& state, std::size_t symmetry) const {
  Fingerprint::Value print;
  for (std::size_t place = 0; place < bounds_.members; ++place) {
    print += space_.prints(state[place].core)[symmetry];
    print += space_.sets().prints(state[place].sent)[symmetry];
  }
  return print;
}

Fingerprint::Value Explorer::canonical(const State& state) const {
  Fingerprint::Value least = print_of(state, 0);
  for (std::size_t i = 1; i < space_.symmetries(); ++i) least = std::min(least, print_of(state, i));
  return least;
}

Fingerprint::Value Explorer::canonical_after(const Place& before, const Place& after) const {
  const auto& old_core = space_.prints(before.core);
  const auto& old_sent = space_.sets().prints(before.sent);
  const auto& new_core = space_.prints(after.core);
  const auto& new_sent = space_.sets().prints(after.sent);
  Fingerprint::Value least;
  for (std::size_t i = 0; i < current_prints_.size(); ++i) {
    Fingerprint::Value print = current_prints_[i];
    print -= old_core[i];
    print -= old_sent[i];
    print += new_core[i];
    print += new_sent[i];
    least = i == 0 ? print : std::min(least, print);
  }
  return least;
}

void Explorer::check(const State& state, const Action& action) {
  std::array<const Replica*, members_max> replicas{};
  std::array<std::uint32_t, members_max> facts{};
  for (std::size_t place = 0; place < bounds_.members; ++place) {
    replicas[place] = &space_.replica(state[place].core);
    facts[place] = space_.facts(state[place].core);
  }
  const Verdict& verdict = oracle_.judge({replicas.data(), bounds_.members}, facts);
  if (!verdict.failure.empty()) return fail(verdict.failure, action);
  totals_.states_with_chosen += verdict.slots_chosen > 0 ? 1U : 0U;
  totals_.slots_chosen = std::max(totals_.slots_chosen, verdict.slots_chosen);
  totals_.ballots_voted = std::max(totals_.ballots_voted, verdict.ballots_voted);
  totals_.commits = std::max(totals_.commits, verdict.commits);
}

// --- the trace --------------------------------------------------------------------------------------------------------------

void Explorer::fail(const std::string& what, const Action& last) {
  if (!failure_.empty()) return;
  failure_ = what;
  trace_ = trace_to(current_, &last);
}

std::vector<std::string> Explorer::trace_here() {
  const std::optional<Action> running = space_.running();
  return trace_to(current_, running ? &*running : nullptr);
}

std::vector<std::string> Explorer::trace_to(std::uint32_t number, const Action* last) {
  std::vector<Action> actions;
  for (std::uint32_t at = number; at != 0; at = origins_[at].parent) actions.push_back(unpacked(origins_[at].action));
  std::ranges::reverse(actions);
  State state{};
  for (std::size_t place = 0; place < bounds_.members; ++place) state[place].core = space_.initial(place);
  std::vector<std::string> lines;
  lines.reserve(actions.size() + 1);
  for (const Action& action : actions) lines.push_back(follow(state, action));
  if (last != nullptr) lines.push_back(describe(*last));
  return lines;
}

std::string Explorer::follow(State& state, const Action& action) {
  Place& place = state[action.place];
  Step step;
  if (action.kind == ActionKind::deliver) {
    step = *space_.deliver(place.core, action.argument);
  } else {
    for (const ActionStep& possible : space_.actions(place.core)) {
      if (packed(possible.action) == packed(action)) step = possible.step;
    }
  }
  std::string line = describe(action);
  const std::vector<MessageId>& known = space_.sets().all(place.sent);
  for (const MessageId message : space_.sets().all(step.sent)) {
    if (std::ranges::binary_search(known, message)) continue;
    const Message& sent = space_.messages()[message];
    line += fmt::format("\n        sends to {}: {}", sent.to + 1, explore::describe(sent));
  }
  place = {step.core, space_.sets().unite(place.sent, step.sent)};
  return line;
}

std::string Explorer::describe(const Action& action) const {
  const unsigned place = action.place + 1U;
  switch (action.kind) {
    case ActionKind::deliver: {
      const Message& message = space_.messages()[action.argument];
      return fmt::format("replica {} hears {}: {}", place, message.from + 1, explore::describe(message));
    }
    case ActionKind::durable: return fmt::format("replica {}: {} more staged records are durable", place, action.argument);
    case ActionKind::crash: {
      const std::uint32_t loss = action.argument >> Loss::shift;
      std::string text = fmt::format("replica {} crashes and starts again; {} staged records survive", place,
                                     action.argument & ((1U << Loss::shift) - 1));
      if (loss > Loss::tails) return text + fmt::format(", the last {} durable ones are lost", loss - Loss::tails);
      return loss == Loss::none ? text : text + fmt::format(", durable record {} is lost", loss);
    }
    case ActionKind::campaign: return fmt::format("replica {} loses patience and campaigns", place);
    case ActionKind::propose: return fmt::format("replica {} proposes a value of its own", place);
  }
  return {};
}

}  // namespace synod::consensus::explore
