#include "wire/body.h"

#include <algorithm>

namespace synod::wire {

namespace {

// The finalizer of splitmix64: a bijection on 64 bits.
constexpr std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

std::expected<RunView, BodyFault> decode_run(Bytes rest, std::uint32_t place) {
  if (rest.size() < sizeof(RunHeader)) return std::unexpected(BodyFault::too_short);
  const auto run = load<RunHeader>(rest);
  if (!is_zero(bytes_of(run.zero))) return std::unexpected(BodyFault::bad_reserved);
  const Bytes behind = rest.subspan(sizeof(RunHeader));
  if (behind.size() < align_up(run.bytes, 8)) return std::unexpected(BodyFault::bad_length);
  const Bytes entries = behind.first(run.bytes);
  switch (run.kind) {
    case RunKind::entries:
      if (run.entries == 0 || run.session == SessionId{} || !entries_are_valid(entries, run.entries)) {
        return std::unexpected(BodyFault::bad_entry);
      }
      break;
    case RunKind::open_session:
      if (run.entries != 0 || run.bytes != sizeof(Uuid)) return std::unexpected(BodyFault::bad_entry);
      break;
    case RunKind::trim:
      if (run.entries != 0 || run.bytes != sizeof(Lsn) || run.session != SessionId{} || run.first != Sequence{}) {
        return std::unexpected(BodyFault::bad_entry);
      }
      break;
    default: return std::unexpected(BodyFault::bad_kind);
  }
  return RunView{run, entries, place};
}

}  // namespace

Chain extend(Chain before, Checksum value) {
  return Chain(mix(before.value() + 0x9E3779B97F4A7C15) ^ value.value());
}

const char* name(BodyFault fault) {
  switch (fault) {
    case BodyFault::too_short: return "too short";
    case BodyFault::bad_count: return "count";
    case BodyFault::bad_kind: return "unknown kind";
    case BodyFault::bad_length: return "length";
    case BodyFault::bad_entry: return "entry";
    case BodyFault::bad_reserved: return "reserved bytes";
  }
  return "unknown";
}

bool entries_are_valid(Bytes entries, std::uint32_t count) {
  if (count > entries_per_body_max) return false;
  for (std::uint32_t i = 0; i < count; ++i) {
    if (entries.size() < entry_header_bytes) return false;
    const auto length = load<std::uint32_t>(entries);
    if (length > entry_bytes_max || entries.size() - entry_header_bytes < length) return false;
    entries = entries.subspan(entry_header_bytes + length);
  }
  return entries.empty();
}

EntrySplit split_entry(Bytes entries) {
  const auto length = load<std::uint32_t>(entries);
  return {entries.subspan(entry_header_bytes, length), entries.subspan(entry_header_bytes + length)};
}

std::expected<BodyView, BodyFault> BodyView::decode(Bytes body) {
  BodyView view;
  if (body.empty()) return view;
  if (body.size() < sizeof(BodyHeader)) return std::unexpected(BodyFault::too_short);
  view.body_ = body;
  view.header_ = load<BodyHeader>(body);
  if (view.header_.zero != 0) return std::unexpected(BodyFault::bad_reserved);
  // A session id leaves 16 bits for the place of its run.
  if (view.header_.runs == 0 || view.header_.runs > 0xFFFF) return std::unexpected(BodyFault::bad_count);
  Bytes rest = body.subspan(sizeof(BodyHeader));
  std::uint64_t entries = 0;
  for (std::uint32_t place = 0; place < view.header_.runs; ++place) {
    const auto run = decode_run(rest, place);
    if (!run) return std::unexpected(run.error());
    entries += run->header.entries;
    const std::size_t padded = align_up(run->header.bytes, 8);
    if (!is_zero(rest.subspan(sizeof(RunHeader) + run->header.bytes, padded - run->header.bytes))) {
      return std::unexpected(BodyFault::bad_reserved);
    }
    rest = rest.subspan(sizeof(RunHeader) + padded);
  }
  if (!rest.empty()) return std::unexpected(BodyFault::bad_length);
  if (entries != view.header_.entries || entries > entries_per_body_max) return std::unexpected(BodyFault::bad_count);
  return view;
}

BodyView BodyView::known(Bytes body) {
  BodyView view;
  if (body.empty()) return view;
  view.body_ = body;
  view.header_ = load<BodyHeader>(body);
  return view;
}

BodyWriter::BodyWriter(MutableBytes buffer, Chain assumed_chain) : buffer_(buffer), used_(sizeof(BodyHeader)) {
  CHECK_GE(buffer_.size(), sizeof(BodyHeader));
  header_.assumed_chain = assumed_chain;
}

bool BodyWriter::fits(std::size_t run_bytes, std::uint32_t entries, std::size_t limit) const {
  return used_ + sizeof(RunHeader) + align_up(run_bytes, 8) <= std::min(limit, buffer_.size()) &&
         header_.entries + entries <= entries_per_body_max && header_.runs < 0xFFFF;
}

bool BodyWriter::continues(RunKind kind, SessionId session, Sequence first) const {
  return header_.runs > 0 && kind == RunKind::entries && run_.kind == kind && run_.session == session &&
         run_.first + run_.entries == first;
}

// Behind the last run's entries, over its padding, with new padding.
void BodyWriter::put(Bytes entries, std::uint32_t count) {
  const std::size_t at = run_offset_ + sizeof(RunHeader) + run_.bytes;
  copy(buffer_.subspan(at), entries);
  run_.bytes += static_cast<std::uint32_t>(entries.size());
  run_.entries += count;
  store(buffer_.subspan(run_offset_), run_);
  used_ = run_offset_ + sizeof(RunHeader) + align_up(run_.bytes, 8);
  for (std::byte& byte : buffer_.first(used_).subspan(at + entries.size())) byte = std::byte{0};
  header_.entries += count;
}

std::uint32_t BodyWriter::add(RunKind kind, SessionId session, Sequence first, std::uint32_t count, Bytes entries) {
  CHECK(fits(entries.size(), count, buffer_.size()));
  if (!continues(kind, session, first)) {
    run_ = RunHeader{.session = session, .first = first, .kind = kind};
    run_offset_ = used_;
    ++header_.runs;
  }
  put(entries, count);
  return header_.runs - 1;
}

Bytes BodyWriter::finish() {
  store(buffer_, header_);
  return buffer_.first(used_);
}

}  // namespace synod::wire
