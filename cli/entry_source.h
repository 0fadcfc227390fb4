// Cuts a file or stdin into entries for `synod append`.
//
// Owns the descriptor and a buffer of at most one entry and some. Errors: one line; `next` is not called again after one.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"

namespace synod::cli {

enum class Cut : std::uint8_t { whole, lines, chunks };

class EntrySource {
 public:
  // "-" is stdin.
  [[nodiscard]] static Result<EntrySource> open(const std::string& path, Cut cut, std::size_t chunk_bytes);
  EntrySource(EntrySource&& other) noexcept;
  EntrySource& operator=(EntrySource&&) = delete;
  EntrySource(const EntrySource&) = delete;
  EntrySource& operator=(const EntrySource&) = delete;
  ~EntrySource();

  // Called before each read that may block; comes back when the descriptor has something.
  using WaitForInput = std::function<Result<>(int descriptor)>;

  // The next entry, valid until the next call; nothing at the end.
  [[nodiscard]] Result<std::optional<Bytes>> next(const WaitForInput& wait);

  // The file's size, 0 when it is not known.
  [[nodiscard]] std::uint64_t bytes_total() const { return bytes_total_; }
  [[nodiscard]] std::uint64_t bytes_read() const { return bytes_read_; }

 private:
  EntrySource(int descriptor, std::string name, Cut cut, std::size_t chunk_bytes);
  [[nodiscard]] Result<> fill(const WaitForInput& wait);
  // The length of the entry at the front of the buffer and of its separator, if it is complete.
  struct Piece {
    std::size_t bytes = 0;
    std::size_t separator_bytes = 0;
  };
  [[nodiscard]] std::optional<Piece> front_piece();

  int descriptor_;
  std::string name_;
  Cut cut_;
  std::size_t chunk_bytes_;
  bool regular_ = false;
  bool ended_ = false;
  bool any_ = false;  // an entry was returned
  std::uint64_t bytes_total_ = 0;
  std::uint64_t bytes_read_ = 0;
  std::uint64_t entries_ = 0;
  std::vector<std::byte> buffer_;
  std::size_t begin_ = 0;    // of what is not returned yet
  std::size_t end_ = 0;      // of what was read
  std::size_t scanned_ = 0;  // up to here there is no line end, from begin_
};

}  // namespace synod::cli
