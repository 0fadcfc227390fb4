#include "bench/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "replica/stop.h"

namespace synod::bench {

namespace {

constexpr std::uint64_t piece_entries = 1024;  // read by one call after the other
constexpr std::uint32_t read_bytes = 64U << 10;
constexpr std::uint64_t read_timeout_us = 5'000'000;
constexpr std::uint64_t stuck_ns_max = 10'000'000'000;

class Reader {
 public:
  Reader(Link& link, Written& written, Payloads& payloads, Progress& progress)
      : link_(link), replica_(link.leader()), stretches_(written.sorted()), payloads_(payloads), progress_(progress) {
    verified_.written = written.entries();
    verified_.wrong = written.overlaps();
  }

  Result<Verified> run() {
    const std::uint64_t begin_ns = dataplane::now_ns();
    progress_ns_ = begin_ns;
    std::uint64_t now_ns = begin_ns;
    while (true) {
      const std::uint64_t before = verified_.entries + verified_.wrong;
      std::size_t busy = 0;
      for (std::size_t i = 0; i < Link::calls_max; ++i) {
        auto working = proceed(i, now_ns);
        if (!working) return std::unexpected(working.error());
        busy += *working ? 1 : 0;
      }
      if (busy == 0) break;
      link_.turn(now_ns);
      now_ns = dataplane::now_ns();
      if (verified_.entries + verified_.wrong > before) progress_ns_ = now_ns;
      progress_.verified.store(verified_.entries, std::memory_order_relaxed);
      if (replica::stop_requested) return fail("interrupted");
      if (now_ns - progress_ns_ > stuck_ns_max)
        return fail("reading back got stuck: the replica does not have what it acknowledged");
    }
    verified_.seconds = static_cast<double>(now_ns - begin_ns) / 1e9;
    return verified_;
  }

 private:
  // What one call reads: lsn .. end - 1, of which the next entry of ours is entry `taken` of a stretch.
  struct Piece {
    Lsn lsn;
    Lsn end;
    std::size_t stretch = 0;
    std::uint64_t taken = 0;
  };

  Result<bool> proceed(std::size_t place, std::uint64_t now_ns) {
    client::Call& call = link_.calls()[place];
    Piece& piece = pieces_[place];
    if (call.waiting()) return true;
    if (call.state() == client::CallState::answered) {
      take(piece, call.read(), call.entries());
    } else if (call.state() != client::CallState::idle) {
      const char* const why = call.refusal() ? wire::name(*call.refusal()) : "no answer";
      return fail(fmt::format("cannot read back from LSN {}: {}", piece.lsn.value(), why));
    }
    call.cancel();
    if (piece.lsn == piece.end && !next(piece)) return false;
    call.start_read(link_.next_request(), piece.lsn, piece.end, read_bytes, replica_, now_ns / 1000, read_timeout_us);
    return true;
  }

  void take(Piece& piece, const wire::ReadAnswer& answer, Bytes entries) {
    if (answer.from != piece.lsn) return;
    for (std::uint32_t i = 0; i < answer.count && piece.lsn < piece.end; ++i) {
      const wire::EntrySplit split = wire::split_entry(entries);
      compare(piece, split.payload);
      entries = split.rest;
      ++piece.lsn;
    }
  }

  void compare(Piece& piece, Bytes payload) {
    const Stretch& stretch = stretches_[piece.stretch];
    if (piece.lsn != stretch.lsn + piece.taken) return;  // another client's
    const EntryKey key{stretch.key.client, stretch.key.number + piece.taken};
    ++(payloads_.matches(key, payload) ? verified_.entries : verified_.wrong);
    if (++piece.taken < stretch.count) return;
    ++piece.stretch;
    piece.taken = 0;
  }

  // The next piece: it begins with an entry of ours, and ends before the next gap that is as long as a piece.
  bool next(Piece& piece) {
    if (stretch_ == stretches_.size()) return false;
    const Stretch& first = stretches_[stretch_];
    piece = {.lsn = first.lsn + taken_, .end = first.lsn + taken_, .stretch = stretch_, .taken = taken_};
    const Lsn limit = piece.lsn + piece_entries;
    while (stretch_ < stretches_.size() && stretches_[stretch_].lsn < limit) {
      const Stretch& stretch = stretches_[stretch_];
      piece.end = std::min(limit, stretch.lsn + stretch.count);
      taken_ = piece.end - stretch.lsn;
      if (taken_ < stretch.count) return true;
      ++stretch_;
      taken_ = 0;
    }
    return true;
  }

  Link& link_;
  client::Peer replica_;
  const std::vector<Stretch>& stretches_;
  Payloads& payloads_;
  Progress& progress_;
  std::array<Piece, Link::calls_max> pieces_{};
  std::size_t stretch_ = 0;
  std::uint64_t taken_ = 0;  // of that stretch
  std::uint64_t progress_ns_ = 0;
  Verified verified_;
};

}  // namespace

Result<Verified> read_back(Link& link, Written& written, Payloads& payloads, Progress& progress) {
  return Reader(link, written, payloads, progress).run();
}

}  // namespace synod::bench
