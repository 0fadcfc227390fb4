#include "replica/checkpoint.h"

#include <fmt/format.h>

#include "wire/limits.h"

namespace synod::replica {

namespace {

Error refused(const char* what) {
  return {fmt::format("a checkpoint of the journal cannot be used ({}): it was written by another version of synod", what)};
}

// Takes `count` structs from the front of `from`.
template <class T>
bool take(Bytes& from, std::size_t count, std::vector<T>& out) {
  if (count > from.size() / sizeof(T)) return false;
  out.resize(count);
  for (std::size_t i = 0; i < count; ++i) out[i] = load<T>(from.subspan(i * sizeof(T)));
  from = from.subspan(count * sizeof(T));
  return true;
}

}  // namespace

Result<CheckpointView> decode_checkpoint(Bytes from) {
  CheckpointView view;
  if (from.size() < sizeof(CheckpointHeader)) return std::unexpected(refused("length"));
  const auto header = load<CheckpointHeader>(from);
  view.header = header;
  if (header.magic != checkpoint_magic) return std::unexpected(refused("magic"));
  if (header.version != checkpoint_version || header.doubt_kind > 2 || header.is_installed > 1)
    return std::unexpected(refused("version"));
  from = from.subspan(sizeof(CheckpointHeader));
  const bool possible = header.members <= members_max && header.open <= 2 * window_slots_max && header.entries < index_page_slots;
  if (!possible || !take(from, header.members, view.members) || !take(from, header.open, view.open) ||
      !take(from, header.pages, view.pages) || !take(from, header.entries, view.entries) || from.size() != header.log_bytes) {
    return std::unexpected(refused("length"));
  }
  const std::uint64_t slots = (header.first_page + header.pages) * index_page_slots + header.entries;
  if (slots != header.applied.value()) return std::unexpected(refused("index"));
  for (const OpenSlot& open : view.open) {
    const bool is_vote = open.kind == static_cast<std::uint32_t>(wire::RecordKind::accepted) ||
                         open.kind == static_cast<std::uint32_t>(wire::RecordKind::chosen);
    if (!is_vote || open.slot <= header.applied || open.ballot.is_none()) return std::unexpected(refused("open slot"));
  }
  view.log = from;
  return view;
}

}  // namespace synod::replica
