// A replica's stable storage, opened: a directory's journal file, or memory for a diskless group.
#pragma once

#include <memory>
#include <string>

#include "base/error.h"
#include "storage/device.h"
#include "storage/format.h"
#include "storage/memory_device.h"
#include "storage/uring_device.h"

namespace synod::replica {

class Data {
 public:
  // A formatted directory. Takes its lock.
  [[nodiscard]] static Result<Data> open(const std::string& directory);
  // A fresh disk in memory, with a fresh uuid. `touch`: takes all its memory from the system at once.
  [[nodiscard]] static Result<Data> make_memory(std::uint64_t bytes, const std::string& cluster, ReplicaId replica,
                                                std::uint16_t members, bool touch = false, GroupId group = {});

  [[nodiscard]] storage::DeviceRef device() {
    return disk_ != nullptr ? storage::DeviceRef(*disk_) : storage::DeviceRef(*memory_);
  }

 private:
  std::unique_ptr<storage::UringDevice> disk_;
  std::unique_ptr<storage::MemoryDevice> memory_;
};

}  // namespace synod::replica
