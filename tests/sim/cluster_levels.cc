// What each acknowledgement level promises (rule 10), looked at in the moment when the answer leaves the leader.
#include <fmt/format.h>

#include <algorithm>

#include "tests/sim/cluster.h"
#include "wire/client.h"
#include "wire/message.h"

namespace synod::sim {

// An accept shows what its value is before any disk does.
void Cluster::note_value(const wire::PacketView& packet) {
  dataplane::WholeMessage message{packet.header, packet.payload};
  if (packet.header.fragments != 1) {
    const auto piece = dataplane::piece_bytes(packet.header, packet.payload);
    if (!piece) return oracle_.fail("replicas speak the protocol", "a piece of an Accept that fits nowhere");
    const auto whole = leaving_.add(packet.header, packet.payload, *piece);
    if (!whole) return;
    message = *whole;
  }
  const auto decoded = wire::decode_peer_message(message.header, message.payload, {});
  if (!decoded) return;
  const wire::RecordView& record = std::get<wire::Accept>(decoded->payload).record;
  oracle_.value(record.header.slot, record.header.body_checksum, record.body);
}

// It is staged when the word leaves, or was: by then a higher ballot may have put something else there, or it is committed.
void Cluster::check_received(std::size_t place, const wire::PacketView& packet) {
  const wire::PacketHeader& header = packet.header;
  const auto decoded = wire::decode_peer_message(header, packet.payload, {});
  if (!decoded) return oracle_.fail("replicas speak the protocol", "a Received that nobody can decode");
  const auto& received = std::get<wire::Received>(decoded->payload);
  receivers_[{received.slot, header.ballot}].add(place);
  const consensus::Engine& engine = node(place).engine();
  const consensus::AcceptedSlot* open = engine.open_slot(received.slot);
  const bool has_it = open != nullptr && open->ballot == header.ballot && open->value.checksum == received.checksum;
  const bool had_it = received.slot <= engine.commit() || (open != nullptr && (open->chosen || open->ballot > header.ballot));
  if (has_it || had_it) return;
  oracle_.fail("received is staged",
               fmt::format("replica {} says received in slot {}, ballot ({}, {}), and holds nothing there", place + 1,
                           received.slot.value(), header.ballot.round(), header.ballot.replica().value()));
}

void Cluster::check_answer(std::size_t place, const wire::PacketView& packet) {
  const auto appended = wire::decode_appended(packet.payload);
  if (!appended) return oracle_.fail("replicas speak the protocol", "an Appended that nobody can decode");
  if (appended->ack == wire::AckLevel::quorum) return;  // looked at where it arrives
  const Ballot ballot = packet.header.ballot;
  for (const Sequence sequence : {appended->first, appended->first + (appended->count - 1)}) {
    const bool holds = appended->ack == wire::AckLevel::all
                           ? is_on_all_disks(oracle_.slot_of(appended->first_lsn + (sequence - appended->first)))
                           : is_at_level(place, ballot, appended->ack, appended->session, sequence);
    if (holds) continue;
    return oracle_.fail("an answer has its level",
                        fmt::format("replica {} answers entry {} of session {} as {} in ballot ({}, {}), and it is not",
                                    place + 1, sequence.value(), appended->session.value(), wire::name(appended->ack),
                                    ballot.round(), ballot.replica().value()));
  }
}

bool Cluster::is_at_level(std::size_t place, Ballot ballot, wire::AckLevel level, SessionId session, Sequence sequence) const {
  const auto found = oracle_.open_values_with(session, sequence);
  if (!found) return true;  // chosen meanwhile
  // Without peers nothing shows it before the disk does.
  if (level == wire::AckLevel::memory && configuration_.size() == 1) return true;
  return std::ranges::any_of(*found, [&](const auto& value) {
    consensus::MemberSet holders;
    if (const auto known = receivers_.find({value.first, ballot}); known != receivers_.end()) holders = known->second;
    holders.add(place);
    if (level == wire::AckLevel::memory) return configuration_.is_phase2_quorum(holders);
    const bool on_disk = members_[place].ledger->holds_vote({value.first, ballot, value.second});
    return on_disk && (level == wire::AckLevel::leader || holders.size() > 1);
  });
}

bool Cluster::is_on_all_disks(Slot slot) const {
  const auto checksum = oracle_.chosen(slot);
  if (!checksum) return false;
  if (oracle_.lsn_behind(slot) <= oracle_.trim()) return true;
  return std::ranges::all_of(members_, [&](const Member& member) {
    // What a disk has lost since it said that it holds it is no lie of the leader's.
    if (member.is_lost || member.is_swapped || slot <= member.believed_up_to) return true;
    return member.ledger->holds(slot, *checksum, *member.disk);
  });
}

}  // namespace synod::sim
