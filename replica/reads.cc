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

constexpr std::size_t answers_at_once_max = 4;  // in one turn: a burst of packets must not keep votes waiting

// The entries of an answer, behind each other: the first whatever its size, more while they stay within bytes_max.
struct Gathered {
  MutableBytes to;
  std::size_t bytes_max = 0;
  std::size_t used = 0;
  std::uint32_t count = 0;
  bool is_full = false;
};

// Takes entries of a body, at most `count_max` from `from_place` on.
void gather_entries(const wire::BodyView& body, std::uint64_t from_place, std::uint64_t count_max, Gathered& answer) {
  std::uint64_t place = 0;
  const std::uint64_t end_place = from_place + count_max;
  body.for_each_run([&](const wire::RunView& run) {
    if (place + run.header.entries <= from_place || answer.is_full) {
      place += run.header.entries;
      return;
    }
    Bytes rest = run.entries;
    for (std::uint32_t i = 0; i < run.header.entries && place < end_place; ++i, ++place) {
      const wire::EntrySplit split = wire::split_entry(rest);
      const Bytes entry = rest.first(rest.size() - split.rest.size());
      rest = split.rest;
      if (place < from_place) continue;
      const std::size_t used = answer.used + entry.size();
      answer.is_full = (answer.count > 0 && used > answer.bytes_max) || used > answer.to.size();
      if (answer.is_full) return;
      copy(answer.to.subspan(answer.used), entry);
      answer.used = used;
      ++answer.count;
    }
  });
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

void Reads::start(Slot durable_slot, Lsn first, Lsn tail, Ballot ballot, Slot commit) {
  durable_slot_ = durable_slot;
  tail_ = tail;
  ballot_ = ballot;
  commit_ = commit;
  answers_left_ = answers_at_once_max;
  start_clients(first);
  start_serves();
}

void Reads::start_clients(Lsn first) {
  for (std::size_t waiting = clients_.size(); waiting > 0; --waiting) {
    ClientRead client = clients_.front();
    clients_.pop();
    // Trimmed while it waited: it asks again, and is told.
    if (index_.first() > index_.commit()) continue;
    if (client.request.from < first && !mutant(Mutant::trimmed_is_read)) continue;
    const std::uint64_t page = index_.page_with(client.request.from);
    const auto slot = has_page(page) ? index_.find(client.request.from) : std::nullopt;
    if (slot && client.request.from < index_[*slot].base) continue;
    // It goes to the end of the queue while its page is being read, or while its record is committed by the others' disks and not
    // on ours yet.
    const bool waits = !slot || *slot > durable_slot_ || !take_up(client, *slot);
    if (waits) clients_.push(client);
  }
}

// Answers a read, or has its record read. False: it must wait.
bool Reads::take_up(ClientRead& client, Slot slot) {
  if (const auto record = held(slot)) {
    if (answers_left_ == 0) return false;
    --answers_left_;
    ++counters_.answers_at_once;
    answer_client(client, slot, *record);
    return true;
  }
  const storage::Location location = index_[slot].location;
  if (journal_.is_at_hand(location)) return false;  // it is coming
  ReadStream* stream = client.is_alone ? nullptr : streams_.find(client.request.from);
  client.is_alone = true;
  if (stream != nullptr && read_ahead(*stream, slot)) return false;
  InFlight* place = free_place();
  if (place == nullptr) return false;
  return begin(*place, {.kind = InFlight::Kind::client, .client = client, .slot = slot, .location = location}) ||
         location.offset == 0;
}

// A whole record, and not the one that was written there: the disk has misdirected a read or a write, or the place was used
// again.
bool Reads::is_ours(Slot slot, const wire::RecordView& record) const {
  return mutant(Mutant::misdirected_accepted) ||
         (record.header.slot == slot && record.header.body_checksum == index_[slot].checksum);
}

std::optional<wire::RecordView> Reads::held(Slot slot) {
  const storage::Location location = index_[slot].location;
  const auto record = journal_.held(location);
  if (!record || is_ours(slot, *record)) return record;
  journal_.drop_held(location);
  return std::nullopt;
}

// The LSN behind a committed slot.
Lsn Reads::end_of(Slot slot) const {
  if (slot == index_.commit()) return tail_;
  const Slot next = slot + 1;
  return page_of(next) == page_of(slot) ? index_[next].base : index_.directory(page_of(next)).base;
}

// Has the records from a slot on read: those that follow each other in the journal, as many as fit into a stretch.
bool Reads::read_ahead(ReadStream& stream, Slot from) {
  if (from > durable_slot_ || !has_page(page_of(from))) return false;
  storage::Location stretch = index_[from].location;
  if (stretch.offset == 0 || journal_.is_at_hand(stretch)) return false;
  Slot to = from + 1;
  for (; to <= durable_slot_ && has_page(page_of(to)); ++to) {
    const IndexedSlot& next = index_[to];
    // (A record that was journalled again lies elsewhere, and is perhaps not durable there yet.)
    if (next.location.offset < stretch.offset + stretch.bytes || next.number > journal_.durable()) break;
    const std::uint64_t bytes = next.location.offset + next.location.bytes - stretch.offset;
    if (bytes > storage::Journal::stretch_bytes) break;
    const storage::Location longer{.offset = stretch.offset, .bytes = static_cast<std::uint32_t>(bytes)};
    if (!journal_.fits_stretch(longer)) break;
    stretch = longer;
  }
  if (!journal_.read_ahead(stretch)) return false;
  stream.ahead_from = from;
  stream.ahead_to = to;
  ++counters_.stretches;
  return true;
}

void Reads::start_serves() {
  while (!serves_.empty() && peers_in_flight_ < reads_in_flight_max / 2) {
    InFlight* place = free_place();
    if (place == nullptr) return;
    consensus::Serve& serve = serves_.front();
    if (serve.from < index_.first()) below_ = serve.to;
    if (serve.from > serve.last || serve.from > durable_slot_ || serve.from < index_.first()) {
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
  tail_ = tail;
  // Unreadable is not absent: we say nothing, and who asked turns to another replica.
  if (!result.record.has_value() || !is_ours(read.slot, *result.record)) return tell_unreadable(read.slot, false);
  if (read.kind == InFlight::Kind::client) answer_client(read.client, read.slot, *result.record);
  if (read.kind == InFlight::Kind::peer) answer_peer(read, *result.record);
}

void Reads::on_page(const InFlight& read, const storage::ReadResult& result) {
  const std::uint64_t page = page_of(read.slot);
  const bool is_ours = result.record.has_value() && result.record->header.kind == wire::RecordKind::index &&
                       index_.loaded(page, result.record->body);
  if (!is_ours && page >= index_.first_page() && index_.location_of(page) == read.location) tell_unreadable(read.slot, true);
}

// `first` is the record of `slot`, in which the answer begins.
void Reads::answer_client(const ClientRead& client, Slot slot, const wire::RecordView& first) {
  const wire::Read& request = client.request;
  Gathered answer{.to = MutableBytes(answer_).subspan(sizeof(wire::ReadAnswer)), .bytes_max = request.bytes_max};
  Lsn at = request.from;
  Slot next = slot;
  const Slot last = std::max(slot, std::min(durable_slot_, index_.commit()));
  for (; next <= last && index_.is_resident(page_of(next)); ++next) {
    const Lsn end = std::min(end_of(next), request.to);
    if (end <= at) continue;  // it takes no LSN: it holds none, or it is void
    const auto record = next == slot ? std::optional(first) : held(next);
    const auto body = record ? wire::BodyView::decode(record->body) : std::unexpected(wire::BodyFault::too_short);
    if (!body) break;
    gather_entries(*body, at - index_[next].base, end - at, answer);
    at = request.from + answer.count;
    if (at < end || at >= request.to) break;
  }
  if (answer.count == 0) return;
  ++counters_.answers;
  store(MutableBytes(answer_),
        wire::ReadAnswer{.request = request.request, .from = request.from, .tail = tail_, .count = answer.count});
  messenger_.send(client.client, {.type = wire::MessageType::read_answer, .ballot = ballot_, .commit = commit_},
                  Bytes(answer_).first(sizeof(wire::ReadAnswer) + answer.used));
  ReadStream* const former = streams_.find(request.from);
  ReadStream& stream = streams_.answered(former, at);
  // Its reader has come to what was asked for last: time for more.
  if (former != nullptr && next >= stream.ahead_from) (void)read_ahead(stream, std::max(next, stream.ahead_to));
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
