// What time does to an engine: liveness. Nothing here can break agreement.
#include <algorithm>

#include "consensus/engine.h"
#include "consensus/engine_send.h"

namespace synod::consensus {

namespace {

constexpr std::uint64_t catch_up_resend_us = 20'000;
constexpr std::uint64_t catch_up_vain_us = 10 * catch_up_resend_us;

}  // namespace

void Engine::on_tick(std::uint64_t now_us, Effects& effects) {
  now_us_ = now_us;
  const std::uint64_t credited_us = election_.elapse(now_us);
  if (acceptor_.staged() > acceptor_.durable()) stall_us_ += credited_us;
  if (!identity_.recorded()) return tick_identity(effects);
  settle_doubt(effects);
  if (needs_witnesses()) ask_witnesses(effects);
  switch (proposer_.phase()) {
    case ProposerPhase::idle: tick_follower(effects); break;
    case ProposerPhase::leading: tick_leader(effects); break;
    default: tick_candidate(effects); break;
  }
  tick_catch_up(effects);
}

void Engine::tick_identity(Effects& effects) {
  if (identity_.all_known() && !members_staged_ && !voting_stopped_ && effects.may_stage_control()) {
    members_staged_ = true;
    acceptor_.persist_members(effects);
  }
  if (now_us_ < next_send_us_) return;
  next_send_us_ = now_us_ + timeouts_.resend_us;
  for (std::size_t peer = 0; peer < configuration_.size(); ++peer) {
    if (peer == place_ || identity_.is_known(peer)) continue;
    ask_who(peer, effects);
  }
}

void Engine::tick_follower(Effects& effects) {
  if (leader_ != ReplicaId{} && election_.wants_to_ask()) {
    election_.asked();
    send(leader_, highest_seen_, wire::Suspect{}, effects);
  }
  if (!election_.timed_out() || !may_promise() || is_stalled()) return;
  if (!effects.may_stage_control()) return;
  leader_ = ReplicaId{};
  election_.back_off();
  election_.begin_suspecting(place_);
  send_to_peers(highest_seen_, wire::Suspect{}, effects);
  if (configuration_.is_phase1_quorum(election_.lost_members())) campaign(effects);
}

void Engine::tick_catch_up(Effects& effects) {
  if (learner_.known_commit() <= commit()) {
    behind_since_us_ = 0;
    return;
  }
  if (behind_since_us_ == 0) behind_since_us_ = now_us_;
  // What is missing may just be late; and an answer is not asked for twice at once.
  if (now_us_ - behind_since_us_ < timeouts_.catch_up_us || now_us_ - catch_up_sent_us_ < catch_up_resend_us) return;
  ask_catch_up(effects);
}

// Those that are known to know more, in turn. One of them may have lost what we need; after a while everybody is asked.
void Engine::ask_catch_up(Effects& effects) {
  const std::size_t members = configuration_.size();
  const bool in_vain = behind_since_us_ != 0 && now_us_ - behind_since_us_ > catch_up_vain_us;
  for (std::size_t tried = 0; tried < members; ++tried) {
    const std::size_t peer = (catch_up_turn_ + tried) % members;
    const bool knows_more = learner_.peer_commit(peer) > commit();
    if (peer == place_ || (!knows_more && !in_vain)) continue;
    catch_up_turn_ = peer + 1;
    const Slot known = knows_more ? learner_.peer_commit(peer) : learner_.known_commit();
    catch_up_to_ = std::min(known, commit() + catch_up_slots_max);
    catch_up_to_ = std::min(catch_up_to_, acceptor_.slots().last());
    catch_up_sent_us_ = now_us_;
    return send(configuration_.member(peer), promised(), wire::CatchUp{commit() + 1, catch_up_to_}, effects);
  }
}

}  // namespace synod::consensus
