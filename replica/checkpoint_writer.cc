#include "replica/checkpoint_writer.h"

#include <algorithm>

#include "base/check.h"
#include "consensus/log_checkpoint.h"

namespace synod::replica {

CheckpointWriter::CheckpointWriter(std::size_t part_bytes) : buffer_(storage::checkpoint_bytes_max), body_(part_bytes) {}

template <class T>
void CheckpointWriter::put(const T& item) {
  CHECK_LE(used_ + sizeof(T), buffer_.size());
  store(buffer_.bytes().subspan(used_), item);
  used_ += sizeof(T);
}

void CheckpointWriter::begin(CheckpointHeader header, std::span<const wire::MemberUuid> members, std::span<const OpenSlot> open,
                             const SlotIndex& index, const consensus::LogState& log) {
  used_ = 0;
  header.applied = applied_ = log.applied();
  header.tail = log.tail();
  header.chain = log.chain();
  header.members = static_cast<std::uint32_t>(members.size());
  header.open = static_cast<std::uint32_t>(open.size());
  header.first_page = index.first_page();
  header.pages = static_cast<std::uint32_t>(index.pages());
  header.entries = static_cast<std::uint32_t>(log.applied().value() - index.open_page() * index_page_slots);
  const SlotIndex::Entry page = index.directory(index.open_page());
  header.page_base = page.base;
  header.page_chain = page.chain;
  header.log_bytes = consensus::log_checkpoint_bytes(log);
  put(header);
  for (const wire::MemberUuid& member : members) put(member);
  for (const OpenSlot& slot : open) put(slot);
  for (std::uint64_t number = header.first_page; number < index.open_page(); ++number) {
    const SlotIndex::Entry entry = index.directory(number);
    put(PageAt{.base = entry.base, .chain = entry.chain, .offset = entry.location.offset, .bytes = entry.location.bytes});
  }
  index.for_each_open([this](const IndexEntry& entry) { put(entry); });
  CHECK_LE(used_ + header.log_bytes, buffer_.size());
  used_ += consensus::encode_log_checkpoint(log, buffer_.bytes().subspan(used_));
  ++id_;
  part_ = 0;
  const std::size_t part_bytes_max = body_.size() - sizeof(storage::CheckpointPart);
  parts_ = static_cast<std::uint32_t>((used_ + part_bytes_max - 1) / part_bytes_max);
}

std::size_t CheckpointWriter::next_part_bytes() const {
  const std::size_t part_bytes_max = body_.size() - sizeof(storage::CheckpointPart);
  return sizeof(storage::CheckpointPart) + std::min(part_bytes_max, used_ - std::size_t{part_} * part_bytes_max);
}

Bytes CheckpointWriter::next_part() {
  if (!is_writing()) return {};
  const std::size_t part_bytes_max = body_.size() - sizeof(storage::CheckpointPart);
  const std::size_t from = std::size_t{part_} * part_bytes_max;
  const std::size_t bytes = std::min(part_bytes_max, used_ - from);
  store(MutableBytes(body_), storage::CheckpointPart{.id = id_, .part = part_, .parts = parts_, .bytes = used_});
  copy(MutableBytes(body_).subspan(sizeof(storage::CheckpointPart)), Bytes(buffer_.bytes()).subspan(from, bytes));
  return Bytes(body_).first(sizeof(storage::CheckpointPart) + bytes);
}

}  // namespace synod::replica
