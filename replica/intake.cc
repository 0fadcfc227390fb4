#include "replica/intake.h"

#include "base/check.h"
#include "base/crc32c.h"
#include "base/mutant.h"

namespace synod::replica {

void Intake::begin(const consensus::LogState& applied) {
  stop();
  proposed_.assign(applied);
}

void Intake::begin_admitting() {
  for (consensus::Sessions::Place place = 0; place < sessions_max; ++place) {
    admitted_[place] = proposed_.sessions().at(place).last;
  }
}

void Intake::stop() {
  if (body_ != no_body) pool_.release(body_);
  body_ = no_body;
  writer_ = {};
  closed_ = false;
  levels_ = 0;
}

bool Intake::make_room(std::size_t bytes, std::uint32_t entries) {
  if (closed_) return false;
  if (body_ == no_body) {
    body_ = pool_.acquire();
    if (body_ == no_body) return false;
    writer_ = wire::BodyWriter(pool_.buffer(body_), proposed_.chain());
  }
  // A batch may exceed its target only by holding one large request alone.
  const std::size_t limit = writer_.empty() ? body_max_ : std::min(body_max_, body_bytes_batch);
  if (writer_.fits(bytes, entries, limit)) return true;
  // The gateway bounds a request so that it fits a body of its own, unless the journal's segments are smaller than that.
  if (writer_.empty()) return false;
  closed_ = true;
  return false;
}

Intake::Admission Intake::append(const wire::AppendView& request, bool may_admit) {
  const auto place = proposed_.sessions().find(request.header.session);
  if (!place.has_value()) {
    if (mutant(Mutant::evicted_is_new) && make_room(request.entries.size(), request.header.count)) {
      writer_.add(wire::RunKind::entries, request.header.session, request.header.first, request.header.count, request.entries);
      return {.verdict = Verdict::admitted};
    }
    return {Verdict::evicted, {}, 0};
  }
  Sequence& admitted = admitted_[*place];
  const Sequence first = request.header.first;
  const Sequence last = first + (request.header.count - 1);
  if (first > admitted + 1) return {Verdict::gap, admitted + 1, *place};
  if (last <= admitted) return {Verdict::duplicate, {}, *place};
  Bytes entries = request.entries;
  Sequence next = first;
  for (; next <= admitted; ++next) entries = wire::split_entry(entries).rest;
  const auto count = static_cast<std::uint32_t>(last - next + 1);
  if (!may_admit || !make_room(entries.size(), count)) return {Verdict::busy, {}, *place};
  const Lsn lsn = proposed_.tail() + writer_.entries();
  writer_.add(wire::RunKind::entries, request.header.session, next, count, entries);
  admitted = last;
  levels_ |= bit_of(request.header.ack);
  return {Verdict::admitted, next, *place, count, lsn};
}

bool Intake::open_session(const Uuid& client) {
  if (!make_room(sizeof(Uuid), 0)) return false;
  writer_.add(wire::RunKind::open_session, SessionId{}, Sequence{}, 0, bytes_of(client));
  levels_ |= bit_of(wire::AckLevel::quorum);
  closed_ = true;
  return true;
}

bool Intake::trim(Lsn lsn) {
  if (!make_room(sizeof(Lsn), 0)) return false;
  writer_.add(wire::RunKind::trim, SessionId{}, Sequence{}, 0, bytes_of(lsn));
  levels_ |= bit_of(wire::AckLevel::quorum);
  return true;
}

consensus::Value Intake::take(Slot slot) {
  CHECK(has_batch());
  const Bytes body = writer_.finish();
  const Checksum checksum{crc32c(body)};
  proposed_.apply(slot, checksum, wire::BodyView::known(body), [this](const consensus::AppliedRun& run) {
    if (run.kind == wire::RunKind::open_session) admitted_[run.place] = Sequence{};
  });
  const consensus::Value value{checksum, static_cast<std::uint32_t>(body.size()), body_};
  body_ = no_body;
  writer_ = {};
  closed_ = false;
  levels_ = 0;
  return value;
}

}  // namespace synod::replica
