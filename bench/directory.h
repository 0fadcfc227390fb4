// The directory in which a bench keeps the journals that it formats and the files of its floors. Everything in it is gone at
// the end, and the directory too if it was made here.
#pragma once

#include <memory>
#include <string>

#include "base/error.h"

namespace synod::bench {

class Directory {
 public:
  // With a path: that directory, made if there is none; it must be empty, or left behind by a bench. Without: a temporary one
  // on a file system that can promise durable writes, below $TMPDIR, the current directory, /var/tmp or /tmp.
  [[nodiscard]] static Result<std::unique_ptr<Directory>> make(const std::string& path);
  ~Directory();
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::uint64_t free_bytes() const;
  // Removes what is in it.
  void clear() const;

 private:
  Directory(std::string path, bool ours) : path_(std::move(path)), ours_(ours) {}

  std::string path_;
  bool ours_;  // made here, so removed at the end
};

}  // namespace synod::bench
