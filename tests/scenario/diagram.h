// A scenario's trace as a message sequence: time goes down, one column a replica. A message is drawn when it arrives, or where it
// is lost (x). That a record became durable is drawn where the script lets records wait for the disk; else it follows at once.
#pragma once

#include <span>
#include <string>

#include "tests/scenario/trace.h"

namespace synod::scenario {

[[nodiscard]] std::string text_diagram(const Names& names, std::span<const Event> events);
// Source of a Mermaid sequenceDiagram, which GitHub and many editors draw.
[[nodiscard]] std::string mermaid_diagram(const Names& names, std::span<const Event> events);

}  // namespace synod::scenario
