// Clients of a neighbour: a connection each, kept alive. What every adapter's Appender would have to do, once.
//
// An append that is not answered in time, or whose connection breaks, has an unknown outcome; the client connects to the next
// node and goes on. While each client has as
// many appends in flight as it may, a turn waits for answers, up to a millisecond: the servers need the cores. Thread: one.
#pragma once

#include <poll.h>

#include <memory>
#include <vector>

#include "base/prng.h"
#include "bench/appender.h"
#include "bench/neighbours/neighbour.h"

namespace synod::bench {

class Connections final : public Appender {
 public:
  static constexpr std::uint64_t answer_ns_max = 5'000'000'000;

  // `neighbour` has been started, and outlives this.
  Connections(Neighbour& neighbour, std::size_t clients, std::size_t in_flight);

  [[nodiscard]] std::size_t clients() const override { return ends_.size(); }
  bool try_append(std::size_t client, std::uint64_t number, Bytes payload, std::uint32_t tag, std::uint64_t now_ns) override;
  bool turn(std::uint64_t now_ns) override;
  std::size_t take_finished(std::span<Finished> out) override;
  [[nodiscard]] Result<Health> health() override;
  [[nodiscard]] AppenderCounters counters() const override { return {.messages = sent_}; }
  // Compares the neighbour's count with ours, and the bytes of a sample of the entries.
  [[nodiscard]] Result<Verified> verify(Payloads& payloads, Progress& progress) override;

 private:
  struct Slot {
    bool is_busy = false;
    std::uint64_t number = 0;
    std::uint32_t tag = 0;
    std::uint64_t sent_ns = 0;
  };
  // One client.
  struct End {
    std::unique_ptr<Connection> connection;  // none: it broke
    std::size_t node = 0;
    std::vector<Slot> slots;
    std::vector<std::uint32_t> free;  // slots
    std::uint64_t retry_ns = 0;       // connects no earlier
  };
  struct Sampled {
    EntryKey key;
    std::uint64_t place = 0;
  };

  void connect(End& end, std::uint64_t now_ns);
  void finish(End& end, std::uint32_t slot, client::Outcome outcome);
  void give_up(End& end, std::uint64_t now_ns, const std::string& why);
  void take(std::size_t client, const Reply& reply);
  void wait();
  void check_times(std::uint64_t now_ns);
  void sample(EntryKey key, std::uint64_t place);

  Neighbour& neighbour_;
  std::vector<End> ends_;
  std::vector<Reply> replies_;
  std::vector<pollfd> waited_;
  std::vector<Finished> finished_;
  std::size_t finished_taken_ = 0;
  std::string broken_;              // why a connection broke last
  std::uint64_t connected_ns_ = 0;  // when all were last connected
  std::uint64_t checked_ns_ = 0;
  std::uint64_t sent_ = 0;
  std::uint64_t appended_ = 0;
  std::vector<Sampled> sample_;  // each appended entry is in it with the same probability
  Prng prng_{1};
};

}  // namespace synod::bench
