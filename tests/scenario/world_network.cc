// The messages of a scenario: on their way, delivered, lost, repeated; and time that goes by.
#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "tests/scenario/world.h"

namespace synod::scenario {

using consensus::BodyHandle;
using consensus::Engine;

namespace {

constexpr std::uint64_t tick_us = 1'000;
constexpr std::uint64_t campaign_ticks_max = 1'000;

bool is_poll(const Packet& packet) {
  return std::holds_alternative<wire::Suspect>(packet.message.payload) ||
         std::holds_alternative<wire::SuspectAnswer>(packet.message.payload);
}

}  // namespace

void World::say_packet(What what, std::size_t who, std::size_t other, const wire::PeerMessage& message) {
  trace_.add({.what = what,
              .who = who,
              .text = names_.message(message),
              .others = {other},
              .hidden = hidden_kinds.contains(kind_of(message.payload)) || (what == What::sends && sends_are_hidden),
              .time_us = now_us_ - 1'000'000,
              .timed = runs_});
}

void World::transmit(std::size_t place, const consensus::Send& send) {
  const Replica& replica = replicas_[place];
  // Only the introductions of a new disk are shown.
  if (confirms_by_itself && std::holds_alternative<wire::Hello>(send.payload) && is_recorded(place) &&
      !replica.engine->doubt().is_unbounded()) {
    return;
  }
  Packet packet{.from = place,
                .to = configuration_.place_of(send.to),
                .message = {configuration_.member(place),
                            {replica.disk_uuid, replica.open_count},
                            send.ballot,
                            send.commit,
                            send.probe,
                            send.payload}};
  if (auto* promise = std::get_if<wire::Promise>(&packet.message.payload)) {
    packet.slots = {promise->slots.begin(), promise->slots.end()};
  }
  if (send.body != consensus::no_body) packet.body = replica.pool[send.body.value()];
  post(std::move(packet));
}

void World::post(Packet packet) {
  say_packet(What::sends, packet.from, packet.to, packet.message);
  packets_.push_back(std::move(packet));
  // The list of a promise lived in the engine's Effects; from here on it lives in the packet.
  Packet& kept = packets_.back();
  if (auto* promise = std::get_if<wire::Promise>(&kept.message.payload)) promise->slots = kept.slots;
}

// Each slot as Chosen, from what is durable on this disk; what is not will be asked for again.
void World::serve(std::size_t place, const consensus::Serve& range) {
  const Replica& replica = replicas_[place];
  for (Slot slot = range.from; slot <= range.last; ++slot) {
    const std::optional<std::size_t> index = newest(replica, slot);
    if (!index || *index >= replica.durable) continue;
    const DiskRecord& record = replica.disk[*index];
    const wire::RecordHeader header = wire::seal({.slot = slot,
                                                  .ballot = record.record.ballot,
                                                  .body_bytes = record.record.value.body_bytes,
                                                  .body_checksum = record.record.value.checksum,
                                                  .kind = wire::RecordKind::chosen});
    post({.from = place,
          .to = configuration_.place_of(range.to),
          .message = {configuration_.member(place),
                      {replica.disk_uuid, replica.open_count},
                      replica.engine->promised(),
                      replica.engine->commit(),
                      Probe{},
                      wire::Chosen{{.header = header, .body = {}}}},
          .slots = {},
          .body = record.body});
  }
}

void World::arrive(const Packet& packet) {
  Replica& replica = replicas_[packet.to];
  if (!replica.engine || cuts_.contains({packet.from, packet.to})) {
    return say_packet(What::loses, packet.to, packet.from, packet.message);
  }
  say_packet(What::receives, packet.to, packet.from, packet.message);
  BodyHandle handle = consensus::no_body;
  if (!packet.body.empty() && replica.engine->wants_body(packet.message)) {
    handle = BodyHandle(static_cast<std::uint32_t>(replica.pool.size()));
    replica.pool.push_back(packet.body);
  }
  const std::uint64_t refused = replica.engine->counters().refused_identity;
  step(packet.to, [&](Engine& engine) { engine.on_message(packet.message, handle, effects_); });
  if (replica.engine->counters().refused_identity != refused) {
    say_packet(What::refuses, packet.to, packet.from, packet.message);
  }
}

std::size_t World::deliver(const Filter& filter) {
  std::list<Packet> chosen;
  for (auto packet = packets_.begin(); packet != packets_.end();) {
    const auto next = std::next(packet);
    if (!replicas_[packet->to].is_paused && filter(*packet)) chosen.splice(chosen.end(), packets_, packet);
    packet = next;
  }
  for (const Packet& packet : chosen) arrive(packet);
  return chosen.size();
}

std::size_t World::drop(const Filter& filter) {
  return std::erase_if(packets_, [&](const Packet& packet) {
    if (!filter(packet)) return false;
    say_packet(What::loses, packet.to, packet.from, packet.message);
    return true;
  });
}

std::size_t World::discard(const Filter& filter) {
  return std::erase_if(packets_, filter);
}

std::size_t World::repeat(const Filter& filter) {
  std::list<Packet> copies;
  for (const Packet& packet : packets_) {
    if (filter(packet)) copies.push_back(packet);
  }
  // A promise's list belongs to its packet: the copy has its own.
  for (Packet& copy : copies) {
    if (auto* promise = std::get_if<wire::Promise>(&copy.message.payload)) promise->slots = copy.slots;
  }
  const std::size_t count = deliver(filter);
  packets_.splice(packets_.end(), copies);
  return count;
}

std::string World::on_their_way() const {
  std::string text;
  for (const Packet& packet : packets_) {
    if (hidden_kinds.contains(kind_of(packet.message.payload))) continue;
    text += fmt::format("{} -> {}  {}\n", names_.replica(packet.from), names_.replica(packet.to), names_.message(packet.message));
  }
  return text;
}

// --- time -------------------------------------------------------------------------------------------------------------------

void World::tick(std::optional<std::size_t> place, std::uint64_t us) {
  for (std::uint64_t passed = 0; passed < us; passed += tick_us) {
    now_us_ += tick_us;
    for (std::size_t other = 0; other < size(); ++other) {
      if (place.value_or(other) != other || !replicas_[other].is_running()) continue;
      step(other, [&](Engine& engine) { engine.on_tick(now_us_, effects_); });
    }
  }
}

// The timers of these replicas run out before all others, at the same time; their polls reach the others, and the answers them.
void World::campaign(const std::vector<std::size_t>& places) {
  discard(is_poll);  // of an earlier try
  for (const std::size_t place : places) poll(place);
  deliver([](const Packet& packet) { return std::holds_alternative<wire::Suspect>(packet.message.payload); });
  deliver([](const Packet& packet) { return std::holds_alternative<wire::SuspectAnswer>(packet.message.payload); });
}

void World::poll(std::size_t place) {
  const auto has_polled = [&] {
    return std::ranges::any_of(packets_, [&](const Packet& packet) { return is_poll(packet) && packet.from == place; });
  };
  for (std::uint64_t ticks = 0; !has_polled() && replicas_[place].role == wire::Role::follower; ++ticks) {
    if (ticks > campaign_ticks_max) throw std::runtime_error(names_.replica(place) + " does not want to campaign");
    tick(place, tick_us);
  }
}

bool World::run(std::uint64_t us, const std::function<bool()>& done) {
  runs_ = true;
  for (const std::uint64_t end_us = now_us_ + us; now_us_ < end_us && !done();) {
    for (Packet& packet : packets_) {
      if (packet.due_us == 0) packet.due_us = now_us_ + prng_.between(delay_us_min, delay_us_max);
    }
    now_us_ += tick_us / 10;
    deliver([&](const Packet& packet) { return packet.due_us != 0 && packet.due_us <= now_us_; });
    if (now_us_ % tick_us != 0) continue;
    for (std::size_t place = 0; place < size() && !done(); ++place) {
      if (replicas_[place].is_running()) step(place, [&](Engine& engine) { engine.on_tick(now_us_, effects_); });
    }
  }
  runs_ = false;
  return done();
}

}  // namespace synod::scenario
