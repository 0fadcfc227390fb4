#include "replica/reads.h"

#include <algorithm>
#include <utility>

#include "base/mutant.h"
#include "replica/message_id.h"
#include "wire/body.h"
#include "wire/message.h"

namespace synod::replica {

namespace {

constexpr std::size_t client_reads_max = 256;
constexpr std::size_t serves_max = 64;
constexpr std::size_t reads_in_flight_max = 16;

// Copies the entries of a body from `from_place` on behind each other: the first whatever its size, more while they stay within
// bytes_max. Returns the bytes used; `count` says how many entries.
std::size_t gather_entries(const wire::BodyView& body, std::uint64_t from_place, std::uint64_t count_max, std::size_t bytes_max,
                           MutableBytes to, std::uint32_t& count) {
  std::size_t used = 0;
  std::uint64_t place = 0;
  bool full = false;
  body.for_each_run([&](const wire::RunView& run) {
    Bytes rest = run.entries;
    for (std::uint32_t i = 0; i < run.header.entries && !full; ++i, ++place) {
      const wire::EntrySplit split = wire::split_entry(rest);
      const Bytes entry = rest.first(rest.size() - split.rest.size());
      rest = split.rest;
      if (place < from_place) continue;
      full = count == count_max || (count > 0 && used + entry.size() > bytes_max) || used + entry.size() > to.size();
      if (full) break;
      copy(to.subspan(used), entry);
      used += entry.size();
      ++count;
    }
  });
  return used;
}

}  // namespace

Reads::Reads(dataplane::Messenger& messenger, storage::Journal& journal, const SlotIndex& index)
    : messenger_(messenger),
      journal_(journal),
      index_(index),
      clients_(client_reads_max),
      serves_(serves_max),
      in_flight_(reads_in_flight_max),
      answer_(sizeof(wire::ReadAnswer) + wire::request_entry_bytes_max) {}

void Reads::set_route(ReplicaId peer, const dataplane::Route& route) {
  if (routes_.size() <= peer.value()) routes_.resize(peer.value() + std::size_t{1});
  routes_[peer.value()] = route;
}

bool Reads::read(const wire::Read& request, const dataplane::Route& client) {
  for (std::size_t i = 0; i < clients_.size(); ++i) {
    if (clients_[i].client == client && clients_[i].request.request == request.request) return true;  // asked again
  }
  if (clients_.full()) return false;
  clients_.push({request, client});
  return true;
}

void Reads::serve(const consensus::Serve& serve) {
  // A request may come by another way before the port to the peer is attached.
  const bool has_route = serve.to.value() < routes_.size() && routes_[serve.to.value()].has_value();
  if (!has_route) return;
  // A laggard repeats its request while the first is still being served: one queued range a peer is enough.
  for (std::size_t i = 0; i < serves_.size(); ++i) {
    if (serves_[i].to != serve.to) continue;
    serves_[i].last = std::max(serves_[i].last, serve.last);
    return;
  }
  if (!serves_.full()) serves_.push(serve);
}

Reads::InFlight* Reads::free_place() {
  for (InFlight& read : in_flight_) {
    if (read.kind == InFlight::Kind::none) return &read;
  }
  return nullptr;
}

bool Reads::begin(InFlight& place, const InFlight& read) {
  const IndexedSlot& indexed = index_[read.slot];
  const auto token = static_cast<std::uint64_t>(&place - in_flight_.data());
  if (!journal_.read({indexed.offset, indexed.bytes}, token)) return false;
  place = read;
  return true;
}

void Reads::start(Slot durable_slot, Ballot ballot, Slot commit) {
  ballot_ = ballot;
  commit_ = commit;
  start_clients(durable_slot);
  start_serves(durable_slot);
}

void Reads::start_clients(Slot durable_slot) {
  for (std::size_t waiting = clients_.size(); waiting > 0; --waiting) {
    const ClientRead client = clients_.front();
    const Slot slot = index_.find(client.request.from);
    if (slot > durable_slot) {
      // Committed by the others' disks, and not on ours yet: it goes to the end of the queue.
      clients_.pop();
      clients_.push(client);
      continue;
    }
    InFlight* place = free_place();
    if (place == nullptr || !begin(*place, {InFlight::Kind::client, client, {}, slot})) return;
    clients_.pop();
  }
}

void Reads::start_serves(Slot durable_slot) {
  while (!serves_.empty() && peers_in_flight_ < reads_in_flight_max / 2) {
    InFlight* place = free_place();
    if (place == nullptr) return;
    consensus::Serve& serve = serves_.front();
    if (serve.from > serve.last || serve.from > durable_slot) {
      serves_.pop();  // done, or not yet on our disk: the peer asks again
      continue;
    }
    if (!begin(*place, {InFlight::Kind::peer, {}, serve.to, serve.from})) return;
    ++peers_in_flight_;
    ++serve.from;
  }
}

void Reads::on_read(const storage::ReadResult& result, Lsn tail) {
  CHECK_LT(result.token, in_flight_.size());
  const InFlight read = std::exchange(in_flight_[result.token], {});
  CHECK(read.kind != InFlight::Kind::none);
  if (read.kind == InFlight::Kind::peer) --peers_in_flight_;
  // Unreadable is not absent: we say nothing, and who asked turns to another replica.
  if (!result.record.has_value()) return;
  // A whole record, and not the one that was written there: the disk has misdirected a read or a write.
  const bool is_ours =
      result.record->header.slot == read.slot && result.record->header.body_checksum == index_[read.slot].checksum;
  if (!is_ours && !mutant(Mutant::misdirected_accepted)) return;
  if (read.kind == InFlight::Kind::client) answer_client(read, *result.record, tail);
  if (read.kind == InFlight::Kind::peer) answer_peer(read, *result.record);
}

void Reads::answer_client(const InFlight& read, const wire::RecordView& record, Lsn tail) {
  const auto body = wire::BodyView::decode(record.body);
  if (!body.has_value()) return;
  const wire::Read& request = read.client.request;
  wire::ReadAnswer answer{.request = request.request, .from = request.from, .tail = tail};
  const std::uint64_t from_place = request.from - index_[read.slot].base;
  const std::size_t used =
      gather_entries(*body, from_place, request.to - request.from, std::min<std::size_t>(request.bytes_max, answer_.size()),
                     MutableBytes(answer_).subspan(sizeof(answer)), answer.count);
  store(MutableBytes(answer_), answer);
  messenger_.send(read.client.client, {.type = wire::MessageType::read_answer, .ballot = ballot_, .commit = commit_},
                  Bytes(answer_).first(sizeof(answer) + used));
}

void Reads::answer_peer(const InFlight& read, const wire::RecordView& record) {
  messenger_.send(*routes_[read.peer.value()],
                  {.type = wire::MessageType::chosen,
                   .destination = read.peer,
                   .ballot = ballot_,
                   .message_id = stable_message_id(wire::MessageType::chosen, record.header.ballot, record.header.slot),
                   .commit = commit_},
                  bytes_of(record.header), record.body);
}

}  // namespace synod::replica
