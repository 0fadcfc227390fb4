// The body of a trim record: up to where the log is trimmed, and where the state lies that a peer gets who is farther behind.
#pragma once

#include <optional>

#include "base/bytes.h"
#include "base/ids.h"

namespace synod::replica {

struct TrimRecord {
  Lsn trimmed;  // the log's trim; it may lie in a slot behind the first one kept
  // The block where the checkpoint begins that ends right in front of the first slot kept, see storage::CheckpointAt. 0: not
  // known.
  std::uint64_t base_sequence = 0;
  std::uint64_t base_offset = 0;
};
static_assert(Format<TrimRecord> && sizeof(TrimRecord) == 24);

[[nodiscard]] inline std::optional<TrimRecord> decode_trim_record(Bytes body) {
  if (body.size() == sizeof(TrimRecord)) return load<TrimRecord>(body);
  if (body.size() == sizeof(Lsn)) return TrimRecord{.trimmed = load<Lsn>(body)};  // of the first binaries
  return std::nullopt;
}

}  // namespace synod::replica
