// The addresses of a cluster as a user writes them.
#pragma once

#include <string_view>
#include <vector>

#include "base/error.h"
#include "client/leader.h"

namespace synod::client {

// "HOST:PORT,HOST:PORT,...": the replicas 1, 2, ... in this order. "ID=HOST:PORT" names the id itself, all or none of them do.
// Host names are resolved (IPv4), which may block. The addresses are those of group 0: the others follow at the next UDP ports.
[[nodiscard]] Result<std::vector<Peer>> parse_cluster(std::string_view text, GroupId group = {});

}  // namespace synod::client
