// Both ends of a checkpoint's way from one replica to another (wire/checkpoint.h). A replica serves one state at a time, which
// is kept while somebody goes on asking; and receives one at a time, from one peer.
//
// Both buffers are reserved address space, touched as they are used. Thread: the node's. No heap after construction.
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/ids.h"
#include "storage/aligned_buffer.h"
#include "wire/checkpoint.h"

namespace synod::replica {

class Transfer {
 public:
  Transfer();

  // Serving. Takes a state; the piece of it that is asked for, if it is still that one.
  void offer(Bytes state, Slot applied, std::uint64_t now_us);
  // Somebody asked for a piece not long ago.
  [[nodiscard]] bool is_busy(std::uint64_t now_us) const;
  struct Piece {
    wire::CheckpointPiece header;
    Bytes bytes;
  };
  [[nodiscard]] std::optional<Piece> piece(Slot applied, std::uint32_t number, std::uint64_t now_us);
  [[nodiscard]] Slot offered() const { return offered_; }

  // Receiving.
  void receive(const wire::CheckpointPieceView& view, ReplicaId from, std::uint64_t now_us);
  struct Question {
    ReplicaId to;
    wire::CheckpointAsk ask;
  };
  // The next piece to ask for, now.
  [[nodiscard]] std::optional<Question> next_question(std::uint64_t now_us);
  // All of it, once; empty if it is not whole.
  [[nodiscard]] Bytes whole() const;
  void drop() { pieces_ = 0; }

 private:
  storage::AlignedBuffer served_;
  std::size_t served_bytes_ = 0;
  Slot offered_;
  std::uint64_t asked_us_ = 0;

  storage::AlignedBuffer received_;
  std::uint64_t received_bytes_ = 0;
  Slot applied_;
  std::uint32_t next_piece_ = 0;
  std::uint32_t pieces_ = 0;
  ReplicaId from_;
  std::uint64_t heard_us_ = 0;
  std::uint64_t sent_us_ = 0;
};

}  // namespace synod::replica
