// The replicas: production nodes on simulated disks and ports, each with a clock of its own, in one thread.
//
// Whatever leaves a node and whatever reaches a disk is watched here: nothing may be said before the record behind it is on the
// sectors, and a replica that comes back must stand by everything that it has said.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/leader.h"
#include "dataplane/reassembler.h"
#include "replica/node.h"
#include "tests/sim/disk.h"
#include "tests/sim/faults.h"
#include "tests/sim/ledger.h"
#include "tests/sim/network.h"
#include "tests/sim/oracle.h"
#include "tests/sim/trace.h"

namespace synod::sim {

// A monotonic clock that runs too fast or too slow, and sometimes jumps ahead.
struct Clock {
  std::uint64_t rate_permille = 1000;
  std::uint64_t ahead_us = 0;

  [[nodiscard]] std::uint64_t at(std::uint64_t now_us) const { return now_us / 1000 * rate_permille + ahead_us; }
};

enum class Idle : std::uint8_t { spin, yield, sleep };

struct Image {
  std::vector<std::byte> sectors;
  Ledger ledger;
};

struct Member {
  std::unique_ptr<Port> port;
  std::unique_ptr<Disk> disk;
  std::unique_ptr<Ledger> ledger;
  std::unique_ptr<replica::Node> node;
  std::optional<consensus::Engine> before;  // the last poll; kept, because a copy into it needs no new memory
  Clock clock;
  Idle idle = Idle::spin;
  std::uint64_t paused_until_us = 0;
  std::uint64_t strobe_until_us = 0;
  std::uint64_t polled_us = 0;     // by its own clock
  std::uint64_t stalled_us = 0;    // of its own time: its votes wait for a disk that completes nothing
  std::uint64_t back_at_us = 0;    // of a replica that is down: when it starts again. 0: it does not
  bool is_damaged = false;         // its disk has lost something that was durable
  bool has_lost_tail = false;      // and does not know it yet
  Ballot lost_bound;               // of the last lost tail: votes below it that nobody else has heard of are gone for good
  std::unique_ptr<Image> image;    // of an earlier power cut
  bool is_behind = false;          // it came back, and has yet to learn what it missed
  bool is_small = false;           // its journal is soon full
  bool is_lost = false;            // it never votes again
  bool is_swapped = false;         // it holds another machine's disk just now
  bool cut_at_next_write = false;  // power goes as soon as a write is in flight
  Uuid first_disk;                 // the one that was introduced to the others
  Slot believed_up_to;             // slots chosen before its damage count as held: they may have been what was hit

  [[nodiscard]] bool is_up() const { return node != nullptr; }
};

struct ClusterCounters {
  std::uint64_t starts = 0;
  std::uint64_t starts_refused = 0;
  std::uint64_t starts_cut = 0;  // power went during recovery
  std::uint64_t kills = 0;
  std::uint64_t cuts = 0;
  std::uint64_t cuts_torn = 0;  // with at least one torn write
  std::uint64_t undone = 0;     // misdirected writes that nobody could have noticed
  std::uint64_t leader_changes = 0;
  // What was lost, and made whole again.
  std::uint64_t recycled = 0;         // segments that were used again
  std::uint64_t from_checkpoint = 0;  // starts
  std::uint64_t gaps_found = 0;       // at starts
  std::uint64_t gaps_closed = 0;
  std::uint64_t states_taken = 0;
  std::uint64_t records_repaired = 0;  // from peers
  std::uint64_t doubts_bounded = 0;    // starts with a bounded doubt
  std::uint64_t doubts_unbounded = 0;  // of lost tails and stale images, that found a bound
  std::uint64_t stale_found = 0;       // disks that were found to be old copies by their peers
  std::uint64_t repairs = 0;           // replicas that came back behind the others and were brought up to date by them
};

class Cluster {
 public:
  [[nodiscard]] static consensus::Configuration configuration_of(const Options& options);
  Cluster(const Options& options, Network& network, Oracle& oracle, const Trace& trace);
  ~Cluster();
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  [[nodiscard]] std::size_t size() const { return members_.size(); }
  [[nodiscard]] Member& member(std::size_t place) { return members_[place]; }
  [[nodiscard]] const Member& member(std::size_t place) const { return members_[place]; }
  [[nodiscard]] replica::Node& node(std::size_t place) { return *members_[place].node; }
  [[nodiscard]] const consensus::Configuration& configuration() const { return configuration_; }
  [[nodiscard]] std::vector<client::Peer> peers() const;
  [[nodiscard]] std::optional<std::size_t> leader() const;
  [[nodiscard]] ClusterCounters counters() const;

