// The world of a scenario: production engines, whose messages wait in the network until the script delivers, drops or repeats
// them, whose records wait for the disk until the script says so, and whose clock moves when the script moves it.
//
// Effects are carried out as consensus/engine.h says. After every call: the engine's invariants, and the oracle's agreement; the
// first thing that is wrong ends the script with an error. What happens is kept in a Trace.
#pragma once

#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "base/prng.h"
#include "consensus/engine.h"
#include "consensus/log_state.h"
#include "tests/consensus/disk_model.h"
#include "tests/consensus/oracle.h"
#include "tests/scenario/names.h"
#include "tests/scenario/trace.h"

namespace synod::scenario {

struct WorldOptions {
  std::vector<std::string> members;
  std::size_t phase1 = 0;  // 0: majority
  std::size_t phase2 = 0;
  std::uint64_t seed = 1;
};

// A message on its way.
struct Packet {
  std::size_t from = 0;
  std::size_t to = 0;
  wire::PeerMessage message;
  std::vector<wire::PromisedSlot> slots;  // of a promise
  std::vector<std::byte> body;            // of a record
  std::uint64_t due_us = 0;               // while time goes by itself; 0: not drawn yet
};

using consensus::testing::DiskRecord;

// A tail read that waits at a leader (rule 7).
struct WaitingRead {
  Ballot ballot;
  Probe probe;
};

// A batch of a client, and when it wants its answer.
struct Asked {
  std::vector<std::string> entries;
  wire::AckLevel level = wire::AckLevel::quorum;
};

// One that was proposed and is to be answered before it commits.
struct WaitingEarly {
  Slot slot;
  Lsn lsn;
  std::string text;
  wire::AckLevel level{};
};

struct Replica {
  // The disk
  Uuid disk_uuid;
  std::uint64_t open_count = 0;
  std::vector<DiskRecord> disk;
  std::size_t durable = 0;        // records
  bool is_tail_missing = false;   // a fault that its superblock knows of
  std::vector<DiskRecord> image;  // a copy of the disk as it was
  std::uint64_t image_open_count = 0;
  // The process
  std::unique_ptr<consensus::Engine> engine;  // null: it is down
  std::size_t disk_at_start = 0;
  std::vector<std::vector<std::byte>> pool;  // bodies by handle; handles are never used again
  std::unique_ptr<consensus::LogState> log;
  std::unique_ptr<consensus::LogState> proposed;  // a leader's, ahead by what it has proposed
  std::deque<Asked> asked;                        // batches that clients asked for here and that wait for a leader
  std::vector<WaitingEarly> early;
  std::optional<WaitingRead> read;
  std::vector<std::string> committed;  // values by slot
  wire::Role role = wire::Role::follower;
  bool is_paused = false;

  [[nodiscard]] bool is_running() const { return engine != nullptr && !is_paused; }
};

class World {
 public:
  explicit World(const WorldOptions& options);

  // The script's settings
  bool disk_is_prompt = true;  // a record is durable as soon as it is written
  // A replica that starts is told at once, and not shown, that nobody has heard more of its disk than it claims (rule 6).
  bool confirms_by_itself = true;
  std::set<std::string, std::less<>> hidden_kinds;
  bool sends_are_hidden = false;
  std::uint64_t delay_us_min = 200;
  std::uint64_t delay_us_max = 500;

  // Clients
  void propose(std::size_t place, const std::vector<std::string>& entries, wire::AckLevel level);
  void read_tail(std::size_t place);

  // Network: each of these acts on the packets that are on their way now and match; how many there were.
  using Filter = std::function<bool(const Packet&)>;
  std::size_t deliver(const Filter& filter);
  std::size_t drop(const Filter& filter);
  std::size_t discard(const Filter& filter);  // the same, but the trace does not say so
  std::size_t repeat(const Filter& filter);   // delivers, and a copy stays on its way
  void cut(std::size_t from, std::size_t to) { cuts_.insert({from, to}); }
  void heal() {
    cuts_.clear();
    confirm_all();
  }
  [[nodiscard]] const std::list<Packet>& packets() const { return packets_; }

