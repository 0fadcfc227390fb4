// A deterministic cluster in memory: engines driven as consensus/engine.h says, over a network that loses, repeats, reorders and
// delays, on disks that finish in order but late and lose what was not durable in a crash. Time is virtual; one seed, one run.
//
// After every call of an engine: check_now, check_delta, ownership of bodies, durable before visible, and the oracle's agreement.
// The first thing that is wrong ends the run; see failure().
#pragma once

#include <functional>
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

namespace synod::consensus::testing {

struct ClusterOptions {
  std::uint64_t seed = 1;
  std::uint16_t members = 3;
  std::size_t phase1 = 0;  // 0: majority
  std::size_t phase2 = 0;
  std::size_t window_slots = 16;
  std::size_t clients = 3;
  // Less patient than by default, so that a run of two seconds has elections.
  Timeouts timeouts = {.election_us_min = 150'000, .election_us_max = 300'000, .step_down_us = 400'000};
};

// How bad the world is just now.
struct World {
  std::uint64_t loss_per_mille = 0;
  std::uint64_t accept_loss_per_mille = 0;  // of accepts alone: values that some hold and some do not
  std::uint64_t repeat_per_mille = 0;
  std::uint64_t late_per_mille = 0;     // delayed by up to late_us_max instead
  std::uint64_t no_room_per_mille = 0;  // the body pool is full when a record comes
  std::uint64_t pause_per_mille = 0;    // what is left to be pumped waits for the next call
  std::uint64_t delay_us_min = 50;
  std::uint64_t delay_us_max = 300;
  std::uint64_t late_us_max = 100'000;
  std::uint64_t disk_us_min = 100;
  std::uint64_t disk_us_max = 1'000;
};

struct Packet {
  ReplicaId to;
  wire::PeerMessage message;
  std::vector<wire::PromisedSlot> slots;  // of a promise
  std::vector<std::byte> body;            // of a record
};

// A body in a member's pool. Handles are never reused, so that a use after release is seen.
struct PoolBody {
  std::vector<std::byte> bytes;
  bool alive = false;
};

// A tail read that waits at a leader (rule 7).
struct WaitingRead {
  Ballot ballot;
  Probe probe;
  Slot covers;  // committed somewhere when it was asked
};

struct Member {
  ReplicaId id;
  Uuid disk_uuid;
  std::uint64_t open_count = 0;
  bool was_formatted_again = false;
  bool has_lost_records = false;
  bool is_tail_missing = false;  // and its superblock knows
  // The disk
  std::vector<DiskRecord> disk;
  std::size_t durable = 0;  // records
  bool is_stalled = false;
  std::uint64_t disk_free_us = 0;
  std::map<Slot, std::size_t> newest;  // by slot: place on disk of its newest record
  std::set<std::tuple<Slot, Ballot, Checksum>> durable_votes;
  std::set<std::pair<Slot, Checksum>> durable_chosen;
  Ballot durable_ballot;
  // The process
  std::uint64_t life = 0;  // events of an earlier life are dropped
  std::unique_ptr<Engine> engine;
  std::size_t disk_at_start = 0;
  std::vector<PoolBody> pool;
  std::size_t bodies_alive = 0;
  std::unique_ptr<LogState> log;
  std::unique_ptr<LogState> proposed;  // a leader's
  std::map<SessionId, Sequence> applied;
  std::optional<WaitingRead> read;

  [[nodiscard]] bool is_up() const { return engine != nullptr; }
};

struct Client {
  Uuid uuid;
  SessionId session;
  std::uint64_t wanted = 0;  // entries that it has to append
  std::uint64_t acked = 0;   // entries that some replica applied
};

class Cluster {
 public:
  explicit Cluster(const ClusterOptions& options);

  World world;
  // Returns false to drop a packet; the place of sender and receiver and the message.
  std::function<bool(std::size_t, std::size_t, const wire::PeerMessage&)> filter;

  // Time
  [[nodiscard]] std::uint64_t now_us() const { return now_us_; }
  void run_for(std::uint64_t us);
  // Runs until `done` holds or `us` have passed; whether it held.
  bool run_until(std::uint64_t us, const std::function<bool()>& done);

