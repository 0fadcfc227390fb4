// When each step on the way of an append happened at the leader: for measuring, and off unless somebody asks.
//
// The node stamps slots as they pass; a slot whose answers have left is published, oldest first, to one reader. Times are ticks
// of the CPU's time stamp counter (dataplane/clock.h), the same on all cores; no step lies before the one in front of it,
// whatever order disks and peers took: a step that the commit did not wait for takes no time.
//
// Threads: the node's calls the steps, one other calls `set_enabled` and `take`. No heap after construction. A reader that is too
// slow loses slots.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "dataplane/clock.h"

namespace synod::replica {

// Steps of a slot at its leader, in order.
enum class Step : std::uint8_t { received, proposed, sent, peers_durable, own_durable, committed, answered, count_ };

inline constexpr std::size_t steps = static_cast<std::size_t>(Step::count_);

struct SlotTimes {
  Lsn first;                // of the slot's entries
  std::uint64_t count = 0;  // of them
  std::array<std::uint64_t, steps> ticks{};
};

class StageTrace {
 public:
  // `peers`: whose votes make a quorum together with our own.
  explicit StageTrace(std::size_t peers) : peers_(peers), slots_(capacity), published_(capacity) {}

  // The reader's.
  void set_enabled(bool enabled) { enabled_.store(enabled, std::memory_order_relaxed); }
  [[nodiscard]] bool take(SlotTimes& out) {
    const std::uint64_t tail = tail_.load(std::memory_order_relaxed);
    if (tail == head_.load(std::memory_order_acquire)) return false;
    out = published_[tail % capacity];
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }

  // The node's: steps of the batch that gathers, of a slot, and of all that wait to be flushed.
  [[nodiscard]] bool enabled() const { return enabled_.load(std::memory_order_relaxed); }
  void on_received() {
    if (received_ == 0) received_ = dataplane::ticks();
  }
  void on_proposed(Slot slot) {
    Pending& pending = slots_[slot.value() % capacity];
    pending = {.slot = slot};
    stamp(pending, Step::received, received_);
    stamp(pending, Step::proposed, dataplane::ticks());
    received_ = 0;
    unsent_ = unsent_ == Slot{} ? slot : unsent_;
    proposed_ = slot;
  }
  void on_peer_durable(Slot slot, std::size_t place) {
    Pending* const pending = find(slot);
    if (pending == nullptr) return;
    pending->voters |= std::uint64_t{1} << place;
    std::uint64_t& at = pending->times.ticks[index(Step::peers_durable)];
    if (at == 0 && static_cast<std::size_t>(std::popcount(pending->voters)) >= peers_) at = dataplane::ticks();
  }
  void on_own_durable(Slot slot) {
    if (Pending* const pending = find(slot); pending != nullptr && pending->times.ticks[index(Step::own_durable)] == 0) {
      stamp(*pending, Step::own_durable, dataplane::ticks());
    }
  }
  void on_committed(Slot slot, Lsn first, std::uint64_t count) {
    Pending* const pending = find(slot);
    if (pending == nullptr) return;
    pending->times.first = first;
    pending->times.count = count;
    stamp(*pending, Step::committed, dataplane::ticks());
    unanswered_ = unanswered_ == Slot{} ? slot : unanswered_;
    committed_ = slot;
  }
  void on_flushed() {
    const std::uint64_t now = dataplane::ticks();
    if (unsent_ != Slot{}) {
      for (Slot slot = unsent_; slot <= proposed_; ++slot) {
        if (Pending* const pending = find(slot)) stamp(*pending, Step::sent, now);
      }
      unsent_ = Slot{};
    }
    if (unanswered_ == Slot{}) return;
    for (Slot slot = unanswered_; slot <= committed_; ++slot) {
      if (Pending* const pending = find(slot)) publish(*pending, now);
    }
    unanswered_ = Slot{};
  }

 private:
  static constexpr std::size_t capacity = 4096;  // more than a window

  struct Pending {
    Slot slot;
    std::uint64_t voters = 0;  // bits by place
    SlotTimes times;
  };

  static constexpr std::size_t index(Step step) { return static_cast<std::size_t>(step); }
  static void stamp(Pending& pending, Step step, std::uint64_t now) { pending.times.ticks[index(step)] = now; }
  [[nodiscard]] Pending* find(Slot slot) {
    Pending& pending = slots_[slot.value() % capacity];
    return pending.slot == slot ? &pending : nullptr;
  }

  void publish(Pending& pending, std::uint64_t now) {
    stamp(pending, Step::answered, now);
    pending.slot = Slot{};
    auto& ticks = pending.times.ticks;
    const std::uint64_t committed = ticks[index(Step::committed)];
    // What the commit did not wait for: later, or never.
    for (const Step step : {Step::sent, Step::peers_durable, Step::own_durable}) {
      std::uint64_t& at = ticks[index(step)];
      at = at == 0 ? committed : std::min(at, committed);
    }
    for (std::size_t i = 1; i < steps; ++i) ticks[i] = std::max(ticks[i], ticks[i - 1]);
    const std::uint64_t head = head_.load(std::memory_order_relaxed);
    if (head - tail_.load(std::memory_order_acquire) == capacity) return;
    published_[head % capacity] = pending.times;
    head_.store(head + 1, std::memory_order_release);
  }

  std::size_t peers_;
  std::atomic<bool> enabled_ = false;
  std::uint64_t received_ = 0;
  Slot unsent_;  // the first of them; 0: none
  Slot proposed_;
  Slot unanswered_;
  Slot committed_;
  std::vector<Pending> slots_;
  std::vector<SlotTimes> published_;  // head_ - tail_ of them, from tail_ on
  std::atomic<std::uint64_t> head_ = 0;
  std::atomic<std::uint64_t> tail_ = 0;
};

}  // namespace synod::replica
