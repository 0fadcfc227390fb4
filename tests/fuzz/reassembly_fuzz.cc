// Fragments of many senders through a messenger, and beside it a model that says the rules of reassembly in the simplest way: the
// two must agree packet by packet on what is handed up and what is evicted.
//
// The bytes of a message are a function of its identity, and every packet carries those of the place that it claims. So whatever
// fragments are sent, cut anyhow and lying about everything else, a message that is handed up has exactly those bytes; a fragment
// that got into another message, or to another place, shows.
//
// Input: a list of Steps. One step is one packet, or all packets of one message.
#include <list>
#include <optional>
#include <set>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/prng.h"
#include "dataplane/messenger.h"
#include "tests/dataplane/memory_port.h"
#include "tests/fuzz/fuzz.h"

namespace synod::fuzz {
namespace {

using namespace dataplane;
using wire::MessageType;
using wire::PacketHeader;

constexpr std::size_t unfinished_max = 4;
constexpr std::size_t per_sender_max = 2;
constexpr std::size_t effort_max = 256U << 10;  // bytes, and some for each packet: no step begins behind it
constexpr std::size_t effort_of_a_packet = 512;
constexpr Endpoint here{1, 1};
constexpr LocalIdentity local{ClusterId(77), GroupId(3), ReplicaId(2), {}};

enum class Lie : std::uint8_t {
  none,
  fragment,
  fragments,
  offset,
  length,
  message_bytes,
  cluster,
  group,
  destination,
  reserved,
  count_
};

struct Step {
  std::uint8_t sender = 0;   // bits: source (2), incarnation, ballot; then all: the whole message
  std::uint8_t message = 0;  // bits: id (2), type (2), length (4)
  std::uint16_t length = 0;
  std::uint16_t piece = 0;
  std::uint16_t fragment = 0;  // the one to send, or the one to begin with
  Lie lie = Lie::none;
  std::uint8_t zero = 0;
  std::uint16_t value = 0;  // what the lie adds
};
static_assert(Format<Step> && sizeof(Step) == 12);

constexpr std::uint8_t whole_message = 0x10;

struct Datagram {
  PacketHeader header;
  std::size_t payload_bytes = 0;
};

// What the bytes of a message depend on.
std::uint64_t key_of(const PacketHeader& header) {
  std::uint64_t key = 0;
  for (const std::uint64_t part :
       {header.message_id, std::uint64_t{header.source.value()}, header.incarnation.open_count, header.ballot.value(),
        std::uint64_t{header.message_bytes}, static_cast<std::uint64_t>(header.type)}) {
    key = (key ^ part) * 0x9E3779B97F4A7C15;
    key ^= key >> 29;
  }
  return key;
}

std::byte byte_at(std::uint64_t key, std::uint64_t place) {
  return static_cast<std::byte>(((key + place) * 0xBF58476D1CE4E5B9) >> 56);
}

std::uint32_t message_bytes_of(const Step& step) {
  switch (step.message >> 4) {
    case 0: return step.length % 8;
    case 1: return message_bytes_max - step.length % 4;
    case 2: return step.length * 16U;
    case 3: return step.length;
    default: return step.length % 4096;
  }
}

// The header of fragment `step.fragment` of an honest message.
Datagram honest(const Step& step, std::uint64_t fragment) {
  static constexpr std::uint16_t sources[] = {0, 1, 3, 4};
  static constexpr MessageType types[] = {MessageType::append, MessageType::accept, MessageType::promise, MessageType::read};
  PacketHeader header;
  header.cluster = local.cluster;
  header.group = local.group;
  header.destination = local.self;
  header.source = ReplicaId(sources[step.sender & 3]);
  header.incarnation.open_count = (step.sender >> 2) & 1U;
  header.ballot = Ballot((step.sender >> 3) & 1U, ReplicaId(1));
  header.message_id = step.message & 3U;
  header.type = types[(step.message >> 2) & 3];
  header.message_bytes = message_bytes_of(step);
  const auto piece = std::max<std::uint64_t>(step.piece, header.message_bytes / fragments_max + 1);
  const std::uint64_t count = header.message_bytes == 0 ? 1 : (header.message_bytes + piece - 1) / piece;
  header.fragments = static_cast<std::uint16_t>(count);
  header.fragment = static_cast<std::uint16_t>(fragment % count);
  header.fragment_offset = static_cast<std::uint32_t>(header.fragment * piece);
  return {header, std::min<std::size_t>(piece, header.message_bytes - header.fragment_offset)};
}

void tell_lie(Datagram& packet, Lie lie, std::uint16_t value) {
  PacketHeader& header = packet.header;
  switch (lie) {
    case Lie::fragment: header.fragment = static_cast<std::uint16_t>(header.fragment + value); break;
    case Lie::fragments: header.fragments = static_cast<std::uint16_t>(header.fragments + value); break;
    case Lie::offset: header.fragment_offset += value; break;
    case Lie::length: packet.payload_bytes = value; break;
    case Lie::message_bytes: header.message_bytes += value; break;
    case Lie::cluster: header.cluster = ClusterId(value); break;
    case Lie::group: header.group = GroupId(value); break;
    case Lie::destination: header.destination = ReplicaId(value); break;
    case Lie::reserved: header.key_id = value; break;
    case Lie::none:
    case Lie::count_: break;
  }
}

// The rules of dataplane/reassembler.h. The message that was touched longest ago comes first.
class Model {
 public:
  // True: this fragment completes its message.
  bool add(const PacketHeader& header, std::uint32_t piece) {
    auto found = std::ranges::find_if(unfinished_, [&](const Unfinished& message) {
      return message.piece == piece && message.first.fragments == header.fragments && key_of(message.first) == key_of(header);
    });
    if (found == unfinished_.end()) {
      make_room(header);
      unfinished_.push_back({header, piece, {}});
      found = std::prev(unfinished_.end());
    } else {
      unfinished_.splice(unfinished_.end(), unfinished_, found);
    }
    found->present.insert(header.fragment);
    if (found->present.size() < header.fragments) return false;
    unfinished_.erase(found);
    return true;
  }

