#include "wire/checkpoint.h"

namespace synod::wire {

const char* name(CheckpointMessageFault fault) {
  switch (fault) {
    case CheckpointMessageFault::bad_length: return "length";
    case CheckpointMessageFault::bad_piece: return "piece";
    case CheckpointMessageFault::bad_reserved: return "reserved bytes";
  }
  return "unknown";
}

std::expected<CheckpointPieceView, CheckpointMessageFault> decode_checkpoint_piece(Bytes payload) {
  if (payload.size() < sizeof(CheckpointPiece)) return std::unexpected(CheckpointMessageFault::bad_length);
  const auto header = load<CheckpointPiece>(payload);
  const Bytes bytes = payload.subspan(sizeof(CheckpointPiece));
  if (header.bytes == 0 || header.bytes > checkpoint_message_bytes_max)
    return std::unexpected(CheckpointMessageFault::bad_length);
  const std::uint64_t pieces = (header.bytes + checkpoint_piece_bytes - 1) / checkpoint_piece_bytes;
  if (header.pieces != pieces || header.piece >= pieces || header.applied == Slot{}) {
    return std::unexpected(CheckpointMessageFault::bad_piece);
  }
  const std::uint64_t from = std::uint64_t{header.piece} * checkpoint_piece_bytes;
  const std::uint64_t expected = header.piece + 1 == pieces ? header.bytes - from : checkpoint_piece_bytes;
  if (bytes.size() != expected) return std::unexpected(CheckpointMessageFault::bad_length);
  return CheckpointPieceView{header, bytes};
}

std::expected<CheckpointAsk, CheckpointMessageFault> decode_checkpoint_ask(Bytes payload) {
  if (payload.size() != sizeof(CheckpointAsk)) return std::unexpected(CheckpointMessageFault::bad_length);
  const auto ask = load<CheckpointAsk>(payload);
  if (ask.zero != 0) return std::unexpected(CheckpointMessageFault::bad_reserved);
  return ask;
}

}  // namespace synod::wire
