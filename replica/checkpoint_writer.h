// Takes a snapshot of a replica and hands it to the journal in parts, so that no poll has to wait for all of it.
//
// The buffer's address space is reserved at start and touched as it is used: a snapshot is some kilobytes where few sessions are
// busy, and tens of megabytes where a thousand are. Thread: the node's. No heap after construction.
#pragma once

#include <cstdint>
#include <span>

#include "consensus/log_state.h"
#include "replica/checkpoint.h"
#include "replica/slot_index.h"
#include "storage/aligned_buffer.h"
#include "storage/journal.h"

namespace synod::replica {

class CheckpointWriter {
 public:
  // `part_bytes`: the largest body of a part's record.
  explicit CheckpointWriter(std::size_t part_bytes = storage::checkpoint_part_bytes);

  // The snapshot. `header` holds what is not in the other arguments: members, promised, doubt, trim.
  void begin(CheckpointHeader header, std::span<const wire::MemberUuid> members, std::span<const OpenSlot> open,
             const SlotIndex& index, const consensus::LogState& log);

  // The body of the next part's record, empty when all are taken. Valid until the next call.
  [[nodiscard]] Bytes next_part();
  void part_taken() { ++part_; }
  [[nodiscard]] std::size_t part_bytes() const { return body_.size(); }
  // Of the next part's body.
  [[nodiscard]] std::size_t next_part_bytes() const;
  // In one record: it may use the journal's reserve. A larger one that began there might not end there.
  [[nodiscard]] bool is_small() const { return parts_ <= 1; }
  void abandon() { part_ = parts_; }
  // The last slot that it covers.
  [[nodiscard]] Slot applied() const { return applied_; }
  [[nodiscard]] bool is_writing() const { return part_ < parts_; }

 private:
  template <class T>
  void put(const T& item);

  storage::AlignedBuffer buffer_;
  std::size_t used_ = 0;
  std::uint64_t id_ = 0;
  Slot applied_;
  std::uint32_t part_ = 0;
  std::uint32_t parts_ = 0;
  std::vector<std::byte> body_;
};

}  // namespace synod::replica
