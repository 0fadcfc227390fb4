// DPDK's environment: started once per process, before the first DPDK port.
//
// Takes huge pages where enough are free, ordinary memory where not; needs no root either way, and leaves no file behind: what
// DPDK wants to write goes to a private directory that is removed right after the start. DPDK's own log is silent unless
// `verbose`; the first line of what it complained about becomes part of our error.
// DPDK pins the thread that starts it and its own control threads; the affinity of the calling thread is restored.
// SIGPIPE is ignored from then on (unless the process handles it): drivers write to sockets of peers that may just have died.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/error.h"

namespace synod::dataplane {

struct EalOptions {
  // The cores of the polling threads: DPDK keeps its control threads off them where there are others. Empty: the first one
  // that this thread may use.
  std::vector<unsigned> cores;
  // All packet buffers come from it; without huge pages it is reserved at start (address space; touched as it is used).
  std::size_t memory_mb = 256;
  bool huge_pages = true;                // false: never, even where there are some
  std::vector<std::string> pci_devices;  // addresses of the NICs to take; no other is touched
  bool verbose = false;
};

// Starts it, or does nothing if it runs already. Control thread.
[[nodiscard]] Result<> start_eal(const EalOptions& options);
[[nodiscard]] bool eal_is_started();
[[nodiscard]] bool eal_has_huge_pages();

// Gives the calling thread a cache of packet buffers of its own. Each polling thread calls it once; without it the ports work,
// more slowly. Undone when the thread ends.
[[nodiscard]] Result<> register_polling_thread();

// The first line that DPDK has logged since the last call, in brackets, or nothing: for one-line errors.
[[nodiscard]] std::string take_eal_complaint();

}  // namespace synod::dataplane
