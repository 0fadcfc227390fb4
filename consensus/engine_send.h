// How the engine words its messages; shared by engine.cc and engine_leader.cc.
#pragma once

#include "consensus/engine.h"

namespace synod::consensus {

[[nodiscard]] inline wire::RecordHeader record_header(Slot slot, Ballot ballot, const Value& value) {
  return wire::seal({.slot = slot,
                     .ballot = ballot,
                     .body_bytes = value.body_bytes,
                     .body_checksum = value.checksum,
                     .kind = wire::RecordKind::accepted});
}

inline void Engine::send(ReplicaId to, Ballot ballot, const wire::PeerPayload& payload, Effects& effects, BodyHandle body) const {
  effects.sends.push_back({to, ballot, commit(), Probe{}, payload, body});
}

template <class MakePayload>
void Engine::send_to_peers(Ballot ballot, const MakePayload& payload, Effects& effects) const {
  for (std::size_t peer = 0; peer < configuration_.size(); ++peer) {
    if (peer != place_) send(configuration_.member(peer), ballot, payload, effects);
  }
}

}  // namespace synod::consensus
