// Reading the log back from the journal: for clients (by LSN) and for peers that catch up (by slot). The journal is the only
// copy. A read needs the index page of its slot, and fetches it first if it is not in memory.
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
#include "replica/slot_index.h"
#include "storage/journal.h"
#include "wire/client.h"

namespace synod::replica {

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

  // Starts reads while there is room. `durable_slot`: records up to there can be read.
  void start(Slot durable_slot, Ballot ballot, Slot commit);
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

 private:
  struct ClientRead {
    wire::Read request;
    dataplane::Route client;
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
  void start_clients(Slot durable_slot);
  void start_serves(Slot durable_slot);
  void answer_client(const InFlight& read, const wire::RecordView& record, Lsn tail);
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
  Ballot ballot_;
  Slot commit_;
};

}  // namespace synod::replica
