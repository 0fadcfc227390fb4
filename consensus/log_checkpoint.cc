#include "consensus/log_checkpoint.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>

#include "base/check.h"
#include "base/crc32c.h"

namespace synod::consensus {

namespace {

constexpr std::size_t varint_bytes_max = 10;  // of 64 bits

// Writes, or only counts when it has no buffer.
class Writer {
 public:
  Writer() : counts_only_(true) {}
  explicit Writer(MutableBytes to) : to_(to) {}

  [[nodiscard]] std::size_t used() const { return used_; }

  void put_bytes(Bytes bytes) {
    if (!counts_only_) copy(to_.subspan(used_), bytes);
    used_ += bytes.size();
  }
  void put(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) put_byte(static_cast<std::byte>(value | 0x80));
    put_byte(static_cast<std::byte>(value));
  }

 private:
  void put_byte(std::byte byte) {
    if (!counts_only_) {
      CHECK_LT(used_, to_.size());
      to_[used_] = byte;
    }
    ++used_;
  }

  MutableBytes to_;
  std::size_t used_ = 0;
  bool counts_only_ = false;
};

// Takes numbers off the front of hostile bytes. After a fault it gives zeros.
class Reader {
 public:
  explicit Reader(Bytes bytes) : bytes_(bytes) {}

  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  [[nodiscard]] std::optional<std::uint64_t> take() {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < std::min(bytes_.size(), varint_bytes_max); ++i) {
      const auto byte = static_cast<std::uint64_t>(bytes_[i]);
      if (i == varint_bytes_max - 1 && byte > 1) return std::nullopt;  // beyond 64 bits
      value |= (byte & 0x7F) << (7 * i);
      if ((byte & 0x80) != 0) continue;
      if (i > 0 && byte == 0) return std::nullopt;  // longer than needed
      bytes_ = bytes_.subspan(i + 1);
      return value;
    }
    return std::nullopt;
  }

 private:
  Bytes bytes_;
};

std::uint64_t remembered(Sequence last) {
  return std::min<std::uint64_t>(last.value(), session_window_max);
}

void write(const LogState& log, Writer& out) {
  const Sessions& sessions = log.sessions();
  CHECK(sessions.keeps_lsns());
  LogCheckpointHeader header;
  header.sessions = static_cast<std::uint32_t>(sessions.size());
  header.applied = log.applied();
  header.tail = log.tail();
  header.chain = log.chain();
  header.trim = log.trim();
  out.put_bytes(bytes_of(header));
  for (Sessions::Place place = 0; place < sessions.size(); ++place) {
    const Session& session = sessions.at(place);
    CHECK(session.id != SessionId{});  // the first size() places are the taken ones
    out.put(session.id.value());
    out.put(session.last.value());
    out.put(log.applied() - session.active);
    Lsn told;
    sessions.for_each_stretch(place, [&](Lsn first, std::uint64_t count) {
      out.put(first - told);
      out.put(count);
      told = first + count;
    });
  }
}

// Reads the sessions behind the header and tells `use` of each: use.session(const Session&), then use.lsns(first, count, lsn) for
// each stretch. Everything that is told has been checked, but for two sessions with one id.
template <class Use>
class Walk {
 public:
  Walk(const LogCheckpointHeader& header, Bytes sessions, Use& use) : header_(header), in_(sessions), use_(use) {}

  [[nodiscard]] std::expected<void, CheckpointFault> run() {
    for (std::uint32_t i = 0; i < header_.sessions; ++i) {
      if (const auto read = session(); !read) return read;
    }
    if (!in_.empty()) return std::unexpected(CheckpointFault::bad_length);
    return {};
  }

 private:
  [[nodiscard]] std::expected<void, CheckpointFault> session() {
    const auto id = in_.take();
    const auto last = in_.take();
    const auto idle = in_.take();
    if (!id || !last || !idle) return std::unexpected(CheckpointFault::bad_number);
    // The entries of all sessions lie at different LSNs below the tail.
    if (*idle > header_.applied.value() || *last > header_.tail - entries_) return std::unexpected(CheckpointFault::bad_session);
    entries_ = entries_ + *last;
    const Session session{SessionId(*id), Sequence(*last), header_.applied - *idle};
    const Slot opened = wire::opening_slot(session.id);
    const bool is_possible = opened != Slot{} && opened <= session.active && (*last > 0 || opened == session.active);
    if (!is_possible) return std::unexpected(CheckpointFault::bad_session);
    use_.session(session);
    return lsns(session.last);
  }

