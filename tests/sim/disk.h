// The simulated disk: sectors, writes in flight, and everything that can go wrong with them.
//
// A write reaches the sectors when its completion is handed out, in whatever order the drawn latencies say. What is in flight
// when power goes is absent, whole, or torn: any subset of its 512-byte sectors, seldom with one sector of garbage.
//
// `opening`: recovery blocks, and virtual time stands still meanwhile, so every operation is finished at once.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <vector>

#include "base/prng.h"
#include "storage/aligned_buffer.h"
#include "storage/device.h"
#include "storage/layout.h"

namespace synod::sim {

inline constexpr std::size_t sector_bytes = 512;

struct DiskConduct {
  std::uint64_t latency_us_min = 20;
  std::uint64_t latency_us_max = 80;
  std::uint64_t stalled_until_us = 0;
  std::uint32_t read_error_permille = 0;
  std::uint32_t misread_permille = 0;
  // While the journal is opened, reads at and behind this offset are left alone.
  std::uint64_t misread_end = 0;
  bool next_write_fails = false;
  std::optional<std::uint64_t> misdirect_next_write_to;
};

struct Cut {
  std::uint32_t absent = 0;
  std::uint32_t whole = 0;
  std::uint32_t torn = 0;
};

struct DiskCounters {
  std::uint64_t read_errors = 0;
  std::uint64_t misreads = 0;
  std::uint64_t write_errors = 0;
  std::uint64_t misdirected = 0;
};

class Disk {
 public:
  Disk(std::uint64_t size_bytes, Prng prng);

  // The members of storage::DeviceRef.
  void write_durable(std::uint64_t offset, Bytes data, std::uint64_t token);
  void read(std::uint64_t offset, MutableBytes to, std::uint64_t token);
  void submit();
  [[nodiscard]] std::size_t poll(std::span<storage::Completion> out);
  [[nodiscard]] const storage::DeviceInfo& info() const { return info_; }
  [[nodiscard]] std::uint64_t ready_bytes() const { return info_.size_bytes; }

  // Told of each write when it is asked for, and when it is on the sectors and reported so.
  std::function<void(std::uint64_t offset, Bytes data)> on_asked;
  std::function<void(std::uint64_t offset, Bytes data)> on_landed;

  DiskConduct conduct;
  std::uint64_t now_us = 0;
  bool opening = false;
  std::optional<std::uint32_t> dies_after_writes;  // power goes when so many more were asked for

  [[nodiscard]] bool has_writes_in_flight() const;
  // From here on every operation fails, until revive().
  Cut cut_power();  // what was in flight is torn
  void kill();      // what the kernel has lands whole
  void revive();
  [[nodiscard]] bool is_dead() const { return dead_; }

  // Misdirected writes whose loss nobody can notice yet, put right. Returns how many.
  std::size_t undo_misdirected(const std::function<bool(Bytes)>& can_be_noticed);

  [[nodiscard]] bool is_readable(std::uint64_t offset, std::uint64_t bytes) const;
  void make_unreadable(std::uint64_t offset) { unreadable_.insert(offset / sector_bytes); }
  void flip_bits(std::uint64_t offset, std::size_t bytes);
  void rot(std::uint64_t offset, std::uint64_t bytes);
  void put_back(Bytes sectors);
  void truncate(std::uint64_t bytes) { info_.size_bytes = bytes; }
  [[nodiscard]] MutableBytes sectors() { return memory_.bytes(); }
  [[nodiscard]] Bytes sectors() const { return memory_.bytes(); }
  [[nodiscard]] const DiskCounters& counters() const { return counters_; }

 private:
  struct Operation {
    std::uint64_t token = 0;
    std::uint64_t offset = 0;
    Bytes data;       // of a write; the caller keeps it until the completion
    MutableBytes to;  // of a read
    std::uint64_t ready_us = 0;
    bool is_write = false;
    bool submitted = false;
  };
  struct Misdirected {
    std::uint64_t offset = 0;
    std::vector<std::byte> data;
    std::uint64_t went_to = 0;
    std::vector<std::byte> overwrote;  // empty: it was written over since
  };

  [[nodiscard]] bool is_ready(const Operation& operation) const;
  [[nodiscard]] std::int32_t carry_out(const Operation& operation);
  [[nodiscard]] std::int32_t carry_out_write(const Operation& operation);
  [[nodiscard]] std::int32_t carry_out_read(const Operation& operation);
  void make_readable(std::uint64_t offset, std::uint64_t bytes);
  void forget_misdirected(std::uint64_t offset, std::uint64_t bytes);
  void tear(const Operation& operation, Cut& cut);

  storage::AlignedBuffer memory_;
  storage::DeviceInfo info_;
  Prng prng_;
  std::vector<Operation> operations_;
  std::set<std::uint64_t> unreadable_;  // sectors
  std::vector<Misdirected> misdirected_;
  bool dead_ = false;
  DiskCounters counters_;
};

// Makes an empty journal over the whole disk, as `synod format` does; the uuid is drawn by the caller.
void format(Disk& disk, storage::NewJournal journal);

}  // namespace synod::sim
