#include "tests/scenario/commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <sstream>
#include <stdexcept>

namespace synod::scenario {

namespace {

constexpr std::array default_names{"athens", "byzantium", "cyrene", "delphi", "ephesus", "florence", "genoa"};
constexpr int stabilize_rounds_max = 1'000;

[[noreturn]] void fail(const std::string& why) {
  throw std::runtime_error(why);
}

std::uint64_t number(const std::string& text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) fail(fmt::format("'{}' is not a number", text));
  return value;
}

// 30ms, 2s
std::uint64_t microseconds(const std::string& text) {
  if (text.ends_with("ms")) return number(text.substr(0, text.size() - 2)) * 1'000;
  if (text.ends_with("s")) return number(text.substr(0, text.size() - 1)) * 1'000'000;
  fail(fmt::format("'{}' is not a time such as 30ms or 2s", text));
}

std::vector<std::string> split(const std::string& line) {
  std::istringstream stream(line);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

void need(bool is_enough, const std::string& usage) {
  if (!is_enough) fail("usage: " + usage);
}

}  // namespace

std::string Commands::run(const std::string& line) {
  std::vector<std::string> words = split(line);
  const std::string command = words.empty() ? "" : words.front();
  if (!words.empty()) words.erase(words.begin());
  const std::size_t before = world_ ? world_->trace().mark() : 0;
  std::string output;
  try {
    output = carry_out(command, words);
  } catch (const std::runtime_error& error) {
    output = fmt::format("error: {}\n", error.what());
  }
  return (world_ ? world_->trace().lines(world_->names(), before) : "") + output;
}

std::string Commands::carry_out(const std::string& command, const Words& words) {
  if (set_up(command, words)) return "";
  if (!world_) fail("first say `cluster N` or `members NAME...`");
  if (command == "state") return world_->state();
  if (command == "network") return world_->on_their_way();
  if (ask(command, words) || move_messages(command, words) || break_things(command, words) || pass_time(command, words))
    return "";
  fail(fmt::format("unknown command '{}'", command));
}

// --- the world --------------------------------------------------------------------------------------------------------------

bool Commands::set_up(const std::string& command, const Words& words) {
  if (command == "seed") {
    need(words.size() == 1 && !world_, "seed N, before the cluster");
    seed_ = number(words[0]);
  } else if (command == "cluster" || command == "members") {
    need(!words.empty() && !world_, "cluster N or members NAME..., once");
    make_world(words, command == "cluster");
  } else {
    return false;
  }
  return true;
}

void Commands::make_world(Words words, bool by_count) {
  WorldOptions options;
  options.seed = seed_;
  if (words.size() > 4 && words[words.size() - 4] == "phase1" && words[words.size() - 2] == "phase2") {
    options.phase1 = number(words[words.size() - 3]);
    options.phase2 = number(words.back());
    words.resize(words.size() - 4);
  }
  if (by_count) {
    const std::uint64_t count = number(words[0]);
    need(words.size() == 1 && count >= 1 && count <= default_names.size(), "cluster N [phase1 A phase2 B], N from 1 to 7");
    words.assign(default_names.begin(), default_names.begin() + static_cast<std::ptrdiff_t>(count));
  }
  std::set<char> initials;
  for (const std::string& name : words) initials.insert(name.front());
  need(words.size() <= members_max && initials.size() == words.size(), "members NAME..., at most 7, with different initials");
  const std::size_t majority = words.size() / 2 + 1;
  const std::size_t quorums = options.phase1 == 0 ? 2 * majority : options.phase1 + options.phase2;
  need(quorums > words.size() && std::max(options.phase1, options.phase2) <= words.size(),
       "phase1 A phase2 B, where A + B is more than the number of replicas");
  options.members = words;
  world_ = std::make_unique<World>(options);
}

std::size_t Commands::place(const std::string& name) const {
  const std::optional<std::size_t> place = world_->names().place_of(name);
  if (!place) fail(fmt::format("there is no replica '{}'", name));
  return *place;
}

// --- what clients and timers do ---------------------------------------------------------------------------------------------

bool Commands::ask(const std::string& command, const Words& words) {
  if (command == "campaign") {
    need(!words.empty(), "campaign NAME...");
    std::vector<std::size_t> places;
    for (const std::string& name : words) places.push_back(place(name));
    world_->campaign(places);
  } else if (command == "propose") {
    const bool has_level = words.size() >= 4 && words[words.size() - 2] == "ack";
    const auto level = has_level ? wire::ack_level_of(words.back()) : wire::AckLevel::quorum;
    need(words.size() >= 2 && level && (!has_level || wire::is_early(*level)), "propose NAME ENTRY... [ack memory|leader|one]");
    world_->propose(place(words[0]), {words.begin() + 1, words.end() - (has_level ? 2 : 0)}, *level);
  } else if (command == "read") {
    need(words.size() == 1, "read NAME");
    world_->read_tail(place(words[0]));
  } else if (command == "durable") {
    need(words.size() == 1 || words.size() == 2, "durable NAME [COUNT]");
    world_->make_durable(place(words[0]), words.size() == 2 ? number(words[1]) : SIZE_MAX);
  } else if (command == "disk") {
    need(words.size() == 1 && (words[0] == "prompt" || words[0] == "manual"), "disk prompt | manual");
    world_->disk_is_prompt = words[0] == "prompt";
  } else if (command == "confirm") {
    need(words.size() == 1 && (words[0] == "auto" || words[0] == "manual"), "confirm auto | manual");
    world_->confirms_by_itself = words[0] == "auto";
  } else if (command == "hide" || command == "show") {
    hide(words, command == "hide");
  } else {
    return false;
  }
  return true;
}

void Commands::hide(const Words& words, bool is_hidden) {
  for (const std::string& word : words) {
    if (word == "sends") {
      world_->sends_are_hidden = is_hidden;
      continue;
    }
    if (!is_kind(word)) fail(fmt::format("there is no message '{}'", word));
    for (const std::string& kind : {word, word + "-answer"}) {
      if (is_hidden && is_kind(kind)) world_->hidden_kinds.insert(kind);
      if (!is_hidden) world_->hidden_kinds.erase(kind);
    }
  }
}

// --- messages ---------------------------------------------------------------------------------------------------------------

std::pair<std::optional<std::size_t>, std::optional<std::size_t>> Commands::link(const std::string& word) const {
  const std::size_t arrow = word.find("->");
  const std::string from = word.substr(0, arrow);
  const std::string to = word.substr(arrow + 2);
  return {from.empty() ? std::nullopt : std::optional(place(from)), to.empty() ? std::nullopt : std::optional(place(to))};
}

World::Filter Commands::filter(const Words& words) const {
  need(!words.empty(), "deliver | drop | discard | repeat all | [a->b] [KIND] [slot N]");
  std::vector<World::Filter> filters;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "all") continue;
    if (word.find("->") != std::string::npos) {
      const auto [from, to] = link(word);
      filters.emplace_back([from, to](const Packet& packet) {
        return from.value_or(packet.from) == packet.from && to.value_or(packet.to) == packet.to;
      });
    } else if (is_kind(word)) {
      filters.emplace_back([word](const Packet& packet) { return kind_of(packet.message.payload) == word; });
    } else if (word == "slot" && i + 1 < words.size()) {
      filters.emplace_back([slot = Slot(number(words[++i]))](const Packet& p) { return slot_of(p.message.payload) == slot; });
    } else {
      fail(fmt::format("'{}' is neither a link, nor a kind of message, nor `slot N`", word));
    }
  }
  return [filters](const Packet& packet) {
    return std::ranges::all_of(filters, [&](const World::Filter& matches) { return matches(packet); });
  };
}

