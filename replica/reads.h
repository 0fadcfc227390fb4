// Reading the log back from the journal: for clients (by LSN) and for peers that catch up (by slot). The journal is the only
// copy. A read needs the index page of its slot, and fetches it first if it is not in memory.
//
// An answer holds as many entries as fit, from several slots if their records are at hand. Who reads in order (read_streams.h)
// finds them at hand: while it takes the records of one stretch of the journal, the next one is read. A stretch is a copy that
// may be out of date, so each record in it is checked against the index like any other, and what does not pass is read alone.
//
// Requests wait in bounded queues; at most the journal's limit of reads is in flight. Peers get at most half of it, so that a
// laggard does not starve readers. Thread: the node's. No heap after construction.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/ring.h"
#include "consensus/effects.h"
#include "dataplane/messenger.h"
#include "replica/read_streams.h"
#include "replica/slot_index.h"
#include "storage/journal.h"
#include "wire/client.h"

namespace synod::replica {

struct ReadCounters {
  std::uint64_t answers = 0;          // to clients
  std::uint64_t answers_at_once = 0;  // of those, from what was at hand
  std::uint64_t stretches = 0;        // read ahead
};

class Reads {
 public:
  Reads(dataplane::Messenger& messenger, storage::Journal& journal, SlotIndex& index);

  // Where a peer's messages go.
  void set_route(ReplicaId peer, const dataplane::Route& route);

  // A client's read, already validated: from < to, from is committed here. It waits until its record is durable here. False: too
  // many wait.
  [[nodiscard]] bool read(const wire::Read& request, const dataplane::Route& client);
  // A peer's catch-up. What does not fit, or has no way back yet, is dropped; the peer asks again.
  void serve(const consensus::Serve& serve);

  // Whether there is something to start, whatever comes in meanwhile.
  [[nodiscard]] bool are_waiting() const { return !clients_.empty() || !serves_.empty(); }
  // Starts reads while there is room. `durable_slot`: records up to there can be read.
  void start(Slot durable_slot, Lsn first, Lsn tail, Ballot ballot, Slot commit);
  void on_read(const storage::ReadResult& result, Lsn tail);
  // Whether a page of the index is in memory. If not, it is read now or as soon as there is room: ask again.
  [[nodiscard]] bool has_page(std::uint64_t page);
  // A record that cannot be read, or a page of the index; each is told once for each attempt.
  struct Unreadable {
    Slot slot;  // of a page: its first
    bool is_page = false;
  };
  [[nodiscard]] std::optional<Unreadable> next_unreadable();
  // A peer that asked for what was trimmed here.
  [[nodiscard]] std::optional<ReplicaId> next_below() { return std::exchange(below_, std::nullopt); }
  // The disk failed: nothing more becomes durable. Who waits asks again.
  void forget_waiting() { clients_.clear(); }
  [[nodiscard]] const ReadCounters& counters() const { return counters_; }

 private:
  struct ClientRead {
    wire::Read request;
    dataplane::Route client;
    bool is_alone = false;  // it has waited for a stretch: should its record still not be at hand, that alone is read
  };
  struct InFlight {
    enum class Kind : std::uint8_t { none, client, peer, page } kind = Kind::none;
    ClientRead client;
    ReplicaId peer;
    Slot slot;  // of a page: its first
    storage::Location location;
  };

  [[nodiscard]] InFlight* free_place();
  bool begin(InFlight& place, const InFlight& read);
  void on_page(const InFlight& read, const storage::ReadResult& result);
  void tell_unreadable(Slot slot, bool is_page);
  void start_clients(Lsn first);
  void start_serves();
  [[nodiscard]] bool take_up(ClientRead& client, Slot slot);
  [[nodiscard]] bool is_ours(Slot slot, const wire::RecordView& record) const;
  [[nodiscard]] std::optional<wire::RecordView> held(Slot slot);
  [[nodiscard]] Lsn end_of(Slot slot) const;
  [[nodiscard]] bool read_ahead(ReadStream& stream, Slot from);
  void answer_client(const ClientRead& client, Slot slot, const wire::RecordView& first);
  void answer_peer(const InFlight& read, const wire::RecordView& record);

  dataplane::Messenger& messenger_;
  storage::Journal& journal_;
  SlotIndex& index_;
  Ring<ClientRead> clients_;
  Ring<consensus::Serve> serves_;
  Ring<Unreadable> unreadable_;
  std::optional<ReplicaId> below_;
  std::vector<InFlight> in_flight_;
  std::size_t peers_in_flight_ = 0;
  std::vector<std::optional<dataplane::Route>> routes_;  // by replica id; small ids
  std::vector<std::byte> answer_;
  ReadStreams streams_;
  ReadCounters counters_;
  std::size_t answers_left_ = 0;  // from what is at hand, in this turn
  Slot durable_slot_;
  Lsn tail_;
  Ballot ballot_;
  Slot commit_;
};

}  // namespace synod::replica
