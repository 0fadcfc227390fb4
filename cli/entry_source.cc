#include "cli/entry_source.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wire/limits.h"

namespace synod::cli {

Result<EntrySource> EntrySource::open(const std::string& path, Cut cut, std::size_t chunk_bytes) {
  const bool standard = path == "-";
  const int descriptor = standard ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return fail(fmt::format("cannot open '{}': {}", path, std::strerror(errno)));
  EntrySource source(descriptor, standard ? "stdin" : path, cut, chunk_bytes);
  struct stat about{};
  if (::fstat(descriptor, &about) == 0) {
    if (S_ISDIR(about.st_mode)) return fail(fmt::format("'{}' is a directory: name a file, or - for stdin", path));
    source.regular_ = S_ISREG(about.st_mode);
    if (source.regular_) source.bytes_total_ = static_cast<std::uint64_t>(about.st_size);
  }
  return source;
}

// One byte more than the largest entry and its line end shows that an entry is too large.
EntrySource::EntrySource(int descriptor, std::string name, Cut cut, std::size_t chunk_bytes)
    : descriptor_(descriptor), name_(std::move(name)), cut_(cut), chunk_bytes_(chunk_bytes), buffer_(entry_bytes_max + 2) {}

EntrySource::EntrySource(EntrySource&& other) noexcept = default;

EntrySource::~EntrySource() {
  // A moved-from source has no buffer, and no descriptor of its own.
  if (!buffer_.empty() && descriptor_ != STDIN_FILENO) ::close(descriptor_);
}

std::optional<EntrySource::Piece> EntrySource::front_piece() {
  const std::size_t held = end_ - begin_;
  switch (cut_) {
    case Cut::whole:
      if (ended_ && !any_) return Piece{held, 0};
      return std::nullopt;
    case Cut::chunks:
      if (held >= chunk_bytes_) return Piece{chunk_bytes_, 0};
      if (ended_ && held > 0) return Piece{held, 0};
      return std::nullopt;
    case Cut::lines: {
      const auto from = buffer_.begin() + static_cast<std::ptrdiff_t>(begin_);
      const auto to = buffer_.begin() + static_cast<std::ptrdiff_t>(end_);
      const auto found = std::find(from + static_cast<std::ptrdiff_t>(scanned_), to, std::byte{'\n'});
      scanned_ = static_cast<std::size_t>(found - from);
      if (found != to) return Piece{scanned_, 1};
      if (ended_ && held > 0) return Piece{held, 0};
      return std::nullopt;
    }
  }
  return std::nullopt;
}

Result<std::optional<Bytes>> EntrySource::next(const WaitForInput& wait) {
  while (true) {
    if (const auto piece = front_piece(); piece) {
      if (piece->bytes > entry_bytes_max) break;
      const Bytes entry = Bytes(buffer_).subspan(begin_, piece->bytes);
      begin_ += piece->bytes + piece->separator_bytes;
      scanned_ = 0;
      any_ = true;
      ++entries_;
      return std::optional<Bytes>(entry);
    }
    if (ended_) return std::optional<Bytes>();
    if (end_ - begin_ > entry_bytes_max) break;
    if (auto filled = fill(wait); !filled) return std::unexpected(filled.error());
  }
  const char* const advice = cut_ == Cut::lines ? "shorten that line, or cut by --chunk" : "cut it by --lines or --chunk";
  return fail(fmt::format("entry {} of {} is larger than {} bytes: {}", entries_ + 1, name_, entry_bytes_max, advice));
}

Result<> EntrySource::fill(const WaitForInput& wait) {
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (!regular_) {
    if (auto waited = wait(descriptor_); !waited) return waited;
  }
  const ssize_t count = ::read(descriptor_, buffer_.data() + end_, buffer_.size() - end_);
  if (count < 0) {
    if (errno == EINTR || errno == EAGAIN) return {};
    return fail(fmt::format("cannot read {}: {}", name_, std::strerror(errno)));
  }
  ended_ = count == 0;
  end_ += static_cast<std::size_t>(count);
  bytes_read_ += static_cast<std::uint64_t>(count);
  return {};
}

}  // namespace synod::cli
