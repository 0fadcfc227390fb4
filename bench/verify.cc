#include "bench/verify.h"

#include <fmt/format.h>
#include <sched.h>

#include <array>

#include "replica/stop.h"

namespace synod::bench {

namespace {

constexpr std::uint64_t piece_entries = 1024;  // of one stretch, read by one call after the other
constexpr std::uint32_t read_bytes = 64U << 10;
constexpr std::uint64_t read_timeout_us = 5'000'000;
constexpr std::uint64_t stuck_ns_max = 10'000'000'000;

class Verifier {
 public:
  Verifier(Link& link, const client::Peer& replica, const Written& written, Payloads& payloads, Progress& progress)
      : link_(link), replica_(replica), written_(written), payloads_(payloads), progress_(progress) {}

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
  struct Piece {
    std::uint64_t number = 0;
    Lsn lsn;
    std::uint64_t count = 0;
  };

  // Takes the answer of one call and lets it read on. False: there is nothing left for it.
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
    if (piece.count == 0 && !next(piece)) return false;
    call.start_read(link_.session().next_request(), piece.lsn, piece.lsn + piece.count, read_bytes, replica_, now_ns / 1000,
                    read_timeout_us);
    return true;
  }

  void take(Piece& piece, const wire::ReadAnswer& answer, Bytes entries) {
    if (answer.from != piece.lsn) return;
    for (std::uint32_t i = 0; i < answer.count && piece.count > 0; ++i) {
      const wire::EntrySplit split = wire::split_entry(entries);
      if (payloads_.matches(piece.number, split.payload))
        ++verified_.entries;
      else
        ++verified_.wrong;
      entries = split.rest;
      ++piece.number;
      ++piece.lsn;
      --piece.count;
    }
  }

  bool next(Piece& piece) {
    const auto& stretches = written_.stretches();
    if (stretch_ == stretches.size()) return false;
    const Stretch& stretch = stretches[stretch_];
    const std::uint64_t count = std::min(piece_entries, stretch.count - taken_);
    piece = {stretch.number + taken_, stretch.lsn + taken_, count};
    taken_ += count;
    if (taken_ == stretch.count) {
      ++stretch_;
      taken_ = 0;
    }
    return true;
  }

  Link& link_;
  const client::Peer& replica_;
  const Written& written_;
  Payloads& payloads_;
  Progress& progress_;
  std::array<Piece, Link::calls_max> pieces_{};
  std::size_t stretch_ = 0;
  std::uint64_t taken_ = 0;  // of that stretch
  std::uint64_t progress_ns_ = 0;
  Verified verified_;
};

}  // namespace

Result<Verified> verify(Link& link, const client::Peer& replica, const Written& written, Payloads& payloads, Progress& progress) {
  return Verifier(link, replica, written, payloads, progress).run();
}

}  // namespace synod::bench
