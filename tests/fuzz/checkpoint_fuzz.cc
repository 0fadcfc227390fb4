// The gateway of checkpoints of the log state. What it takes is written again, and must be the same bytes; and the log goes on
// from it.
//
// Input: whether to repair (one byte: 1 the checksum), a checkpoint.
#include <memory>

#include "base/check.h"
#include "base/crc32c.h"
#include "consensus/log_checkpoint.h"
#include "tests/fuzz/fuzz.h"
#include "wire/body.h"

namespace synod::fuzz {
namespace {

using namespace consensus;

void apply(LogState& log, Bytes body) {
  const auto view = wire::BodyView::decode(body);
  CHECK(view.has_value());
  log.apply(log.applied() + 1, Checksum(crc32c(body)), *view, [](const AppliedRun&) {});
}

// Another session opens, and everybody appends.
void go_on(LogState& log) {
  if (log.applied() == log_checkpoint::applied_max) return;  // no session could be named any more
  Example buffer(256 << 10);
  wire::BodyWriter writer(buffer, log.chain());
  const Uuid client{};
  writer.add(wire::RunKind::open_session, {}, {}, 0, bytes_of(client));
  writer.add(wire::RunKind::trim, {}, {}, 0, bytes_of(log.tail()));
  for (Sessions::Place place = 0; place < log.sessions().size(); ++place) {
    const Session& session = log.sessions().at(place);
    const std::uint32_t empty_entry = 0;
    writer.add(wire::RunKind::entries, session.id, session.last + 1, 1, bytes_of(empty_entry));
  }
  const Lsn tail = log.tail();
  apply(log, writer.finish());
  CHECK_EQ(log.trim(), tail);
}

Example example(const LogState& log) {
  Example result(1 + log_checkpoint_bytes(log), std::byte{1});
  (void)encode_log_checkpoint(log, MutableBytes(result).subspan(1));
  return result;
}

// Two sessions append in turn, one of them more than it remembers.
Example busy_example() {
  LogState log(true);
  for (int i = 0; i < 2; ++i) {
    Example buffer(256);
    wire::BodyWriter writer(buffer, log.chain());
    writer.add(wire::RunKind::open_session, {}, {}, 0, bytes_of(Uuid{}));
    apply(log, writer.finish());
  }
  for (std::uint32_t i = 0; i < 5; ++i) {
    Example buffer(64 << 10);
    wire::BodyWriter writer(buffer, log.chain());
    const Example entries(1'000 * wire::entry_header_bytes);
    writer.add(wire::RunKind::entries, wire::session_id(Slot(1), 0), Sequence(1 + 1'000 * i), 1'000, entries);
    writer.add(wire::RunKind::entries, wire::session_id(Slot(2), 0), Sequence(1 + i), 1, Bytes(entries).first(4));
    apply(log, writer.finish());
  }
  return example(log);
}

}  // namespace

bool run(Bytes input) {
  Input in(input);
  const bool repairs = in.take<std::uint8_t>() == 1;
  Example blob(in.rest().begin(), in.rest().end());
  if (repairs && blob.size() >= 4) {
    store(MutableBytes(blob).subspan(blob.size() - 4), crc32c(Bytes(blob).first(blob.size() - 4)));
  }
  static const auto log = std::make_unique<LogState>(true);  // its rings are large
  if (!decode_log_checkpoint(blob, *log)) return false;
  CHECK_LE(log->trim(), log->tail());
  CHECK_EQ(log_checkpoint_bytes(*log), blob.size());
  Example again(blob.size());
  CHECK_EQ(encode_log_checkpoint(*log, again), blob.size());
  CHECK(again == blob);
  go_on(*log);
  return true;
}

std::vector<Example> examples() {
  std::vector<Example> all;
  all.push_back(example(LogState(true)));
  all.push_back(busy_example());
  LogState sparse(true);
  sparse.begin_load({Slot(9), Lsn(1 << 16), wire::Chain(5), Lsn(77)});
  for (std::uint64_t i = 1; i <= 3; ++i) {
    const auto place = sparse.load_session({wire::session_id(Slot(i), 0), Sequence(20), Slot(9)});
    for (std::uint64_t j = 0; j < 20; ++j) sparse.load_lsns(place, Sequence(j + 1), 1, Lsn(j * 1'000 + i));
  }
  all.push_back(example(sparse));
  return all;
}

}  // namespace synod::fuzz
