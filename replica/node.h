// The node: one replica of one group. The one place that joins engine, journal and ports; everything it does happens in
// poll_once.
//
//   1. ports      bounded bursts -> gateway -> engine.on_message / intake
//   2. journal    completions -> engine.on_durable, finished reads
//   3. time       one tick
//   4. intake     what this poll brought becomes one slot; then the engine is pumped, its effects carried out
//   5. upkeep     pages of the index, checkpoints, trims, repairs: what the journal needs and nobody waits for
//   6. (the caller) flush: packets leave; submit: one system call for the disk. In a box: poll and flush each node, then submit
//   all
//
// Steps 2 to 5 are one turn. A poll that brought nothing that a turn could bring on has none, but for one every
// turn_interval_us: time alone brings little on.
//
// Thread: one, pinned by the caller. No heap after open. Faults are counted; a failed disk stops voting and is reported by
// status.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/ring.h"
#include "consensus/engine.h"
#include "consensus/log_state.h"
#include "dataplane/messenger.h"
#include "replica/ack_waits.h"
#include "replica/body_pool.h"
#include "replica/checkpoint_writer.h"
#include "replica/credits.h"
#include "replica/intake.h"
#include "replica/reads.h"
#include "replica/refusals.h"
#include "replica/repairs.h"
#include "replica/retention.h"
#include "replica/slot_index.h"
#include "replica/stage_trace.h"
#include "replica/transfer.h"
#include "storage/checkpoint_reader.h"
#include "storage/journal.h"
#include "storage/scrub.h"
#include "wire/client.h"

namespace synod::replica {

struct NodeOptions {
  ClusterId cluster;
  GroupId group;
  std::uint16_t groups = 1;  // of this process, for status
  ReplicaId self;
  consensus::Configuration configuration;
  consensus::Timeouts timeouts;
  storage::JournalLimits journal;
  std::size_t window_slots = window_slots_max;
  std::uint64_t turn_interval_us = 20;  // far below every timeout
  RetentionOptions retention;
  std::uint64_t seed = 0;
  storage::ScrubOptions scrub;
  // Gets a line for people when something happens that they should know of. Called on the node's thread, rarely.
  std::function<void(const std::string&)> say;
  StageTrace* trace = nullptr;  // gets the steps of slots while it is enabled; outlives the node
};

// Says it on stderr.
void say_on_stderr(const std::string& line);

struct NodeCounters {
  std::uint64_t bad_messages = 0;  // passed the packet's gateway and failed the message's
  std::uint64_t bad_bodies = 0;
  std::uint64_t starved = 0;  // accepts without a free body or room in the journal
  std::uint64_t appends_refused = 0;
  std::uint64_t entries_applied = 0;
  std::uint64_t slots_void = 0;
  std::uint64_t gaps_closed = 0;   // places of lost blocks that were written over
  std::uint64_t states_taken = 0;  // of a peer, behind whose trim this replica was
};

class Node {
 public:
  // Opens the journal, recovers, counts this open. Blocks; may allocate.
  [[nodiscard]] static Result<std::unique_ptr<Node>> open(const NodeOptions& options, storage::DeviceRef device);

  // Ports may be added while the node runs, on its thread.
  std::uint8_t add_port(dataplane::PortRef port) { return messenger_.add_port(port); }
  void set_route(ReplicaId peer, const dataplane::Route& route);

  // Returns whether there was anything to do. now_us is monotonic.
  bool poll_once(std::uint64_t now_us);
  // The last poll brought nothing but heartbeats, and no write or read is under way: the core may rest.
  [[nodiscard]] bool may_rest() const { return may_rest_; }
  // Seconds since 1970, now and then: for what is kept by age.
  void set_time(std::uint64_t now_s) {
    now_s_ = now_s;
    journal_->set_time(now_s);
  }
  void flush() {
    messenger_.flush();
    if (is_traced()) options_.trace->on_flushed();
  }
  void submit();
  // The last call: asks the device for all that is staged. The journal waits for it when it closes.
  void finish();

  [[nodiscard]] const consensus::Engine& engine() const { return engine_; }
  [[nodiscard]] const consensus::LogState& log() const { return log_; }
  [[nodiscard]] const storage::Journal& journal() const { return *journal_; }
  [[nodiscard]] const dataplane::Messenger& messenger() const { return messenger_; }
  [[nodiscard]] const NodeCounters& counters() const { return counters_; }
  [[nodiscard]] const ReadCounters& read_counters() const { return reads_.counters(); }
  [[nodiscard]] const RepairCounters& repair_counters() const { return repairs_.counters(); }
  [[nodiscard]] const storage::ScrubProgress& scrub_progress() const { return scrub_.progress(); }
  // Places of lost blocks that are not closed yet, as far as they were found.
  [[nodiscard]] std::size_t gaps() const { return gaps_.size(); }
  [[nodiscard]] const Incarnation& incarnation() const { return messenger_.local().incarnation; }
  // The first slot that must be whole here. Those before it are trimmed; they are kept for peers that are farther behind.
  [[nodiscard]] Slot first_needed() const { return std::max(index_->first(), trim_target_); }
  // The first slot that is asked of peers if it is lost here: what is trimmed, too, for peers that are farther behind; but no gap
  // stays open for long for what everybody may have let go of.
  [[nodiscard]] Slot first_wanted() const;
  // The first LSN that can be read here: the log's trim, or later where a peer's checkpoint was installed.
  [[nodiscard]] Lsn first_readable() const { return std::max({log_.trim(), trimmed_, first_lsn_}); }
  [[nodiscard]] wire::StatusAnswer status() const;

