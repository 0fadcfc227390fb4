// Puts a checkpoint together from the bodies of its parts' records, in the order in which they lie in the journal.
#pragma once

#include <vector>

#include "base/bytes.h"
#include "storage/journal.h"

namespace synod::storage {

class CheckpointParts {
 public:
  void clear() {
    next_ = {};
    bytes_.clear();
  }
  [[nodiscard]] bool is_begun() const { return next_.parts != 0; }
  [[nodiscard]] bool is_whole() const { return is_begun() && next_.part == next_.parts && bytes_.size() == next_.bytes; }
  [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }

  // False: this is not the part that comes next.
  [[nodiscard]] bool add(Bytes body) {
    if (body.size() < sizeof(CheckpointPart)) return false;
    const auto part = load<CheckpointPart>(body);
    if (!is_begun()) {
      if (part.part != 0 || part.parts == 0 || part.bytes > checkpoint_bytes_max) return false;
      next_ = part;
      bytes_.reserve(part.bytes);
    }
    const Bytes rest = body.subspan(sizeof(CheckpointPart));
    const bool is_next = part.id == next_.id && part.part == next_.part && part.part < next_.parts && part.parts == next_.parts &&
                         part.bytes == next_.bytes && rest.size() <= part.bytes - bytes_.size();
    if (!is_next) return false;
    ++next_.part;
    bytes_.insert(bytes_.end(), rest.begin(), rest.end());
    return true;
  }

 private:
  CheckpointPart next_;  // expected
  std::vector<std::byte> bytes_;
};

}  // namespace synod::storage
