// How the engine words its messages; shared by its files.
#pragma once

#include "consensus/engine.h"

namespace synod::consensus {

// Of one request to catch up.
inline constexpr std::uint64_t catch_up_slots_max = 64;

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
