// Plain files on the control path.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/error.h"

namespace synod::storage {

// Owns a file descriptor (or -1).
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int fd() const { return fd_; }
  // Gives it to the caller, who closes it.
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

[[nodiscard]] bool is_block_device(const std::string& path);
[[nodiscard]] Result<std::uint64_t> size_of_open(int fd, const std::string& path);
// Opens a file or block device for O_DIRECT reading and writing, and locks it; nobody else can then, until it is closed.
[[nodiscard]] Result<int> open_exclusive(const std::string& path);
[[nodiscard]] Result<> write_all(int fd, const std::string& path, Bytes data, std::uint64_t offset);
[[nodiscard]] Result<> sync_file(int fd, const std::string& path);
[[nodiscard]] Result<> sync_directory_of(const std::string& path);
// Reserves `bytes`: blocks are taken from the file system, but not yet written. Says how much is free if that is too little.
[[nodiscard]] Result<> reserve_space(int fd, const std::string& path, std::uint64_t bytes);
[[nodiscard]] Error no_space(int fd, const std::string& path, std::uint64_t bytes_needed);
// Reserves `bytes`, writes zeros into all of them and syncs the file.
[[nodiscard]] Result<> fill_prewritten(int fd, const std::string& path, std::uint64_t bytes,
                                       const std::function<void(std::uint64_t, std::uint64_t)>& progress);

}  // namespace synod::storage
