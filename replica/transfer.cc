#include "replica/transfer.h"

#include <algorithm>

#include "base/check.h"
#include "consensus/log_checkpoint.h"

namespace synod::replica {

namespace {

constexpr std::uint64_t kept_us = 1'000'000;    // behind the last question
constexpr std::uint64_t given_up_us = 500'000;  // without an answer
constexpr std::uint64_t ask_again_us = 20'000;

}  // namespace

Transfer::Transfer() : served_(consensus::log_checkpoint_bytes_max), received_(wire::checkpoint_message_bytes_max) {}

void Transfer::offer(Bytes state, Slot applied, std::uint64_t now_us) {
  CHECK_LE(state.size(), served_.size());
  copy(served_.bytes(), state);
  served_bytes_ = state.size();
  offered_ = applied;
  asked_us_ = now_us;
}

bool Transfer::is_busy(std::uint64_t now_us) const {
  return served_bytes_ > 0 && now_us - asked_us_ < kept_us;
}

std::optional<Transfer::Piece> Transfer::piece(Slot applied, std::uint32_t number, std::uint64_t now_us) {
  const std::uint64_t from = std::uint64_t{number} * wire::checkpoint_piece_bytes;
  if (applied != offered_ || from >= served_bytes_) return std::nullopt;
  // The first one is offered, and not asked for: offering an old state again must not keep it, or whoever is ahead of it and
  // behind our trim would never be offered a newer one.
  if (number > 0) asked_us_ = now_us;
  const auto pieces = (served_bytes_ + wire::checkpoint_piece_bytes - 1) / wire::checkpoint_piece_bytes;
  return Piece{{.applied = offered_, .piece = number, .pieces = static_cast<std::uint32_t>(pieces), .bytes = served_bytes_},
               Bytes(served_.bytes()).subspan(from, std::min<std::size_t>(wire::checkpoint_piece_bytes, served_bytes_ - from))};
}

void Transfer::receive(const wire::CheckpointPieceView& view, ReplicaId from, std::uint64_t now_us) {
  const bool is_given_up = pieces_ == 0 || now_us - heard_us_ > given_up_us;
  if (view.header.piece == 0 && is_given_up) {
    applied_ = view.header.applied;
    pieces_ = view.header.pieces;
    received_bytes_ = view.header.bytes;
    next_piece_ = 0;
    from_ = from;
  }
  const bool is_next = pieces_ > 0 && from == from_ && view.header.applied == applied_ && view.header.piece == next_piece_ &&
                       view.header.bytes == received_bytes_;
  if (!is_next) return;
  copy(received_.bytes().subspan(std::uint64_t{next_piece_} * wire::checkpoint_piece_bytes), view.bytes);
  ++next_piece_;
  heard_us_ = now_us;
  sent_us_ = 0;
}

std::optional<Transfer::Question> Transfer::next_question(std::uint64_t now_us) {
  if (pieces_ == 0 || next_piece_ == pieces_ || now_us - sent_us_ < ask_again_us) return std::nullopt;
  if (now_us - heard_us_ > given_up_us) {
    drop();
    return std::nullopt;
  }
  sent_us_ = now_us;
  return Question{from_, {.applied = applied_, .piece = next_piece_}};
}

Bytes Transfer::whole() const {
  if (pieces_ == 0 || next_piece_ < pieces_) return {};
  return Bytes(received_.bytes()).first(received_bytes_);
}

}  // namespace synod::replica
