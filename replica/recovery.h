// From the journal back to a replica's state: promised ballot, members, applied log, index, open slots, and what is in doubt.
//
// A checkpoint comes first, if there is one; then the records that lie behind it, in the order in which they were staged. Slots
// up to a block's commit watermark are final in what was staged before it, so they are applied as the watermark moves and only
// the open slots' bodies are kept: memory is O(window).
//
// Behind a gap (blocks that cannot be read) a slot's record counts only if it lies behind the gap, too: the one before it may
// have been replaced in what is lost. What cannot be applied for that reason is learned again from the peers; what was promised
// or voted for in the gap is in doubt (rule 6), and the block behind it says up to which ballot and slot. Control path: may
// allocate.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/error.h"
#include "consensus/doubt.h"
#include "consensus/log_state.h"
#include "replica/checkpoint.h"
#include "replica/slot_index.h"
#include "storage/block_reader.h"
#include "storage/checkpoint_parts.h"
#include "storage/journal.h"
#include "wire/record.h"

namespace synod::replica {

struct OpenRecord {
  wire::RecordHeader header;
  storage::Location location;
  std::vector<std::byte> body;
  bool is_before_gap = false;
};

class Recovery {
 public:
  // `device`: the journal's, to read the records that a checkpoint names.
  Recovery(consensus::LogState& log, SlotIndex& index, storage::DeviceRef device);

  // What Journal::open calls.
  [[nodiscard]] storage::Visitor visitor();
  // All records were seen.
  [[nodiscard]] Result<> finish(const storage::Recovered& recovered);

  [[nodiscard]] Ballot promised() const { return promised_; }
  [[nodiscard]] const std::vector<wire::MemberUuid>& members() const { return members_; }
  // The newest record of each slot above the commit watermark.
  [[nodiscard]] const std::map<Slot, OpenRecord>& open() const { return open_; }
  [[nodiscard]] const consensus::Doubt& doubt() const { return doubt_; }
  [[nodiscard]] Slot trim() const { return trim_; }
  // The log's trim that `trim` stands for: the log itself may not have come so far again.
  [[nodiscard]] Lsn trimmed() const { return trimmed_; }
  // The checkpoint that ends right in front of it, if its record says where that lies.
  [[nodiscard]] storage::CheckpointAt trim_base() const { return trim_base_; }
  // That may be read here.
  [[nodiscard]] Lsn first_lsn() const { return first_lsn_; }

 private:
  struct Visited {
    wire::RecordHeader header;
    storage::Location location;
    std::vector<std::byte> body;
    storage::Watermarks watermarks;
  };

  [[nodiscard]] Result<> load(Bytes checkpoint);
  [[nodiscard]] Result<> load_index(const CheckpointView& view);
  void load_open(const CheckpointView& view);
  [[nodiscard]] std::optional<std::vector<std::byte>> read_body(storage::BlockReader& reader, const OpenSlot& open) const;
  void visit(const wire::RecordHeader& header, storage::Location location, Bytes body, const storage::Watermarks& watermarks);
  void enter_block(const storage::Watermarks& watermarks);
  void visit_record(const wire::RecordHeader& header, storage::Location location, Bytes body);
  void move(const wire::RecordHeader& header, storage::Location location);
  void visit_trim(Slot first_kept, Bytes body);
  void visit_lost();
  void visit_gap(const storage::Gap& gap);
  void visit_checkpoint_part(Bytes body);
  void keep_beside(const wire::RecordHeader& header, storage::Location location, Bytes body,
                   const storage::Watermarks& watermarks);
  void append_to_index(Slot slot, Lsn base, wire::Chain chain, const OpenRecord& record);
  void apply_up_to(Slot commit);

  consensus::LogState& log_;
  SlotIndex& index_;
  storage::DeviceRef device_;
  Ballot promised_;
  std::vector<wire::MemberUuid> members_;
  std::map<Slot, OpenRecord> open_;
  std::map<std::uint64_t, storage::Location> pages_;  // of the index that were seen before their last slot was applied
  // A checkpoint within the chain, part by part, and what lies between its parts. One that was installed leads on where the
  // records before it do not; any other one where they were lost.
  storage::CheckpointParts parts_;
  std::vector<Visited> beside_;
  std::size_t beside_bytes_ = 0;
  bool gathers_ = false;
  consensus::Doubt doubt_;
  Slot trim_;
  Lsn trimmed_;
  storage::CheckpointAt trim_base_;
  Lsn first_lsn_;
  Slot watermark_;
  bool is_stuck_ = false;   // the next slot's record was lost; it may come again behind, where it was repaired
  bool is_healed_ = false;  // there were blocks that were lost, and their place was closed
  bool has_lost_ = false;   // something that was durable
  std::optional<Error> error_;
};

}  // namespace synod::replica
