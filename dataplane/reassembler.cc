#include "dataplane/reassembler.h"

#include <algorithm>

#include <sys/mman.h>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/mutant.h"
#include "wire/limits.h"

namespace synod::dataplane {

std::optional<std::uint32_t> piece_bytes(const wire::PacketHeader& header, Bytes payload) {
  const std::uint64_t count = header.fragments;
  CHECK_GT(count, 1U);
  if (count > fragments_max || payload.empty()) return std::nullopt;
  const bool last = header.fragment + 1U == count;
  if (last && header.fragment_offset % (count - 1) != 0) return std::nullopt;
  const std::uint64_t piece = last ? header.fragment_offset / (count - 1) : payload.size();
  if (header.fragment_offset != header.fragment * piece || payload.size() > piece) return std::nullopt;
  if ((count - 1) * piece >= header.message_bytes || count * piece < header.message_bytes) return std::nullopt;
  return static_cast<std::uint32_t>(piece);
}

Reassembler::Reassembler(std::size_t messages_max, std::size_t messages_per_sender_max)
    : unfinished_(messages_max),
      per_sender_max_(messages_per_sender_max),
      bytes_per_message_(align_up(message_bytes_max + fragments_max * sizeof(std::uint32_t), 4096)) {
  CHECK_GT(messages_max, 0U);
  CHECK_GT(messages_per_sender_max, 0U);
  void* mapping = ::mmap(nullptr, messages_max * bytes_per_message_, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(mapping != MAP_FAILED);
  memory_ = static_cast<std::byte*>(mapping);
}

Reassembler::~Reassembler() {
  ::munmap(memory_, unfinished_.size() * bytes_per_message_);
}

std::size_t Reassembler::unfinished() const {
  std::size_t count = 0;
  for (const Unfinished& message : unfinished_) count += message.touched != 0 ? 1 : 0;
  return count;
}

std::optional<WholeMessage> Reassembler::add(const wire::PacketHeader& header, Bytes payload, std::uint32_t piece) {
  const std::uint64_t message_id = mutant(Mutant::fragment_mixup) ? 0 : header.message_id;
  const Identity identity{header.incarnation, header.ballot,    message_id, header.message_bytes, piece,
                          header.source,      header.fragments, header.type};
  const std::size_t place = find_or_start(identity, header);
  Unfinished& message = unfinished_[place];
  message.touched = ++clock_;
  if (message.present.test(header.fragment)) return std::nullopt;
  message.present.set(header.fragment);
  checksums_of(place)[header.fragment] = header.payload_checksum;
  copy(MutableBytes(memory_of(place), bytes_per_message_).subspan(header.fragment_offset), payload);
  if (--message.missing > 0) return std::nullopt;
  message.touched = 0;
  return WholeMessage{message.first, Bytes(memory_of(place), identity.message_bytes), joined_checksum(place)};
}

Checksum Reassembler::joined_checksum(std::size_t place) const {
  const Identity& identity = unfinished_[place].identity;
  const std::uint32_t* const checksums = checksums_of(place);
  std::uint32_t joined = 0;
  for (std::size_t piece = 0; piece < identity.fragments; ++piece) {
    const std::size_t from = piece * identity.piece_bytes;
    joined = crc32c_joined(joined, checksums[piece], std::min<std::size_t>(identity.piece_bytes, identity.message_bytes - from));
  }
  return Checksum(joined);
}

std::size_t Reassembler::find_or_start(const Identity& identity, const wire::PacketHeader& header) {
  const auto holds = [&](const Unfinished& message) { return message.touched != 0 && message.identity == identity; };
  if (holds(unfinished_[last_place_])) return last_place_;
  for (std::size_t place = 0; place < unfinished_.size(); ++place) {
    if (holds(unfinished_[place])) return last_place_ = place;
  }
  last_place_ = place_for(identity);
  Unfinished& message = unfinished_[last_place_];
  if (message.touched != 0) ++evicted_;
  message.identity = identity;
  message.first = header;
  message.missing = identity.fragments;
  message.present.reset();
  return last_place_;
}

// The lowest free place, so that memory that was touched before is used again; else the one to evict.
std::size_t Reassembler::place_for(const Identity& identity) {
  const std::size_t none = unfinished_.size();
  std::size_t free = none;
  std::size_t oldest = none;
  std::size_t oldest_of_sender = none;
  std::size_t of_sender = 0;
  for (std::size_t place = 0; place < none; ++place) {
    const Unfinished& message = unfinished_[place];
    if (message.touched == 0) {
      if (free == none) free = place;
      continue;
    }
    if (oldest == none || message.touched < unfinished_[oldest].touched) oldest = place;
    if (message.identity.source != identity.source || message.identity.incarnation != identity.incarnation) continue;
    ++of_sender;
    if (oldest_of_sender == none || message.touched < unfinished_[oldest_of_sender].touched) oldest_of_sender = place;
  }
  if (of_sender >= per_sender_max_) return oldest_of_sender;
  if (free != none) return free;
  return oldest_of_sender != none ? oldest_of_sender : oldest;
}

}  // namespace synod::dataplane
