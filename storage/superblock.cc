#include "storage/superblock.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

namespace synod::storage {

namespace {

// Why no copy is valid: the most telling reason of all.
Error explain(std::span<const SuperblockFault> faults) {
  const auto any = [&](SuperblockFault fault) { return std::ranges::find(faults, fault) != faults.end(); };
  if (any(SuperblockFault::bad_version)) return {"the journal was written by another version of synod: use that version"};
  if (any(SuperblockFault::bad_checksum) || any(SuperblockFault::bad_field)) {
    return {"all copies of the superblock are damaged: this disk has lost its identity; join as a new member"};
  }
  if (any(SuperblockFault::bad_magic)) return {"this is not a Synod journal: check --data"};
  return {"the journal is blank: it was never formatted, or was wiped; make one with `synod format`, as a new member"};
}

}  // namespace

Result<Superblock> newest_superblock(Bytes copies) {
  std::optional<Superblock> newest;
  std::array<SuperblockFault, superblock_copies> faults{};
  std::size_t fault_count = 0;
  for (std::uint32_t i = 0; i < superblock_copies; ++i) {
    const std::uint64_t at = std::uint64_t{i} * device_block_bytes;
    const auto copy = decode_superblock(at < copies.size() ? copies.subspan(at) : Bytes{});
    if (!copy) {
      faults[fault_count++] = copy.error();
      continue;
    }
    if (newest && (copy->disk != newest->disk || copy->cluster != newest->cluster || copy->replica != newest->replica)) {
      return fail("the copies of the superblock are of different disks: restore the right file or join as a new member");
    }
    if (!newest || copy->number > newest->number) newest = *copy;
  }
  if (!newest) return std::unexpected(explain(std::span(faults).first(fault_count)));
  return *newest;
}

}  // namespace synod::storage