bool Commands::move_messages(const std::string& command, const Words& words) {
  std::size_t moved = 1;
  if (command == "deliver") {
    moved = world_->deliver(filter(words));
  } else if (command == "drop") {
    moved = world_->drop(filter(words));
  } else if (command == "discard") {
    moved = world_->discard(filter(words));
  } else if (command == "repeat") {
    moved = world_->repeat(filter(words));
  } else if (command == "stabilize") {
    stabilize();
  } else if (command == "cut") {
    need(words.size() == 1, "cut NAME | cut a->b");
    cut(words[0]);
  } else if (command == "heal") {
    world_->heal();
  } else {
    return false;
  }
  if (moved == 0) fail("no such message is on its way");
  return true;
}

void Commands::stabilize() {
  for (int round = 0; world_->deliver([](const Packet&) { return true; }) != 0; ++round) {
    if (round > stabilize_rounds_max) fail("the network does not come to rest");
  }
}

void Commands::cut(const std::string& where) {
  if (where.find("->") != std::string::npos) {
    const auto [from, to] = link(where);
    need(from && to, "cut NAME | cut a->b");
    return world_->cut(*from, *to);
  }
  const std::size_t member = place(where);
  for (std::size_t peer = 0; peer < world_->size(); ++peer) {
    if (peer == member) continue;
    world_->cut(member, peer);
    world_->cut(peer, member);
  }
}

