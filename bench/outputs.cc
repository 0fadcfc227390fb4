#include "bench/outputs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>
#include <utility>

namespace synod::bench {

namespace {

constexpr const char* ending = ".part";

Error cannot_write(const std::string& path) {
  return {fmt::format("cannot write {}: {}", path, std::strerror(errno))};
}

Result<> write_all(int fd, const std::string& path, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return std::unexpected(cannot_write(path));
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

std::string first_hgrm(std::span<const Report> reports) {
  return reports.empty() ? "" : to_hgrm(reports.front().run.result.latency_ns);
}

}  // namespace

Result<OutputFile> OutputFile::open(const std::string& path) {
  constexpr mode_t mode = 0666;
  struct stat facts{};
  const bool exists = ::stat(path.c_str(), &facts) == 0;
  if (exists && S_ISDIR(facts.st_mode)) return fail(fmt::format("cannot write {}: it is a directory", path));
  // An existing file that may not be written is not replaced either, though its directory would allow it.
  if (exists && ::access(path.c_str(), W_OK) != 0) return std::unexpected(cannot_write(path));
  const bool is_plain = !exists || S_ISREG(facts.st_mode);
  // Behind a link lies what is meant.
  std::error_code ignored;
  const std::string target = exists && is_plain ? std::filesystem::canonical(path, ignored).string() : path;
  const std::string temporary = is_plain ? target + ending : "";
  const int flags = O_WRONLY | O_CLOEXEC | (is_plain ? O_CREAT | O_TRUNC | O_NOFOLLOW : 0);
  const int fd = ::open(is_plain ? temporary.c_str() : path.c_str(), flags, mode);
  if (fd < 0) return std::unexpected(cannot_write(path));
  return OutputFile(target, temporary, fd);
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)), temporary_(std::move(other.temporary_)), fd_(std::exchange(other.fd_, -1)) {}

OutputFile::~OutputFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Result<> OutputFile::finish(const std::string& text) {
  if (auto written = write_all(fd_, path_, text); !written) return written;
  if (!temporary_.empty()) {
    if (::fsync(fd_) != 0 || ::rename(temporary_.c_str(), path_.c_str()) != 0) return std::unexpected(cannot_write(path_));
  }
  const int fd = std::exchange(fd_, -1);
  if (::close(fd) != 0) return std::unexpected(cannot_write(path_));
  return {};
}

Result<Outputs> Outputs::open(const OutputPaths& paths) {
  Outputs outputs;
  std::set<std::string> taken;
  const std::pair<const std::string&, Format> wanted[] = {
      {paths.json, [](std::span<const Report> reports) { return to_json(reports) + "\n"; }},
      {paths.csv, to_csv},
      {paths.hgrm, first_hgrm},
      {paths.html, to_html}};
  for (const auto& [path, format] : wanted) {
    if (path.empty()) continue;
    std::error_code ignored;
    if (!taken.insert(std::filesystem::weakly_canonical(path, ignored).string()).second) {
      return fail(fmt::format("{} is named for two reports: give each a file of its own", path));
    }
    auto file = OutputFile::open(path);
    if (!file) return std::unexpected(file.error());
    outputs.entries_.push_back({*std::move(file), format});
  }
  return outputs;
}

Result<> Outputs::write(std::span<const Report> reports) {
  Result<> done;
  for (Entry& entry : entries_) {
    auto finished = entry.file.finish(entry.format(reports));
    if (!finished && done) done = std::move(finished);
  }
  return done;
}

}  // namespace synod::bench