  // Disks and processes
  void make_durable(std::size_t place, std::size_t count);
  void crash(std::size_t place);
  void start(std::size_t place);
  void format(std::size_t place);  // a new, empty disk in place of the one that a crashed replica had
  void make_unreadable(std::size_t place, std::size_t record);  // of a crashed replica, counted from 1
  void lose_tail(std::size_t place, std::size_t records);
  void keep_image(std::size_t place);
  void put_image_back(std::size_t place);
  void confirm_all();
  void pause(std::size_t place);
  void resume(std::size_t place);

  // Time
  void tick(std::optional<std::size_t> place, std::uint64_t us);
  void campaign(const std::vector<std::size_t>& places);
  // Time goes by itself, messages arrive after a random delay, until `done` or for so long. Whether it was done.
  bool run(std::uint64_t us, const std::function<bool()>& done);

  [[nodiscard]] const Names& names() const { return names_; }
  [[nodiscard]] const Trace& trace() const { return trace_; }
  [[nodiscard]] Trace& trace() { return trace_; }
  [[nodiscard]] std::size_t size() const { return replicas_.size(); }
  [[nodiscard]] const Replica& replica(std::size_t place) const { return replicas_[place]; }
  [[nodiscard]] std::string state() const;
  [[nodiscard]] std::string on_their_way() const;

 private:
  // world.cc: one call of one engine
  void step(std::size_t place, const std::function<void(consensus::Engine&)>& call);
  void call_engine(std::size_t place, const std::function<void(consensus::Engine&)>& call);
  void settle(std::size_t place);
  void carry_out(std::size_t place);
  void note_doubt(std::size_t place, const consensus::Engine& before);
  void note_role(std::size_t place);
  void commit(std::size_t place, const consensus::Commit& committed);
  // Says what became of the slot: its value, its LSNs.
  std::string apply(std::size_t place, Slot slot, Checksum checksum, Bytes body);
  static void rebuild_proposed(Replica& replica);
  void answer_read(std::size_t place);
  void answer_early(std::size_t place);
  bool propose_next(std::size_t place);  // whether there was something to propose
  void check() const;
  void say(What what, std::size_t who, std::string text, std::vector<std::size_t> others = {});
  // world_network.cc
  void post(Packet packet);
  void transmit(std::size_t place, const consensus::Send& send);
  void serve(std::size_t place, const consensus::Serve& range);
  void arrive(const Packet& packet);
  void say_packet(What what, std::size_t who, std::size_t other, const wire::PeerMessage& message);
  [[nodiscard]] std::string entry_state(std::size_t place) const;
  void poll(std::size_t place);
  // world_disk.cc
  void stage(std::size_t place, const consensus::Persist& persist);
  bool flush(std::size_t place, std::size_t count);  // whether anything became durable
  void became_durable(std::size_t place);
  void forget_votes(std::size_t place, std::size_t records);
  [[nodiscard]] Replica& down(std::size_t place);
  [[nodiscard]] bool is_recorded(std::size_t place) const;
  void count_vote(std::size_t place, const consensus::Persist& record);
  [[nodiscard]] static std::optional<std::size_t> newest(const Replica& replica, Slot slot);

  WorldOptions options_;
  Names names_;
  consensus::Configuration configuration_;
  consensus::testing::Oracle oracle_;
  Prng prng_;
  Trace trace_;
  std::vector<Replica> replicas_;
  std::list<Packet> packets_;
  std::set<std::pair<std::size_t, std::size_t>> cuts_;
  std::map<std::tuple<Slot, Ballot, Checksum>, std::vector<std::size_t>> votes_;  // durable ones
  std::uint64_t now_us_ = 1'000'000;
  std::uint64_t uuids_drawn_ = 0;
  bool runs_ = false;  // time goes by itself
  consensus::Effects effects_;
};

}  // namespace synod::scenario