  [[nodiscard]] std::size_t unfinished() const { return unfinished_.size(); }
  [[nodiscard]] std::uint64_t evicted() const { return evicted_; }

 private:
  struct Unfinished {
    PacketHeader first;
    std::uint32_t piece = 0;
    std::set<std::uint16_t> present;
  };

  void make_room(const PacketHeader& header) {
    const auto is_of_sender = [&](const Unfinished& message) {
      return message.first.source == header.source && message.first.incarnation == header.incarnation;
    };
    const auto of_sender = static_cast<std::size_t>(std::ranges::count_if(unfinished_, is_of_sender));
    if (of_sender < per_sender_max && unfinished_.size() < unfinished_max) return;
    auto oldest = std::ranges::find_if(unfinished_, is_of_sender);
    if (oldest == unfinished_.end()) oldest = unfinished_.begin();
    unfinished_.erase(oldest);
    ++evicted_;
  }

  std::list<Unfinished> unfinished_;
  std::uint64_t evicted_ = 0;
};

class World {
 public:
  World()
      : port_(here),
        messenger_(local, {.ports_max = 1, .reassemblies_max = unfinished_max, .reassemblies_per_sender = per_sender_max}),
        alone_(unfinished_max, per_sender_max) {
    messenger_.add_port(PortRef(port_));
  }

  // How many messages were handed up.
  std::size_t step(const Step& step) {
    if ((step.sender & whole_message) == 0) {
      Datagram packet = honest(step, step.fragment);
      tell_lie(packet, step.lie, step.value);
      return deliver(packet);
    }
    const std::size_t count = honest(step, 0).header.fragments;
    std::size_t handed = 0;
    for (std::size_t i = 0; i < count; ++i) handed += deliver(honest(step, step.fragment + i));
    // Nothing came between its fragments, so nothing evicted it; and for a second time it would need all of them again.
    CHECK_EQ(handed, std::size_t{is_welcome(honest(step, 0).header)});
    return handed;
  }

  [[nodiscard]] std::size_t effort() const { return effort_; }

 private:
  // A client sends clients' messages only.
  static bool is_welcome(const PacketHeader& header) {
    return header.cluster == local.cluster && header.group == local.group && header.destination == local.self &&
           (header.source != ReplicaId{} || wire::is_client_message(header.type));
  }

