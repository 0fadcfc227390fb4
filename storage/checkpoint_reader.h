// Reads a checkpoint back from the journal of a running replica, a block at a time, beside the scrub and everything else.
//
// Thread: the journal's. Allocates the checkpoint's bytes: it is read when a peer is behind a trim, and that is rare.
#pragma once

#include <cstdint>
#include <optional>

#include "storage/checkpoint_parts.h"
#include "storage/journal.h"

namespace synod::storage {

class CheckpointReader {
 public:
  explicit CheckpointReader(Journal& journal) : journal_(journal) {}

  void begin(CheckpointAt at);
  [[nodiscard]] bool is_reading() const { return at_.sequence != 0; }
  // Takes what was read and asks for more. The checkpoint's bytes, once all are there; then, or when it cannot be read, it is
  // not reading any more. Valid until the next begin().
  [[nodiscard]] std::optional<Bytes> step();
  [[nodiscard]] CheckpointAt read() const { return read_; }  // whose bytes they are

 private:
  void ask();
  void take(Bytes bytes);
  // False: nothing more can come of this.
  [[nodiscard]] bool take_block(Bytes rest);
  [[nodiscard]] bool take_records(Bytes payload, std::uint32_t count);

  Journal& journal_;
  CheckpointAt at_;  // sequence 0: not reading
  CheckpointAt read_;
  CheckpointParts parts_;
  std::uint64_t sequence_ = 0;  // of the next block
  std::uint64_t offset_ = 0;    // and where it should lie
  std::uint64_t previous_ = 0;  // its chain value's predecessor; unknown for the first
  std::uint64_t bytes_wanted_ = 0;
  bool is_next_segment_ = false;  // it did not lie behind the one before it
  bool is_asked_ = false;
};

}  // namespace synod::storage
