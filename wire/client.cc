#include "wire/client.h"

#include <array>

namespace synod::wire {

namespace {

constexpr std::array<const char*, ack_levels> ack_level_names{"quorum", "memory", "leader", "one", "all"};

}  // namespace

const char* name(AckLevel level) {
  return is_known(level) ? ack_level_names[static_cast<std::size_t>(level)] : "unknown";
}

std::optional<AckLevel> ack_level_of(std::string_view name) {
  for (std::size_t level = 0; level < ack_levels; ++level) {
    if (name == ack_level_names[level]) return static_cast<AckLevel>(level);
  }
  return std::nullopt;
}

const char* name(RefusalReason reason) {
  switch (reason) {
    case RefusalReason::not_leader: return "not_leader";
    case RefusalReason::busy: return "busy";
    case RefusalReason::evicted: return "evicted";
    case RefusalReason::gap: return "gap";
    case RefusalReason::too_large: return "too_large";
    case RefusalReason::no_space: return "no_space";
    case RefusalReason::malformed: return "malformed";
    case RefusalReason::trimmed: return "trimmed";
    case RefusalReason::unsupported: return "unsupported";
  }
  return "unknown";
}

const char* name(Role role) {
  switch (role) {
    case Role::follower: return "follower";
    case Role::candidate: return "candidate";
    case Role::leader: return "leader";
  }
  return "unknown";
}

const char* name(DoubtKind doubt) {
  switch (doubt) {
    case DoubtKind::none: return "none";
    case DoubtKind::bounded: return "bounded";
    case DoubtKind::unbounded: return "unbounded";
  }
  return "unknown";
}

std::expected<AppendView, RefusalReason> decode_append(Bytes payload) {
  if (payload.size() < sizeof(Append)) return std::unexpected(RefusalReason::malformed);
  const auto header = load<Append>(payload);
  const Bytes entries = payload.subspan(sizeof(Append));
  if (!is_known(header.ack)) return std::unexpected(RefusalReason::unsupported);
  if (entries.size() > request_entry_bytes_max && header.count == 1) return std::unexpected(RefusalReason::too_large);
  if (!is_zero(bytes_of(header.zero)) || header.session == SessionId{} || header.first == Sequence{} || header.count == 0 ||
      entries.size() > request_entry_bytes_max || !entries_are_valid(entries, header.count)) {
    return std::unexpected(RefusalReason::malformed);
  }
  return AppendView{header, entries};
}

std::expected<Appended, RefusalReason> decode_appended(Bytes payload) {
  const auto appended = decode_client<Appended>(payload);
  if (!appended || !is_known(appended->ack)) return std::unexpected(RefusalReason::malformed);
  return *appended;
}

std::expected<ReadAnswerView, RefusalReason> decode_read_answer(Bytes payload) {
  if (payload.size() < sizeof(ReadAnswer)) return std::unexpected(RefusalReason::malformed);
  const auto header = load<ReadAnswer>(payload);
  const Bytes entries = payload.subspan(sizeof(ReadAnswer));
  if (header.zero != 0 || !entries_are_valid(entries, header.count)) return std::unexpected(RefusalReason::malformed);
  return ReadAnswerView{header, entries};
}

}  // namespace synod::wire