  // One turn of a live node's loop. Returns after how long it wants the next one.
  std::uint64_t poll(std::size_t place);
  // Starts a replica that is down. It may refuse because of its disk, or go down again in its recovery: then it stays down.
  void start(std::size_t place);
  void kill(std::size_t place);
  void cut_power(std::size_t place);

  // The last blocks are gone, or everything is as it was once. False: the others have not heard enough to find that out, or it
  // would fall behind a trim.
  bool rot_tail(std::size_t place, std::uint64_t blocks);
  bool put_image_back(std::size_t place);
  // A disk that never votes again, or one that has lost its tail and does not know the bound of it yet.
  [[nodiscard]] bool has_lost_one() const;
  // A new disk under the old id.
  void format_again(std::size_t place);
  void swap_disks(std::size_t a, std::size_t b);
  // Whether the members of `core` have committed the same slots, and nothing is on its way.
  [[nodiscard]] bool has_settled(const std::vector<std::size_t>& core) const;
  // Whether nothing is missing any more of what this replica's disk should hold: no block that is needed is damaged, nothing is
  // in doubt, and each slot that is kept can be read.
  [[nodiscard]] bool is_whole(std::size_t place) const;
  // Nothing can be expected of it any more.
  [[nodiscard]] bool is_excused(std::size_t place) const;
  // One of the journals is a third full.
  [[nodiscard]] bool is_short_of_space() const;
  // Everybody has this slot committed on the disk.
  [[nodiscard]] Slot committed_by_all() const;
  // How each replica is, for a report.
  [[nodiscard]] std::string describe() const;
  // The highest ballot that was seen to lead.
  [[nodiscard]] Ballot last_leader() const { return last_leader_; }
  // Whether at least a phase-2 quorum of disks holds the chosen value of `slot` on its sectors.
  [[nodiscard]] bool is_on_a_quorum_of_disks(Slot slot) const;

 private:
  void make_disk(std::size_t place, std::uint64_t number, std::uint64_t bytes);
  void watch_disk(std::size_t place);
  void listen(dataplane::Endpoint from, dataplane::Endpoint to, Bytes packet);
  void trace_packet(dataplane::Endpoint from, dataplane::Endpoint to, const wire::PacketView& packet) const;
  void check_visible(std::size_t place, const wire::PacketView& packet);
  void check_promise_visible(std::size_t place, const wire::PacketHeader& header);

  // cluster_levels.cc
  void note_value(const wire::PacketView& packet);
  void check_received(std::size_t place, const wire::PacketView& packet);
  void check_answer(std::size_t place, const wire::PacketView& packet);
  [[nodiscard]] bool is_at_level(std::size_t place, Ballot ballot, wire::AckLevel level, SessionId session,
                                 Sequence sequence) const;
  [[nodiscard]] bool is_on_all_disks(Slot slot) const;

  void check_word_kept(std::size_t place);
  void check_stall(std::size_t place, PersistNumber before);
  void went_down(std::size_t place);
  [[nodiscard]] bool is_missed(std::size_t place, const Position& last) const;
  [[nodiscard]] static ClusterCounters counters_of(const Member& member);
  void note_leader();
  void note_repair(std::size_t place, Slot before);
  [[nodiscard]] std::uint64_t next_turn_us(const Member& member, bool was_busy);

  const Options& options_;
  Network& network_;
  Oracle& oracle_;
  const Trace& trace_;
  Prng prng_;
  Prng crash_prng_;
  std::vector<ReplicaId> ids_;
  consensus::Configuration configuration_;
  std::vector<Member> members_;
  Ballot last_leader_;
  dataplane::Reassembler leaving_{64, 16};                             // accepts of several packets
  std::map<std::pair<Slot, Ballot>, consensus::MemberSet> receivers_;  // who has said that it received, or voted for, the value
  ClusterCounters counters_;
};

}  // namespace synod::sim
