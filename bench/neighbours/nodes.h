// The three processes of a neighbour, on ports of 127.0.0.1 that were free. Gone when this is, or when the bench is, however it
// ends. Thread: see replica/child.h.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "bench/neighbours/neighbour.h"
#include "replica/child.h"

namespace synod::bench {

class Nodes {
 public:
  static constexpr std::size_t size = neighbour_nodes;

  // Makes directory/1, 2, 3 and finds ports.
  [[nodiscard]] Result<> prepare(const std::string& directory);
  // What the program prints goes to directory/1.log, ...
  [[nodiscard]] Result<> start(std::size_t node, const std::vector<std::string>& command);
  // Asks until the answer is yes, a node died, somebody interrupts or it takes too long.
  [[nodiscard]] Result<> wait(const char* for_what, const std::function<bool()>& is_ready);

  [[nodiscard]] std::string directory(std::size_t node) const;
  // For clients, and for the other nodes.
  [[nodiscard]] std::uint16_t client_port(std::size_t node) const { return ports_[node]; }
  [[nodiscard]] std::uint16_t peer_port(std::size_t node) const { return ports_[size + node]; }

 private:
  [[nodiscard]] std::string log(std::size_t node) const { return directory(node) + ".log"; }

  std::string directory_;
  std::array<std::uint16_t, 2 * size> ports_{};
  std::array<replica::Child, size> children_;
};

// The connection to any node that answers: kept while it does, and opened to the next one when it does not.
template <class Connection>
class AnyNode {
 public:
  // `open(node)` connects; `ask(connection)` asks. Tries each node once, from `first` on.
  template <class Open, class Ask>
  [[nodiscard]] auto ask(std::size_t first, Open&& open, Ask&& ask) -> decltype(ask(std::declval<Connection&>())) {
    decltype(ask(std::declval<Connection&>())) answer = fail("no node answers");
    for (std::size_t i = 0; i < Nodes::size; ++i) {
      if (!connection_) {
        auto opened = open((first + i) % Nodes::size);
        if (!opened) continue;
        connection_ = *std::move(opened);
      }
      answer = ask(*connection_);
      if (answer) return answer;
      connection_.reset();
    }
    return answer;
  }
  // After an answer.
  [[nodiscard]] const Connection& connection() const { return *connection_; }

 private:
  std::unique_ptr<Connection> connection_;
};

}  // namespace synod::bench