  std::size_t deliver(const Datagram& packet) {
    Example payload(packet.payload_bytes);
    const std::uint64_t key = key_of(packet.header);
    for (std::size_t i = 0; i < payload.size(); ++i) payload[i] = byte_at(key, packet.header.fragment_offset + i);
    Example datagram;
    put(datagram, wire::seal(packet.header, payload));
    put_bytes(datagram, payload);
    effort_ += datagram.size() + effort_of_a_packet;

    const bool expected = expect(datagram);
    port_.inject(std::move(datagram), {5, 5});
    std::size_t handed = 0;
    messenger_.poll([&](const Message& message) {
      ++handed;
      CHECK_EQ(key_of(message.header), key);
      CHECK_EQ(message.payload.size(), message.header.message_bytes);
      CHECK_EQ(message.checksum, Checksum(crc32c(message.payload)));
      for (std::size_t i = 0; i < message.payload.size(); ++i) CHECK_EQ(message.payload[i], byte_at(key, i));
    });
    CHECK_EQ(handed, std::size_t{expected});
    CHECK_EQ(messenger_.counters().reassemblies_evicted, model_.evicted());
    CHECK_EQ(messenger_.counters().dropped_total(), dropped_);
    return handed;
  }

  // What the messenger must do with this packet. A reassembler alone, which can be asked what it holds, goes along.
  bool expect(Bytes datagram) {
    const auto view = wire::decode_packet(datagram);
    if (!view || !is_welcome(view->header)) return ++dropped_, false;
    if (view->header.fragments == 1) return true;
    const auto piece = piece_bytes(view->header, view->payload);
    if (!piece) return ++dropped_, false;
    const bool completes = model_.add(view->header, *piece);
    CHECK_EQ(alone_.add(view->header, view->payload, *piece).has_value(), completes);
    CHECK_EQ(alone_.unfinished(), model_.unfinished());
    CHECK_EQ(alone_.evicted(), model_.evicted());
    CHECK_LE(model_.unfinished(), unfinished_max);
    return completes;
  }

  MemoryPort port_;
  Messenger messenger_;
  Reassembler alone_;
  Model model_;
  std::uint64_t dropped_ = 0;
  std::size_t effort_ = 0;
};

}  // namespace

bool run(Bytes input) {
  Input in(input);
  World world;
  std::size_t handed = 0;
  while (!in.empty() && world.effort() < effort_max) {
    auto step = in.take<Step>();
    step.lie = static_cast<Lie>(static_cast<unsigned>(step.lie) % static_cast<unsigned>(Lie::count_));
    handed += world.step(step);
  }
  return handed > 0;
}

std::vector<Example> examples() {
  std::vector<Example> all(5);
  const auto message = [](unsigned sender, unsigned id, unsigned piece, unsigned fragment) {
    return Step{.sender = static_cast<std::uint8_t>(sender),
                .message = static_cast<std::uint8_t>(0x34 ^ id),
                .length = 5000,
                .piece = static_cast<std::uint16_t>(piece),
                .fragment = static_cast<std::uint16_t>(fragment)};
  };
  // Whole messages of each sender, begun at some fragment.
  for (unsigned sender = 0; sender < 16; ++sender) put(all[0], message(sender | whole_message, 0, 1344, sender));
  // One message fragment by fragment, out of order, with a duplicate; and every lie about it.
  for (const unsigned fragment : {2U, 0U, 0U, 3U, 1U}) put(all[1], message(1, 0, 1344, fragment));
  for (unsigned lie = 0; lie < static_cast<unsigned>(Lie::count_); ++lie) {
    Step lying = message(1, 0, 1344, 1);
    lying.lie = static_cast<Lie>(lie);
    lying.value = 1;
    put(all[2], message(1, 0, 1344, 0), lying, message(1, 0, 1344, 2), message(1, 0, 1344, 3), message(1, 0, 1344, 1));
  }
  // More unfinished messages than there is room for, then the rest of them; a message that is cut anew.
  for (unsigned fragment = 0; fragment < 3; ++fragment) {
    for (unsigned id = 0; id < 4; ++id) {
      for (unsigned source = 1; source < 4; ++source) put(all[3], message(source, id, 2000, fragment));
    }
  }
  for (const unsigned piece : {1000U, 2000U, 4999U}) put(all[3], message(1 | whole_message, 0, piece, 0));
  // The largest message in as few and as many packets as may be, an empty one, and one without fragments.
  put(all[4], Step{1 | whole_message, 0x14, 0, 65535, 0}, Step{1 | whole_message, 0x15, 0, 1, 7});
  put(all[4], Step{1 | whole_message, 0x04, 0, 1, 0}, Step{1 | whole_message, 0x34, 100, 1000, 0});
  return all;
}

}  // namespace synod::fuzz
