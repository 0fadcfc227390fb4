// How a replica that is behind its peers' trim gets what was trimmed: not the slots, which nobody has any more, but the state of
// the log behind them (consensus/log_checkpoint.h), in pieces.
//
// Who is asked to serve a trimmed slot answers with the first piece; whoever wants it asks for the next, piece by piece, so that
// one large message is never in flight and a lost packet costs one piece.
#pragma once

#include <cstdint>
#include <expected>

#include "base/bytes.h"
#include "base/ids.h"

namespace synod::wire {

inline constexpr std::size_t checkpoint_piece_bytes = 256U << 10;
inline constexpr std::uint64_t checkpoint_message_bytes_max = 64U << 20;

// Payload of `checkpoint`: this, then the bytes of the piece.
struct CheckpointPiece {
  Slot applied;  // the state is the one after this slot; its id, too
  std::uint32_t piece = 0;
  std::uint32_t pieces = 0;
  std::uint64_t bytes = 0;  // of all pieces
};
static_assert(Format<CheckpointPiece> && sizeof(CheckpointPiece) == 24);

// Payload of `checkpoint_ask`.
struct CheckpointAsk {
  Slot applied;
  std::uint32_t piece = 0;
  std::uint32_t zero = 0;
};
static_assert(Format<CheckpointAsk> && sizeof(CheckpointAsk) == 16);

struct CheckpointPieceView {
  CheckpointPiece header;
  Bytes bytes;
};

enum class CheckpointMessageFault : std::uint8_t { bad_length, bad_piece, bad_reserved };
[[nodiscard]] const char* name(CheckpointMessageFault fault);

// The gateways.
[[nodiscard]] std::expected<CheckpointPieceView, CheckpointMessageFault> decode_checkpoint_piece(Bytes payload);
[[nodiscard]] std::expected<CheckpointAsk, CheckpointMessageFault> decode_checkpoint_ask(Bytes payload);

}  // namespace synod::wire
