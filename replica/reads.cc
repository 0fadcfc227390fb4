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
constexpr std::size_t unreadable_max = 64;

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

Reads::Reads(dataplane::Messenger& messenger, storage::Journal& journal, SlotIndex& index)
    : messenger_(messenger),
      journal_(journal),
      index_(index),
      clients_(client_reads_max),
      serves_(serves_max),
      unreadable_(unreadable_max),
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
  const auto token = static_cast<std::uint64_t>(&place - in_flight_.data());
  if (read.location.offset == 0) {
    tell_unreadable(read.slot, read.kind == InFlight::Kind::page);
    return false;
  }
  if (!journal_.read(read.location, token)) return false;
  place = read;
  return true;
}

bool Reads::has_page(std::uint64_t page) {
  if (index_.is_resident(page)) return true;
  const Slot first = first_of_page(page);
  for (const InFlight& read : in_flight_) {
    if (read.kind == InFlight::Kind::page && read.slot == first) return false;
  }
  InFlight* place = free_place();
  if (place != nullptr) {
    (void)begin(*place, {.kind = InFlight::Kind::page, .slot = first, .location = index_.location_of(page)});
  }
  return false;
}

void Reads::tell_unreadable(Slot slot, bool is_page) {
  if (!unreadable_.full()) unreadable_.push({slot, is_page});
}

std::optional<Reads::Unreadable> Reads::next_unreadable() {
  if (unreadable_.empty()) return std::nullopt;
  const Unreadable next = unreadable_.front();
  unreadable_.pop();
  return next;
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
    clients_.pop();
    // Trimmed while it waited: it asks again, and is told.
    if (index_.first() > index_.commit()) continue;
    const std::uint64_t page = index_.page_with(client.request.from);
    const auto slot = has_page(page) ? index_.find(client.request.from) : std::nullopt;
    // It goes to the end of the queue while its page is being read, or while its record is committed by the others' disks and not
    // on ours yet.
    if (!slot || *slot > durable_slot) {
      clients_.push(client);
      continue;
    }
    InFlight* place = free_place();
    const bool begun =
        place != nullptr &&
        begin(*place, {.kind = InFlight::Kind::client, .client = client, .slot = *slot, .location = index_[*slot].location});
    if (!begun && index_[*slot].location.offset != 0) clients_.push(client);
  }
}

void Reads::start_serves(Slot durable_slot) {
  while (!serves_.empty() && peers_in_flight_ < reads_in_flight_max / 2) {
    InFlight* place = free_place();
    if (place == nullptr) return;
    consensus::Serve& serve = serves_.front();
    if (serve.from < index_.first()) below_ = serve.to;
    if (serve.from > serve.last || serve.from > durable_slot || serve.from < index_.first()) {
      serves_.pop();  // done, or not yet on our disk, or not any more: the peer asks again
      continue;
    }
    if (!has_page(page_of(serve.from))) return;
    const bool begun = begin(
        *place, {.kind = InFlight::Kind::peer, .peer = serve.to, .slot = serve.from, .location = index_[serve.from].location});
    if (!begun && index_[serve.from].location.offset != 0) return;
    if (begun) ++peers_in_flight_;
    ++serve.from;
  }
}

void Reads::on_read(const storage::ReadResult& result, Lsn tail) {
  CHECK_LT(result.token, in_flight_.size());
  const InFlight read = std::exchange(in_flight_[result.token], {});
  CHECK(read.kind != InFlight::Kind::none);
  if (read.kind == InFlight::Kind::page) return on_page(read, result);
  if (read.kind == InFlight::Kind::peer) --peers_in_flight_;
  if (read.slot < index_.first() || !index_.is_resident(page_of(read.slot))) return;  // whoever asked asks again
  const IndexedSlot& indexed = index_[read.slot];
  // A whole record, and not the one that was written there: the disk has misdirected a read or a write.
  const bool is_ours = result.record.has_value() &&
                       (mutant(Mutant::misdirected_accepted) ||
                        (result.record->header.slot == read.slot && result.record->header.body_checksum == indexed.checksum));
  // Unreadable is not absent: we say nothing, and who asked turns to another replica.
  if (!is_ours) return tell_unreadable(read.slot, false);
  if (read.kind == InFlight::Kind::client) answer_client(read, *result.record, tail);
  if (read.kind == InFlight::Kind::peer) answer_peer(read, *result.record);
}

void Reads::on_page(const InFlight& read, const storage::ReadResult& result) {
  const std::uint64_t page = page_of(read.slot);
  const bool is_ours = result.record.has_value() && result.record->header.kind == wire::RecordKind::index &&
                       index_.loaded(page, result.record->body);
  if (!is_ours && page >= index_.first_page() && index_.location_of(page) == read.location) tell_unreadable(read.slot, true);
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