 private:
  [[nodiscard]] bool is_traced() const { return options_.trace != nullptr && options_.trace->enabled(); }
  struct Parts;  // what recovery made, before there is a node
  explicit Node(const NodeOptions& options, Parts&& parts);
  void say(const std::string& what) const;
  [[nodiscard]] static Result<> check_members(const Parts& parts, const NodeOptions& options);

  // node.cc: the loop
  bool collect();
  void take_turn();
  void finish_writes();
  void on_message(const dataplane::Message& message);
  void on_refused(const dataplane::Route& route);
  void poll_journal();
  void trace_durable(PersistNumber durable);
  void note_stall();
  void note_absence(std::uint64_t now_us) const;
  void note_leader();
  void propose_batch();
  [[nodiscard]] wire::Asks asks_of_batch() const;
  void retain();
  void drain();
  void grant(consensus::Effects& effects);
  // Whether a turn could bring on anything because of it.
  bool on_peer(const dataplane::Message& message);
  void on_client(const dataplane::Message& message);

  // node_upkeep.cc: what the journal needs and nobody waits for
  void upkeep();
  storage::Journal::Staged stage_own(wire::RecordHeader header, Bytes body);
  [[nodiscard]] PersistNumber engine_durable(PersistNumber durable);
  [[nodiscard]] storage::Watermarks watermarks() const;
  [[nodiscard]] bool may_wait_for_more() const;
  void keep_pages();
  void keep_checkpoint();
  [[nodiscard]] bool can_stage_part() const;
  void begin_checkpoint(bool is_installed);
  void keep_trim();
  void let_go();
  void pin_base();
  [[nodiscard]] std::optional<Slot> find_trim_slot();
  void stage_trim();
  void raise_open_count(std::uint64_t floor);

  // node_transfer.cc: a checkpoint of a peer, for whoever is behind a trim
  [[nodiscard]] bool on_checkpoint_message(const dataplane::Message& message);
  void send_piece(ReplicaId to, Slot applied, std::uint32_t number);
  void keep_transfer();
  void offer_state(ReplicaId to);
  void install(Bytes state);

  // node_repair.cc: making whole again what the disk has lost
  void keep_repairs();
  [[nodiscard]] bool repair(const wire::RecordView& record);
  void finish_page();
  void keep_gaps();
  void add_gap(const storage::Gap& gap);
  [[nodiscard]] bool is_behind(const storage::Gap& gap) const;
  void drop_readable_gaps();
  void begin_sweep();
  [[nodiscard]] bool lies_in_gap(const storage::Location& location) const;
  [[nodiscard]] bool sweep_page(std::uint64_t page);
  void finish_sweep();
  void close_gaps();

  // node_effects.cc: carrying out what the engine asks for
  void carry_out();
  void persist(const consensus::Persist& record);
  // To its receiver, and of those behind it to each that gets the same. Returns how many messages these are.
  std::size_t send(std::span<const consensus::Send> messages);
  void commit(const consensus::Commit& slot);
  void change_leadership();
  [[nodiscard]] Slot durable_slot();

  // node_clients.cc: what clients ask
  [[nodiscard]] bool has_room_for_appends() const;
  void on_open_session(const wire::OpenSession& request, const dataplane::Message& message);
  void on_append(const wire::AppendView& request, const dataplane::Message& message);
  void on_tail(const wire::Tail& request, const dataplane::Message& message);
  void on_trim(const wire::Trim& request, const dataplane::Message& message);
  void answer_trims(Slot slot, bool has_trimmed);
  void on_read_request(const wire::Read& request, const dataplane::Message& message);
  void answer_appended(const AckWait& asked, wire::AckLevel level, const dataplane::Route& client);
  void wait_for_level(const wire::Append& request, const Intake::Admission& admission);
  void answer_waits();
  void answer_run(const consensus::AppliedRun& run);
  void flush_answer();
  void answer_tails();
  void refuse(const dataplane::Route& client, wire::Refused refused);
  template <class T>
  void answer(const dataplane::Route& client, wire::MessageType type, const T& payload);

