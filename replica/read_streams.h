// Who reads the log in order. A read that begins where an answer ended continues a stream, whoever sent it: so several readers of
// one place share one, and a client may have several. Streams that were continued longest ago are forgotten.
//
// Thread: the node's. No heap.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/ids.h"

namespace synod::replica {

struct ReadStream {
  Lsn next;  // the next read begins here
  // What was asked for last, ahead of the reader: slots ahead_from up to, not including, ahead_to. None: it has never been
  // continued.
  Slot ahead_from;
  Slot ahead_to;
  std::uint64_t used = 0;  // 0: this place is free
};

class ReadStreams {
 public:
  // The stream that a read from here continues, or null.
  [[nodiscard]] ReadStream* find(Lsn from) {
    for (ReadStream& stream : streams_) {
      if (stream.used != 0 && stream.next == from) return &stream;
    }
    return nullptr;
  }
  // An answer ended in front of `next`. `stream`: that it continues, null for a new one.
  ReadStream& answered(ReadStream* stream, Lsn next) {
    if (stream == nullptr) {
      stream = &*std::ranges::min_element(streams_, {}, &ReadStream::used);
      *stream = {};
    }
    stream->next = next;
    stream->used = ++clock_;
    return *stream;
  }

 private:
  // Random reads begin streams that nobody continues: enough places that a reader in order finds its own again.
  static constexpr std::size_t streams_max = 64;
  std::array<ReadStream, streams_max> streams_;
  std::uint64_t clock_ = 0;
};

}  // namespace synod::replica
