// Entry sizes of a real commit log: what each commit of a PostgreSQL WAL segment flushes, which is what a database would append.
//
// Bytes of a file are hostile: a segment that is not one gives an error.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"

namespace synod::bench {

// Of a segment's bytes: the size of all records from one commit to the next, in order. What is larger than an entry may be counts
// as several. Records before the first whole one, and behind the last commit, are left out.
[[nodiscard]] Result<std::vector<std::uint32_t>> wal_entry_sizes(Bytes segment);

// Of a file, plain or compressed by zstd.
[[nodiscard]] Result<std::vector<std::uint32_t>> load_wal_sizes(const std::string& path);

}  // namespace synod::bench