  NodeOptions options_;
  std::unique_ptr<storage::Journal> journal_;
  dataplane::Messenger messenger_;
  BodyPool pool_;
  consensus::Engine engine_;
  std::unique_ptr<consensus::LogState> log_state_;
  consensus::LogState& log_;
  std::unique_ptr<SlotIndex> index_;
  Intake intake_;
  Reads reads_;
  CheckpointWriter checkpoint_;
  Repairs repairs_;
  Transfer transfer_;
  storage::CheckpointReader base_reader_;  // of the state to be served
  storage::Scrub scrub_;
  struct OpenGap {
    storage::Gap gap;
    std::uint64_t pass = 0;  // of the scrub, the last that saw it
  };
  FixedVector<OpenGap, 16> gaps_;              // not closed yet
  FixedVector<storage::Location, 16> healed_;  // closed; to be swept because the scrub came by
  std::optional<std::uint64_t> moved_by_;      // the block up to which everything that lay in the gaps lies elsewhere again
  std::uint64_t sweep_page_ = 0;
  bool sweep_is_clean_ = true;
  bool closing_ = false;

  consensus::Effects effects_;
  std::vector<storage::Journal::Staged> staged_;  // by slot: where its newest record lies
  std::array<wire::PromisedSlot, window_slots_max> promise_slots_{};
  std::array<std::byte, wire::encode_scratch_bytes> scratch_{};
  std::vector<dataplane::Route> routes_;  // by replica id
  std::vector<std::uint8_t> has_route_;

  // A session that a client asked for. It is answered by the value that we proposed for it and by no other: an opening of the
  // same client that a former leader proposed may be a session that the client has used since.
  struct Opening {
    Uuid client;
    std::uint64_t request = 0;
    dataplane::Route route;
    Slot slot;  // where we proposed it; none while it is in the open batch
  };
  struct TailWait {
    std::uint64_t request = 0;
    dataplane::Route route;
    Probe probe;
  };
  struct TrimWait {
    std::uint64_t request = 0;
    dataplane::Route route;
    Slot slot;  // where we proposed it; none while it is in the open batch
  };
  std::array<dataplane::Route, sessions_max> session_routes_{};  // by session place
  std::array<SessionId, sessions_max> session_route_ids_{};      // whose route it is
  Credits credits_;
  Refusals refusals_;
  AckWaits waits_;
  Ring<Opening> openings_;
  Ring<TailWait> tails_;
  Ring<TrimWait> trims_;
  consensus::AppliedRun pending_answer_;  // runs of one session that follow each other are answered together
  Slot durable_slot_;
  Ring<PersistNumber> own_records_;  // staged by the node and not by the engine, and not durable yet
  std::uint64_t own_records_durable_ = 0;
  std::vector<std::byte> page_body_;
  Lsn trimmed_;                      // the log's trim that was looked up last
  Slot trim_target_;                 // and its slot
  Slot trim_slot_;                   // the first that is kept; at most trim_target_, see let_go
  storage::CheckpointAt trim_base_;  // ends right in front of trim_slot_, see pin_base
  PersistNumber trim_record_;
  bool trim_is_stale_ = false;  // the record says less than could be said, see pin_base; it still witnesses the trim
  std::uint64_t trim_staged_us_ = 0;
  Lsn first_lsn_;                        // that may be read here: a state that was installed came without its entries
  std::optional<Slot> installing_from_;  // what the journal accounts for, until the installed state is staged
  std::uint64_t gap_found_us_ = 0;       // the newest
  std::uint64_t upkeep_us_ = 0;
  std::uint64_t checkpoint_tried_us_ = 0;
  std::vector<SegmentFacts> segment_facts_;
  std::uint64_t now_s_ = 0;
  std::uint64_t now_us_ = 0;
  std::uint64_t started_us_ = 0;
  std::uint64_t turned_us_ = 0;
  std::uint64_t checked_us_ = 0;
  std::uint64_t retained_us_ = 0;
  bool failed_ = false;
  bool is_stalled_ = false;
  ReplicaId noted_leader_;
  bool takes_appends_ = false;  // looked at once a turn
  struct Room {
    bool for_vote = false;  // of the largest size
    bool for_control = false;
  };
  std::optional<Room> room_;        // in the journal; to be looked at again once something was staged, or completed, or submitted
  bool has_turned_ = false;         // since the last submit
  bool wants_turn_ = false;         // for what this poll brought
  bool is_drained_ = true;          // nothing of the engine's waits to be carried out
  bool is_at_leisure_ = false;      // nobody waits for the disk because of what is being carried out
  bool disk_is_awaited_ = false;    // something was staged that somebody waits for, and the device was not asked for it yet
  std::uint64_t staged_us_ = 0;     // when the first record was staged that the device was not asked for
  std::size_t staged_records_ = 0;  // since then
  bool may_rest_ = true;
  NodeCounters counters_;
};

}  // namespace synod::replica
