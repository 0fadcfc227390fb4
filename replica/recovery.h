// From the journal's records back to a replica's state: promised ballot, members, applied log, open slots.
//
// The records come in the order in which they were staged. Slots up to a block's commit watermark are final in what was staged
// before it, so they are applied as the watermark moves and only the open slots' bodies are kept: memory is O(window).
// Control path: may allocate.
#pragma once

#include <map>
#include <vector>

#include "base/error.h"
#include "consensus/log_state.h"
#include "replica/slot_index.h"
#include "storage/journal.h"
#include "wire/record.h"

namespace synod::replica {

struct OpenRecord {
  wire::RecordHeader header;
  storage::Location location;
  std::vector<std::byte> body;
};

class Recovery {
 public:
  Recovery(consensus::LogState& log, SlotIndex& index) : log_(log), index_(index) {}

  // One record, with the watermarks of the block that holds it.
  void visit(const wire::RecordHeader& header, storage::Location location, Bytes body, const storage::Watermarks& watermarks);
  // All records were seen; `watermarks` are the last block's.
  [[nodiscard]] Result<> finish(const storage::Watermarks& watermarks);

  [[nodiscard]] Ballot promised() const { return promised_; }
  [[nodiscard]] const std::vector<wire::MemberUuid>& members() const { return members_; }
  // The newest record of each slot above the commit watermark.
  [[nodiscard]] const std::map<Slot, OpenRecord>& open() const { return open_; }

 private:
  void apply_up_to(Slot commit);

  consensus::LogState& log_;
  SlotIndex& index_;
  Ballot promised_;
  std::vector<wire::MemberUuid> members_;
  std::map<Slot, OpenRecord> open_;
  Slot watermark_;
  std::optional<Error> error_;
};

}  // namespace synod::replica