// --- faults and time --------------------------------------------------------------------------------------------------------

bool Commands::break_things(const std::string& command, const Words& words) {
  if (command == "unreadable" || command == "lose") {
    need(words.size() == 2, "unreadable NAME RECORD | lose NAME COUNT");
    (*world_.*(command == "lose" ? &World::lose_tail : &World::make_unreadable))(place(words[0]), number(words[1]));
    return true;
  }
  void (World::*action)(std::size_t) = nullptr;
  if (command == "image") action = &World::keep_image;
  if (command == "rollback") action = &World::put_image_back;
  if (command == "crash") action = &World::crash;
  if (command == "restart") action = &World::start;
  if (command == "format") action = &World::format;
  if (command == "pause") action = &World::pause;
  if (command == "resume") action = &World::resume;
  if (action == nullptr) return false;
  need(words.size() == 1, command + " NAME");
  ((*world_).*action)(place(words[0]));
  return true;
}

bool Commands::pass_time(const std::string& command, const Words& words) {
  if (command == "tick") {
    tick(words);
  } else if (command == "delay") {
    need(words.size() == 2, "delay MIN MAX");
    world_->delay_us_min = microseconds(words[0]);
    world_->delay_us_max = std::max(microseconds(words[1]), world_->delay_us_min);
  } else if (command == "run") {
    run_time(words);
  } else {
    return false;
  }
  return true;
}

void Commands::tick(const Words& words) {
  need(words.size() == 1 || words.size() == 2, "tick [NAME] TIME");
  if (words.size() == 1) return world_->tick(std::nullopt, microseconds(words[0]));
  world_->tick(place(words[0]), microseconds(words[1]));
}

void Commands::run_time(const Words& words) {
  const World& world = *world_;
  if (words.size() == 1) {
    world_->run(microseconds(words[0]), [] { return false; });
    return;
  }
  const auto every_replica = [&world](const auto& is_so) {
    for (std::size_t place = 0; place < world.size(); ++place) {
      if (world.replica(place).is_running() && !is_so(*world.replica(place).engine)) return false;
    }
    return true;
  };
  if (words.size() == 3 && words[0] == "until" && words[1] == "leader") {
    const auto done = [&] { return !every_replica([](const consensus::Engine& engine) { return !engine.is_leader(); }); };
    if (!world_->run(microseconds(words[2]), done)) fail("there is no leader");
  } else if (words.size() == 4 && words[0] == "until" && words[1] == "commit") {
    const Slot slot(number(words[2]));
    const auto done = [&] { return every_replica([&](const consensus::Engine& engine) { return engine.commit() >= slot; }); };
    if (!world_->run(microseconds(words[3]), done)) fail("not everybody committed it");
  } else {
    fail("usage: run TIME | run until leader TIME | run until commit N TIME");
  }
}

}  // namespace synod::scenario
