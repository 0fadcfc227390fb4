#include "bench/capacity.h"

#include <sys/sysinfo.h>

#include <algorithm>

#include "bench/measure.h"
#include "storage/layout.h"
#include "wire/body.h"

namespace synod::bench {

namespace {

// A block for every slot, and the entries. Generous, for a journal that is full ends the run; not too generous, for all of it is
// written (or taken from the system) before the run.
std::uint64_t wanted(const Options& options) {
  const auto crowd = static_cast<double>(options.in_flight * options.clients);
  const double blocks = options.diskless() ? std::max(40'000.0, 170'000 / (1 + crowd / 16)) : 16'000;  // a second
  const double entries_closed = std::min(options.diskless() ? 10e6 : 2.5e6, blocks * crowd);
  const double entries = options.rate == 0 ? entries_closed : std::min(entries_closed, static_cast<double>(options.rate));
  const auto entry_bytes = static_cast<double>(options.payload_bytes + wire::entry_header_bytes);
  const double bytes = std::min(blocks, entries) * storage::device_block_bytes +
                       std::min(entries * entry_bytes, options.diskless() ? 1600e6 : 800e6);
  return (64ULL << 20) + static_cast<std::uint64_t>(bytes * seconds_of_load(options));
}

}  // namespace

std::uint64_t journal_bytes(const Options& options, const Directory* directory) {
  std::uint64_t available = 0;
  if (directory != nullptr && !options.diskless()) {
    available = directory->free_bytes();
  } else {
    struct sysinfo info{};
    if (::sysinfo(&info) == 0) available = (info.freeram + info.bufferram) * info.mem_unit;
  }
  const std::uint64_t bytes = options.capacity_bytes != 0 ? options.capacity_bytes : wanted(options);
  return std::min(bytes, available / 10 * 8 / options.replicas);
}

}  // namespace synod::bench
