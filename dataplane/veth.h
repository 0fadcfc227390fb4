// Pairs of kernel interfaces (veth) in a network namespace of this process's own: nothing else can see them, and they are gone
// with it. Control path; root; uses the program `ip`.
#pragma once

#include <string>

#include "base/error.h"

namespace synod::dataplane {

// The calling thread, and those that it starts from now on, see no network but a fresh one with a loopback interface. Needs
// CAP_SYS_ADMIN and CAP_NET_ADMIN. Does nothing the second time.
[[nodiscard]] Result<> enter_network_namespace();

// Two interfaces that are joined, and up. In such a namespace.
[[nodiscard]] Result<> make_veth_pair(const std::string& a, const std::string& b);

}  // namespace synod::dataplane
