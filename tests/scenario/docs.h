// Diagrams in the documentation that cannot rot: a line `<!-- scenario NAME text -->` (or mermaid) and a fenced block right below
// it, which holds exactly what the program prints for that scenario.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace synod::scenario {

// Which diagram: `<!-- scenario livelock mermaid 3..5 -->` draws blocks 3 to 5.
struct DiagramRequest {
  std::string scenario;
  bool is_mermaid = false;
  std::size_t first = 0;  // 0: from the first block
  std::size_t last = 0;   // 0: to the last
};

using Draw = std::function<std::string(const DiagramRequest& request)>;

// What `scenario --diagram` prints for a scenario's file.
[[nodiscard]] std::string draw_scenario(std::string_view script, const DiagramRequest& request);

// The document with every marked block as it should be; `blocks` counts them.
[[nodiscard]] std::string refresh_diagrams(std::string_view document, const Draw& draw, int& blocks);

}  // namespace synod::scenario
