// What a load is put on: something that takes entries from a number of clients and says how each append ended. Synod's is the
// Link; its neighbours in the field have one each (bench/neighbours).
//
// Thread: one, that of the load. `turn` never sleeps.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/bytes.h"
#include "base/error.h"
#include "bench/payloads.h"
#include "bench/progress.h"
#include "client/session.h"

namespace synod::bench {

// How one append ended. `tag`: what try_append was given for it.
struct Finished {
  std::uint32_t tag = 0;
  client::Outcome outcome = client::Outcome::unknown;
  Lsn lsn;  // of an appended entry, where there is such a thing
};

enum class Health : std::uint8_t {
  good,
  full,  // takes no more entries, and answers for those that it has
};

struct AppenderCounters {
  std::uint64_t messages = 0;  // of appends, without repetitions
  std::uint64_t resent = 0;
  std::uint64_t busy = 0;       // refusals that asked to try later
  std::uint64_t misplaced = 0;  // appended, but not behind all earlier ones of its client
};

struct Verified {
  std::uint64_t written = 0;  // entries that were acknowledged
  std::uint64_t entries = 0;  // of them, read back as they were written
  std::uint64_t wrong = 0;    // of them, with other bytes
  double seconds = 0;
  std::string how;  // what was compared, if not every byte of every entry
};

class Appender {
 public:
  virtual ~Appender() = default;

  [[nodiscard]] virtual std::size_t clients() const = 0;
  // Takes entry `number` of a client (they rise from 0) or, if there is no room now, nothing. `tag` comes back when it has ended.
  virtual bool try_append(std::size_t client, std::uint64_t number, Bytes payload, std::uint32_t tag, std::uint64_t now_ns) = 0;
  // One turn of sending and receiving; whether anything came in.
  virtual bool turn(std::uint64_t now_ns) = 0;
  // Appends that ended since the last call, at most `out.size()`; those of a client need not be in order.
  virtual std::size_t take_finished(std::span<Finished> out) = 0;
  // An error: nothing more will be appended, and why.
  [[nodiscard]] virtual Result<Health> health() = 0;
  [[nodiscard]] virtual AppenderCounters counters() const = 0;
  // Reads back what was appended since the last time.
  [[nodiscard]] virtual Result<Verified> verify(Payloads& payloads, Progress& progress) = 0;
};

}  // namespace synod::bench
