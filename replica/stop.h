// How a polling loop is told to end: by another thread, or by SIGINT and SIGTERM.
#pragma once

#include <atomic>
#include <csignal>

namespace synod::replica {

inline std::atomic<bool> stop_requested = false;

// SIGINT and SIGTERM set stop_requested; a second one ends the process at once.
inline void stop_on_signals() {
  const auto handler = [](int signal) {
    if (stop_requested.exchange(true)) {
      std::signal(signal, SIG_DFL);
      std::raise(signal);
    }
  };
  std::signal(SIGINT, handler);
  std::signal(SIGTERM, handler);
}

}  // namespace synod::replica
