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

 private:
  int fd_;
};

[[nodiscard]] Result<> write_all(int fd, const std::string& path, Bytes data, std::uint64_t offset);
[[nodiscard]] Result<> sync_file(int fd, const std::string& path);
[[nodiscard]] Result<> sync_directory_of(const std::string& path);
// Reserves `bytes`, writes zeros into all of them and syncs the file.
[[nodiscard]] Result<> fill_prewritten(int fd, const std::string& path, std::uint64_t bytes,
                                       const std::function<void(std::uint64_t, std::uint64_t)>& progress);

}  // namespace synod::storage
