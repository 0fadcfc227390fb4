#include "replica/recovery.h"

#include <fmt/format.h>

#include <algorithm>

#include "wire/body.h"

namespace synod::replica {

void Recovery::visit(const wire::RecordHeader& header, storage::Location location, Bytes body,
                     const storage::Watermarks& watermarks) {
  // A new block: what the one before it knew as committed was complete when it was written.
  if (watermarks.commit > watermark_) {
    apply_up_to(watermark_);
    watermark_ = watermarks.commit;
  }
  promised_ = std::max(promised_, watermarks.promised);
  switch (header.kind) {
    case wire::RecordKind::promise: promised_ = std::max(promised_, header.ballot); break;
    case wire::RecordKind::members:
      members_.clear();
      for (Bytes rest = body; rest.size() >= sizeof(wire::MemberUuid); rest = rest.subspan(sizeof(wire::MemberUuid))) {
        members_.push_back(load<wire::MemberUuid>(rest));
      }
      break;
    case wire::RecordKind::accepted:
      promised_ = std::max(promised_, header.ballot);  // a vote implies the promise
      [[fallthrough]];
    case wire::RecordKind::chosen:
      if (header.slot > log_.applied()) open_[header.slot] = {header, location, {body.begin(), body.end()}};
      break;
    default: break;
  }
}

void Recovery::apply_up_to(Slot commit) {
  while (log_.applied() < commit && !error_) {
    const Slot slot = log_.applied() + 1;
    const auto record = open_.find(slot);
    if (record == open_.end()) {
      error_ =
          Error{fmt::format("the journal says that slot {} is committed but holds no record of it: do not start this replica; "
                            "keep its directory and report it",
                            slot.value())};
      return;
    }
    const auto body = wire::BodyView::decode(record->second.body);
    if (!body || index_.full()) {
      error_ =
          Error{fmt::format("slot {} of the journal cannot be applied ({}): do not start this replica; keep its directory "
                            "and report it",
                            slot.value(), body ? "the index is full" : wire::name(body.error()))};
      return;
    }
    const Lsn base = log_.tail();
    log_.apply(slot, record->second.header.body_checksum, *body, [](const consensus::AppliedRun&) {});
    index_.append(slot, base, record->second.header.body_checksum, {PersistNumber{}, record->second.location});
    open_.erase(record);
  }
}

Result<> Recovery::finish(const storage::Watermarks& watermarks) {
  promised_ = std::max(promised_, watermarks.promised);
  apply_up_to(std::max(watermark_, watermarks.commit));
  if (error_) return std::unexpected(*error_);
  return {};
}

}  // namespace synod::replica
