// A process that was started here, and ends with this one however that ends. Control path.
//
// Thread: one, and it must outlive the child: the kernel ends a child when the thread that started it does.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "base/error.h"

namespace synod::replica {

class Child {
 public:
  Child() = default;
  Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  Child& operator=(Child&& other) noexcept {
    std::swap(pid_, other.pid_);
    return *this;
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() { stop(); }

  // `command`: a path, and its arguments. What it prints is added to the file `log`.
  [[nodiscard]] static Result<Child> start(const std::vector<std::string>& command, const std::string& log);

  // SIGKILL, and waits until it is gone.
  void kill();
  // SIGTERM, and waits; SIGKILL after five seconds.
  void stop();
  [[nodiscard]] bool is_running();
  [[nodiscard]] pid_t pid() const { return pid_; }  // -1: there is none

 private:
  explicit Child(pid_t pid) : pid_(pid) {}

  pid_t pid_ = -1;
};

// The last line of a log that says something; empty if there is none.
[[nodiscard]] std::string last_line_of(const std::string& log);

}  // namespace synod::replica
