#include "bench/floor_device.h"

#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <thread>

#include "dataplane/clock.h"
#include "dataplane/lcore.h"
#include "replica/stop.h"
#include "storage/aligned_buffer.h"
#include "storage/durability.h"
#include "storage/format.h"
#include "storage/uring_device.h"

namespace synod::bench {

namespace {

constexpr std::uint64_t file_bytes_min = 16U << 20;

// One replica's file, written from its start to its end, again and again.
struct File {
  std::unique_ptr<storage::UringDevice> device;
  std::uint64_t next_offset = 0;
  std::uint64_t writing_round = 0;  // 0: nothing in flight
  std::uint64_t durable_round = 0;
};

class Rounds {
 public:
  Rounds(std::vector<File>& files, std::size_t write_bytes) : files_(files), buffer_(write_bytes), quorum_(files.size() / 2 + 1) {
    for (std::byte& byte : buffer_.bytes()) byte = std::byte{0x5A};
  }

  // Until so much time is over, one round at least; records each duration.
  Result<> run(std::uint64_t duration_ns, Histogram& rounds_ns) {
    const std::uint64_t begin = dataplane::now_ns();
    std::uint64_t round_begin = begin;
    while (round_begin - begin < duration_ns || rounds_ns.count() == 0) {
      ++round_;
      for (File& file : files_) start(file);
      while (durable() < quorum_) {
        if (auto polled = poll(true); !polled) return polled;
      }
      const std::uint64_t now = dataplane::now_ns();
      if (round_begin - begin > duration_ns / 10) rounds_ns.record(now - round_begin);
      round_begin = now;
    }
    return drain();
  }

 private:
  void start(File& file) {
    if (file.writing_round != 0) return;
    if (file.next_offset + buffer_.size() > file.device->info().size_bytes) file.next_offset = 0;
    file.writing_round = round_;
    file.device->write_durable(file.next_offset, buffer_.bytes(), 0);
    file.next_offset += buffer_.size();
    file.device->submit();
  }

  // `again`: a file that was late begins the round of now.
  Result<> poll(bool again) {
    if (replica::stop_requested) return fail("interrupted");
    for (File& file : files_) {
      std::array<storage::Completion, 4> finished;
      if (file.device->poll(finished) == 0) continue;
      if (finished[0].error != 0) {
        return fail(fmt::format("a write to the floor's file failed ({}): use another disk", std::strerror(finished[0].error)));
      }
      file.durable_round = file.writing_round;
      file.writing_round = 0;
      if (again && file.durable_round < round_) start(file);
    }
    return {};
  }

  [[nodiscard]] std::size_t durable() const {
    return static_cast<std::size_t>(std::ranges::count_if(files_, [&](const File& f) { return f.durable_round == round_; }));
  }

  Result<> drain() {
    while (std::ranges::any_of(files_, [](const File& file) { return file.writing_round != 0; })) {
      if (auto polled = poll(false); !polled) return polled;
    }
    return {};
  }

  std::vector<File>& files_;
  storage::AlignedBuffer buffer_;
  std::size_t quorum_;
  std::uint64_t round_ = 0;
};

// Makes the files, and removes them at the end.
class Files {
 public:
  explicit Files(const DeviceFloorOptions& options) : options_(options) {}
  ~Files() {
    files_.clear();
    for (const std::string& path : paths_) {
      std::error_code ignored;
      std::filesystem::remove(path, ignored);
    }
  }
  Files(const Files&) = delete;
  Files& operator=(const Files&) = delete;

  Result<> create() {
    const std::uint64_t bytes = std::max<std::uint64_t>(file_bytes_min, align_up(options_.write_bytes * 8, 4096));
    for (std::size_t i = 0; i < options_.replicas; ++i) {
      paths_.push_back((std::filesystem::path(options_.directory) / fmt::format("floor-{}", i + 1)).string());
      std::error_code ignored;
      std::filesystem::remove(paths_.back(), ignored);  // of a run that was killed
      if (auto made = storage::create_prewritten(paths_.back(), bytes, {}); !made) return made;
      auto device = storage::UringDevice::open(paths_.back(), storage::durability_methods.front());
      if (!device) return std::unexpected(device.error());
      files_.push_back({.device = *std::move(device)});
    }
    return {};
  }

  [[nodiscard]] std::vector<File>& all() { return files_; }

 private:
  const DeviceFloorOptions& options_;
  std::vector<std::string> paths_;
  std::vector<File> files_;
};

Result<DeviceFloor> measure(const DeviceFloorOptions& options) {
  if (auto pinned = dataplane::pin_to_core(options.replica_core); !pinned) return std::unexpected(pinned.error());
  Files files(options);
  if (auto created = files.create(); !created) return std::unexpected(created.error());
  DeviceFloor floor;
  for (const storage::DurabilityMethod method : storage::durability_methods) {
    for (File& file : files.all()) {
      file.device->use(method);
      file.durable_round = 0;
    }
    Histogram rounds_ns;
    Rounds rounds(files.all(), options.write_bytes);
    if (auto done = rounds.run(static_cast<std::uint64_t>(options.seconds_per_method * 1e9), rounds_ns); !done) {
      return std::unexpected(done.error());
    }
    floor.methods.push_back(floor_time(storage::name(method), rounds_ns));
  }
  const storage::DeviceInfo& info = files.all().front().device->info();
  floor.device = info.description.substr(0, info.description.find(", O_DIRECT"));
  floor.stable = info.stable;
  return floor;
}

}  // namespace

Result<DeviceFloor> measure_device_floor(const DeviceFloorOptions& options) {
  Result<DeviceFloor> floor;
  std::thread([&] { floor = measure(options); }).join();
  return floor;
}

}  // namespace synod::bench
