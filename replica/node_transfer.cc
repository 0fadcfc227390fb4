// A replica that is behind its peers' trim: it gets the state of the log instead of the slots, and goes on from there.
#include <algorithm>

#include "base/check.h"
#include "consensus/log_checkpoint.h"
#include "replica/node.h"

namespace synod::replica {

// False: it is no message of a checkpoint.
bool Node::on_checkpoint_message(const dataplane::Message& message) {
  const wire::MessageType type = message.header.type;
  if (type != wire::MessageType::checkpoint && type != wire::MessageType::checkpoint_ask) return false;
  if (!engine_.admits(message.header.source, message.header.incarnation)) return true;
  if (type == wire::MessageType::checkpoint_ask) {
    const auto ask = wire::decode_checkpoint_ask(message.payload);
    if (ask) {
      send_piece(message.header.source, ask->applied, ask->piece);
    } else {
      ++counters_.bad_messages;
    }
    return true;
  }
  const auto piece = wire::decode_checkpoint_piece(message.payload);
  if (!piece) {
    ++counters_.bad_messages;
  } else if (piece->header.applied > engine_.commit()) {
    transfer_.receive(*piece, message.header.source, now_us_);
  }
  return true;
}

void Node::send_piece(ReplicaId to, Slot applied, std::uint32_t number) {
  const auto piece = transfer_.piece(applied, number, now_us_);
  if (!piece || to.value() >= routes_.size() || has_route_[to.value()] == 0) return;
  wire::PacketHeader header;
  header.type = wire::MessageType::checkpoint;
  header.destination = to;
  header.ballot = engine_.promised();
  header.commit = engine_.commit();
  messenger_.send(routes_[to.value()], header, bytes_of(piece->header), piece->bytes);
}

// The state in front of the first slot that is kept here. It lies in the journal, in a checkpoint; who asked asks again.
void Node::offer_state(ReplicaId to) {
  const bool is_current = transfer_.offered() != Slot{} && transfer_.offered() + 1 == trim_slot_;
  if (is_current || transfer_.is_busy(now_us_)) return send_piece(to, transfer_.offered(), 0);
  if (journal_->keeps(trim_base_) && !base_reader_.is_reading()) base_reader_.begin(trim_base_);
}

void Node::keep_transfer() {
  if (const auto peer = reads_.next_below()) offer_state(*peer);
  if (const auto bytes = base_reader_.step()) {
    const auto view = decode_checkpoint(*bytes);
    if (view && view->header.applied == base_reader_.read().applied) {
      transfer_.offer(view->log, view->header.applied, now_us_);
    }
  }
  if (const auto question = transfer_.next_question(now_us_)) {
    const std::size_t to = question->to.value();
    if (to >= routes_.size() || has_route_[to] == 0) return;
    wire::PacketHeader header;
    header.type = wire::MessageType::checkpoint_ask;
    header.destination = question->to;
    header.ballot = engine_.promised();
    header.commit = engine_.commit();
    messenger_.send(routes_[to], header, bytes_of(question->ask));
  }
  if (const Bytes state = transfer_.whole(); !state.empty()) install(state);
}

// The state becomes ours at once, and is told of when it is on the disk: until all parts of a checkpoint of our own are staged,
// the headers of blocks keep the commit watermark that the journal accounts for, and nothing is voted for behind it.
void Node::install(Bytes state) {
  const auto header = consensus::log_checkpoint_header(state);
  const bool is_useful = header && header->applied > engine_.commit() && !checkpoint_.is_writing();
  if (header && header->applied > engine_.commit() && !is_useful) return;  // later
  if (!is_useful || !consensus::decode_log_checkpoint(state, log_)) return transfer_.drop();
  transfer_.drop();
  ++counters_.states_taken;
  installing_from_ = engine_.commit();
  effects_.clear();
  engine_.install(log_.applied(), effects_);
  index_->reset_behind(log_.applied(), log_.tail(), log_.chain());
  durable_slot_ = log_.applied();
  trim_slot_ = trim_target_ = log_.applied() + 1;
  trimmed_ = log_.trim();
  trim_base_ = {};
  trim_record_ = {};
  first_lsn_ = log_.tail();
  repairs_.trim(trim_slot_);
  engine_.set_trim(trim_slot_);
  carry_out();
  journal_->need_checkpoint();
  begin_checkpoint(true);
}

}  // namespace synod::replica