  // Faults
  void crash(std::size_t place);
  void start(std::size_t place);
  void format_again(std::size_t place);  // of a crashed member: a new, empty disk under the old id
  // Of a crashed member's durable records: one in the middle; the last ones, and its superblock knows of it; the last ones, and
  // only the others can know, if enough of them do (`image`: the whole disk is as it was then, its open count too). False: there
  // is nothing there to lose.
  bool lose_middle(std::size_t place);
  bool lose_tail(std::size_t place);
  bool go_back(std::size_t place, bool image);
  void stall_disk(std::size_t member) { members_[member].is_stalled = true; }
  void resume_disk(std::size_t member);
  void cut(std::size_t from, std::size_t to) { cuts_.insert({from, to}); }
  void cut_off(std::size_t member);
  void heal_links() { cuts_.clear(); }
  void inject(std::size_t to, const wire::PeerMessage& message);

  // Clients
  void want(std::uint64_t entries);  // every client wants so many more
  [[nodiscard]] bool clients_done() const;
  void stop_clients() { clients_run_ = false; }
  // A batch of what the clients want, or a session for them, through this member if it leads and has room.
  bool propose(std::size_t place);

  // State
  [[nodiscard]] std::size_t size() const { return members_.size(); }
  [[nodiscard]] Member& member(std::size_t place) { return members_[place]; }
  [[nodiscard]] Engine& engine(std::size_t place) { return *members_[place].engine; }
  [[nodiscard]] std::optional<std::size_t> leader() const;
  [[nodiscard]] bool has_converged() const;  // all live members that may vote hold the same log
  [[nodiscard]] Oracle& oracle() { return oracle_; }
  [[nodiscard]] const std::string& failure() const { return oracle_.failure(); }
  [[nodiscard]] Prng& prng() { return prng_; }
  [[nodiscard]] const Configuration& configuration() const { return configuration_; }
  [[nodiscard]] std::uint64_t void_slots() const { return void_slots_; }
  [[nodiscard]] std::uint64_t reads() const { return reads_; }
  [[nodiscard]] std::uint64_t elections() const { return elections_; }
  // How often a disk was found to be stale, and how often a replica started in doubt.
  [[nodiscard]] std::uint64_t stale_found() const { return stale_found_; }
  [[nodiscard]] std::uint64_t bounded_starts() const { return bounded_starts_; }
  [[nodiscard]] std::uint64_t unbounded_starts() const { return unbounded_starts_; }
  [[nodiscard]] std::uint64_t repairs() const { return repairs_; }

 private:
  void at(std::uint64_t time_us, std::function<void()> event);
  void step(std::size_t place, const std::function<void(Engine&)>& call);
  void carry_out(std::size_t place);
  void stage(Member& member, const Persist& persist);
  void schedule_disk(std::size_t place);
  void became_durable(std::size_t place, std::size_t index);
  void index_disk(Member& member);
  void cut_disk(std::size_t place, std::size_t records);
  [[nodiscard]] bool would_be_found(std::size_t place, std::size_t records) const;
  void restore_slots(std::size_t place, Slot commit);
  void transmit(std::size_t place, const Send& send);
  void post(std::size_t from, Packet packet);
  void deliver(std::size_t place, const Packet& packet);
  void serve(std::size_t place, const Serve& range);
  void apply(std::size_t place, Slot slot, Checksum checksum, Bytes body);
  void opened(const AppliedRun& run);
  void appended(std::size_t place, const AppliedRun& run);
  void rebuild_proposed(Member& member);
  void check_durable_before_visible(std::size_t place, const Send& send);
  void check_promise(const Member& member, const wire::Promise& promise, Slot commit);
  void check_bodies(std::size_t place);
  void tick(std::size_t place, std::uint64_t life);
  void client_event();
  void read_tail(Member& member);

  ClusterOptions options_;
  Prng prng_;
  Configuration configuration_;
  Oracle oracle_;
  std::vector<Member> members_;
  std::vector<Client> clients_;
  std::set<std::pair<std::size_t, std::size_t>> cuts_;
  std::multimap<std::uint64_t, std::function<void()>> events_;
  std::uint64_t now_us_ = 1'000'000;
  std::uint64_t uuids_drawn_ = 0;
  std::uint64_t void_slots_ = 0;
  std::uint64_t elections_ = 0;
  std::uint64_t reads_ = 0;
  std::uint64_t stale_found_ = 0;
  std::uint64_t bounded_starts_ = 0;
  std::uint64_t unbounded_starts_ = 0;
  std::uint64_t repairs_ = 0;
  Slot committed_;  // by any member
  bool clients_run_ = true;
  Effects effects_;
};

}  // namespace synod::consensus::testing
