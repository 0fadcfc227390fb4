// Checks a journal at rest, all of it: every block and record, the chain over all segments, and whether what the newest
// checkpoint and the slot index point to is there and is what they say. For `synod verify`; reads and never writes.
//
// The chain is read by recovery's own code (storage/recovery.h) from the oldest segment that is needed, not only from the newest
// checkpoint on. A damaged place is an error where something live lies in it: a record that the index points to, part of the
// checkpoint, or anything behind the checkpoint, which only the journal knows. Elsewhere it is a warning.
#pragma once

#include <bitset>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/error.h"
#include "replica/checkpoint.h"
#include "replica/index_page.h"
#include "storage/device.h"
#include "storage/layout.h"
#include "storage/recovery.h"

namespace synod::replica {

inline constexpr std::size_t findings_max = 100;  // of errors, and of warnings, that are kept; the others are only counted

struct Finding {
  bool is_error = false;
  std::string text;
};

struct AuditReport {
  storage::Superblock superblock;
  std::uint64_t blocks = 0;
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;  // of blocks
  std::uint64_t pages = 0;
  std::uint64_t slots = 0;  // that the index points to, and whose records were found
  Slot trim;                // first slot kept
  Slot commit;
  bool has_checkpoint = false;
  std::vector<Finding> findings;
  std::uint64_t errors = 0;
  std::uint64_t warnings = 0;

  [[nodiscard]] bool is_whole() const { return errors == 0; }
};

// Called now and then with the bytes that were checked.
using AuditProgress = std::function<void(std::uint64_t)>;

// `stream` is read from one end to the other, `random` record by record; both show the same bytes, and are two devices, since
// what `stream` reads ahead is in flight while `random` is used. An error: this is no journal.
[[nodiscard]] Result<AuditReport> audit(storage::DeviceRef stream, storage::DeviceRef random, const AuditProgress& progress);

// The slot index as it lies in a journal: the newest copy of each page, from the newest checkpoint's directory and from behind
// it.
class StoredIndex {
 public:
  // Reads the newest checkpoint that can be used, and the journal from there on.
  StoredIndex(storage::DeviceRef stream, storage::DeviceRef random, const storage::Superblock& superblock);

  [[nodiscard]] const std::optional<CheckpointView>& checkpoint() const { return checkpoint_; }
  [[nodiscard]] const Result<storage::ChainEnd>& end() const { return end_; }
  [[nodiscard]] std::uint64_t checkpoints_unusable() const { return checkpoints_unusable_; }
  [[nodiscard]] Slot trim() const { return trim_; }
  // What lies below is trimmed, and may be kept for peers all the same.
  [[nodiscard]] Lsn trim_lsn() const { return trim_lsn_; }
  [[nodiscard]] std::uint64_t first_page() const { return checkpoint_ ? checkpoint_->header.first_page : 0; }
  [[nodiscard]] std::uint64_t pages() const { return pages_.empty() ? first_page() : pages_.rbegin()->first + 1; }
  [[nodiscard]] const std::map<std::uint64_t, PageAt>& directory() const { return pages_; }
  // Whether the journal holds a record of this slot behind the checkpoint, or the checkpoint names one.
  [[nodiscard]] bool has_behind(Slot slot) const { return behind_.contains(slot.value()); }

  // What the index says of a slot. Nothing: it lies in no page that can be read.
  [[nodiscard]] std::optional<IndexEntry> entry_of(Slot slot);
  // The bytes of a page, checked, or why there are none.
  [[nodiscard]] std::expected<Bytes, std::string> page(std::uint64_t number);
  [[nodiscard]] std::optional<wire::RecordView> record_at(std::uint64_t offset, std::uint32_t bytes);

 private:
  void take_checkpoint(storage::DeviceRef stream);
  void take_record(const wire::RecordHeader& header, storage::Location location, Bytes body);

  storage::DeviceRef random_;
  storage::Superblock superblock_;
  storage::Survey survey_;
  std::optional<storage::CheckpointAt> at_;
  std::vector<std::byte> checkpoint_bytes_;
  std::optional<CheckpointView> checkpoint_;
  std::uint64_t checkpoints_unusable_ = 0;
  Result<storage::ChainEnd> end_;
  std::map<std::uint64_t, PageAt> pages_;
  Slot trim_{1};
  Lsn trim_lsn_;
  std::unordered_set<std::uint64_t> behind_;
  std::unordered_map<std::uint64_t, std::vector<std::byte>> loaded_;
  storage::AlignedBuffer buffer_;
};

// The newest valid superblock.
[[nodiscard]] Result<storage::Superblock> read_superblock(storage::DeviceRef device);

}  // namespace synod::replica
