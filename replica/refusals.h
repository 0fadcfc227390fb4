// Which appends were refused here, so that a refusal holds: a client that was told "busy" counts that attempt as not appended,
// and the network may deliver a second copy of it a moment later.
//
// A session's message ids rise with its attempts, and an attempt after a refusal has a new one; so the highest refused id of a
// session is enough. What is refused once too often by that rule is merely sent again under a new id. A fixed table, one place a
// session by hash; a session that takes another's place makes it forget. No heap; thread: the node's.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/ids.h"

namespace synod::replica {

class Refusals {
 public:
  void remember(SessionId session, std::uint64_t message_id) {
    Refused& refused = at(session);
    if (refused.session != session) refused = {session, 0};
    refused.message_id = std::max(refused.message_id, message_id);
  }
  [[nodiscard]] bool cover(SessionId session, std::uint64_t message_id) const {
    const Refused& refused = at(session);
    return refused.session == session && message_id <= refused.message_id;
  }

 private:
  struct Refused {
    SessionId session;
    std::uint64_t message_id = 0;
  };
  static constexpr std::size_t places = 4096;

  // Sessions are opened in slots of their own as a rule: consecutive ones take different places.
  [[nodiscard]] static std::size_t place_of(SessionId session) { return (session.value() >> 16 ^ session.value()) % places; }
  [[nodiscard]] Refused& at(SessionId session) { return refused_[place_of(session)]; }
  [[nodiscard]] const Refused& at(SessionId session) const { return refused_[place_of(session)]; }

  std::array<Refused, places> refused_{};
};

}  // namespace synod::replica