  [[nodiscard]] std::expected<void, CheckpointFault> lsns(Sequence last) {
    std::uint64_t left = remembered(last);
    Sequence next = last - left + 1;
    Lsn at;
    // What it does not remember any more lies before what it does.
    std::uint64_t gap_min = last - Sequence(left);
    while (left > 0) {
      const auto gap = in_.take();
      const auto count = in_.take();
      if (!gap || !count) return std::unexpected(CheckpointFault::bad_number);
      if (*gap < gap_min || *count == 0 || *count > left) return std::unexpected(CheckpointFault::bad_lsns);
      if (*gap > header_.tail - at || *count > header_.tail - at - *gap) return std::unexpected(CheckpointFault::bad_lsns);
      at = at + *gap;
      use_.lsns(next, static_cast<std::uint32_t>(*count), at);
      at = at + *count;
      next = next + *count;
      left -= *count;
      gap_min = 1;  // or it would be the same stretch
    }
    return {};
  }

  const LogCheckpointHeader& header_;
  Reader in_;
  Use& use_;
  Lsn entries_;  // of the sessions so far
};

// Whether a log can stand there.
bool is_possible(const LogCheckpointHeader& header) {
  if (header.applied > log_checkpoint::applied_max) return false;
  if (header.applied == Slot{} && header.chain != wire::Chain{}) return false;
  return header.tail.value() <= header.applied.value() * entries_per_body_max && header.trim <= header.tail;
}

struct Ids {
  std::array<SessionId, sessions_max> ids;
  std::size_t size = 0;

  void session(const Session& session) { ids[size++] = session.id; }
  void lsns(Sequence, std::uint32_t, Lsn) {}
  [[nodiscard]] bool has_twins() {
    const std::span<SessionId> all = std::span(ids).first(size);
    std::ranges::sort(all);
    return std::ranges::adjacent_find(all) != all.end();
  }
};

struct Loader {
  LogState& log;
  Sessions::Place place = 0;

  void session(const Session& session) { place = log.load_session(session); }
  void lsns(Sequence first, std::uint32_t count, Lsn lsn) { log.load_lsns(place, first, count, lsn); }
};

}  // namespace

const char* name(CheckpointFault fault) {
  switch (fault) {
    case CheckpointFault::too_short: return "too short";
    case CheckpointFault::bad_version: return "unknown version";
    case CheckpointFault::bad_checksum: return "checksum";
    case CheckpointFault::bad_reserved: return "reserved bytes";
    case CheckpointFault::bad_position: return "position";
    case CheckpointFault::bad_number: return "number";
    case CheckpointFault::bad_session: return "session";
    case CheckpointFault::bad_lsns: return "LSNs of a session";
    case CheckpointFault::bad_length: return "length";
  }
  return "unknown";
}

std::size_t log_checkpoint_bytes(const LogState& log) {
  Writer counter;
  write(log, counter);
  return counter.used() + sizeof(std::uint32_t);
}

std::size_t encode_log_checkpoint(const LogState& log, MutableBytes to) {
  Writer out(to);
  write(log, out);
  const std::uint32_t checksum = crc32c(to.first(out.used()));
  out.put_bytes(bytes_of(checksum));
  CHECK_LE(out.used(), log_checkpoint_bytes_max);
  return out.used();
}

std::expected<LogCheckpointHeader, CheckpointFault> log_checkpoint_header(Bytes bytes) {
  if (bytes.size() < sizeof(LogCheckpointHeader) + sizeof(std::uint32_t)) return std::unexpected(CheckpointFault::too_short);
  const auto header = load<LogCheckpointHeader>(bytes);
  // The version first: the rest is read as this one says.
  if (header.version != log_checkpoint_version) return std::unexpected(CheckpointFault::bad_version);
  const std::size_t size = bytes.size() - sizeof(std::uint32_t);
  if (crc32c(bytes.first(size)) != load<std::uint32_t>(bytes.subspan(size)))
    return std::unexpected(CheckpointFault::bad_checksum);
  return header;
}

std::expected<void, CheckpointFault> decode_log_checkpoint(Bytes bytes, LogState& log) {
  const auto header = log_checkpoint_header(bytes);
  if (!header) return std::unexpected(header.error());
  if (header->zero != 0) return std::unexpected(CheckpointFault::bad_reserved);
  if (!is_possible(*header)) return std::unexpected(CheckpointFault::bad_position);
  if (header->sessions > sessions_max) return std::unexpected(CheckpointFault::bad_session);
  const Bytes sessions = bytes.subspan(sizeof(*header), bytes.size() - sizeof(*header) - sizeof(std::uint32_t));
  Ids ids;
  if (const auto checked = Walk(*header, sessions, ids).run(); !checked) return checked;
  if (ids.has_twins()) return std::unexpected(CheckpointFault::bad_session);
  log.begin_load({header->applied, header->tail, header->chain, header->trim});
  Loader loader{log};
  const auto loaded = Walk(*header, sessions, loader).run();
  CHECK(loaded.has_value());
  return {};
}

}  // namespace synod::consensus
