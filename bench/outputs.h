// The files that reports go to. They are opened before a run starts, so that a path that cannot be written is known at once, and
// get their names only when they are complete: what was there before stays until then.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "bench/report.h"

namespace synod::bench {

// Empty: not wanted.
struct OutputPaths {
  std::string json;
  std::string csv;
  std::string hgrm;  // of the first report
  std::string html;
};

// A file that is written beside its path and renamed. What is not a plain file (/dev/stdout, a pipe) is written as it is.
class OutputFile {
 public:
  [[nodiscard]] static Result<OutputFile> open(const std::string& path);
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  // Removes what was not finished.
  ~OutputFile();

  [[nodiscard]] Result<> finish(const std::string& text);

 private:
  OutputFile(std::string path, std::string temporary, int fd)
      : path_(std::move(path)), temporary_(std::move(temporary)), fd_(fd) {}

  std::string path_;
  std::string temporary_;  // empty: written as it is
  int fd_;                 // -1: finished, or moved from
};

class Outputs {
 public:
  [[nodiscard]] static Result<Outputs> open(const OutputPaths& paths);
  // Tries every file; the first fault is returned.
  [[nodiscard]] Result<> write(std::span<const Report> reports);

 private:
  using Format = std::string (*)(std::span<const Report>);
  struct Entry {
    OutputFile file;
    Format format;
  };
  std::vector<Entry> entries_;
};

}  // namespace synod::bench
