#include "dataplane/dpdk_port.h"

#include <algorithm>
#include <utility>

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_prefetch.h>
#include <rte_ring.h>

#include "base/check.h"
#include "dataplane/clock.h"
#include "dataplane/dpdk_setup.h"

namespace synod::dataplane {

namespace {

constexpr std::uint64_t connect_pause_ns = 1'000'000'000;

std::byte* data_of(rte_mbuf* buffer) {
  return rte_pktmbuf_mtod(buffer, std::byte*);
}

// A buffer of one segment and one owner, from the pool and back, without the second cache line of its descriptor: on a ring link
// that line would travel between the cores with every packet. (Buffers in a pool have no next segment; whoever gives one back
// sees to that.)
rte_mbuf* take_buffer(rte_mempool* pool) {
  rte_mbuf* const buffer = rte_mbuf_raw_alloc(pool);
  if (buffer == nullptr) return nullptr;
  buffer->data_off = RTE_PKTMBUF_HEADROOM;
  buffer->ol_flags = 0;
  buffer->port = RTE_MBUF_PORT_INVALID;
  buffer->packet_type = 0;
  return buffer;
}

void give_back(std::span<rte_mbuf*> buffers) {
  for (rte_mbuf* const buffer : buffers) {
    const bool simple = buffer->nb_segs == 1 && RTE_MBUF_DIRECT(buffer) && rte_mbuf_refcnt_read(buffer) == 1;
    if (simple) [[likely]] {
      rte_mbuf_raw_free(buffer);
    } else {
      rte_pktmbuf_free(buffer);
    }
  }
}

// Two bits each: both are set where the sums in the packet were never filled in, but its bytes are whole (virtio, from a peer on
// the same machine).
bool has_bad_checksum(const rte_mbuf& buffer) {
  return (buffer.ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_BAD ||
         (buffer.ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_BAD;
}

}  // namespace

DpdkPort::DpdkPort(std::shared_ptr<Ethdev> device, std::uint16_t queue, const DpdkPortOptions& options, PacketPool& pool,
                   const Setup& setup)
    : shared_(std::move(device)),
      ethdev_(shared_->number),
      queue_(queue),
      inbox_(shared_->inboxes.empty() ? nullptr : shared_->inboxes[queue]),
      point_to_point_(setup.point_to_point),
      hears_hangup_(setup.hears_hangup),
      connects_(setup.connects),
      connect_next_ns_(now_ns() + connect_pause_ns),
      local_(options.local),
      subnet_mask_(options.prefix_bits == 0 ? 0 : ~std::uint32_t{0} << (32 - options.prefix_bits)),
      gateway_(options.gateway),
      payload_bytes_max_(options.mtu - ip_udp_header_bytes),
      waiting_max_(setup.receive_descriptors),
      transmit_flags_(setup.transmit_flags),
      pool_(pool.get()),
      device_(options.device),
      mac_(setup.mac),
      writer_(setup.mac, options.local, setup.checksum),
      shares_bodies_(setup.shares_bodies) {}

DpdkPort::~DpdkPort() {
  give_back(std::span(received_).first(received_count_));
  give_back(std::span(queued_).first(queued_count_));
  rte_pktmbuf_free(reserved_);
}

bool DpdkPort::link_is_up() const {
  rte_eth_link link{};
  return rte_eth_link_get_nowait(ethdev_, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

std::size_t DpdkPort::receive(std::span<Packet> out) {
  if (received_count_ != 0) give_back(std::span(received_).first(received_count_));  // most polls bring nothing
  const auto wanted = static_cast<std::uint16_t>(std::min(out.size(), burst_packets_max));
  received_count_ = is_stopped_ ? 0 : rte_eth_rx_burst(ethdev_, queue_, received_.data(), wanted);
  if (inbox_ != nullptr) [[unlikely]] {
    const auto room = static_cast<unsigned>(wanted - received_count_);
    received_count_ +=
        rte_ring_sc_dequeue_burst(inbox_, reinterpret_cast<void**>(received_.data() + received_count_), room, nullptr);
  }
  if (received_count_ == 0) return has_sent_ || connects_ ? look_at_link(out) : 0;
  for (std::size_t i = 1; i < received_count_; ++i) rte_prefetch0(data_of(received_[i]));
  std::size_t kept = 0;
  for (std::size_t i = 0; i < received_count_; ++i) kept += accept_frame(received_[i], out[kept]) ? 1 : 0;
  counters_.received += kept;
  return kept;
}

// What was sent to a peer whose process is gone is refused, as a kernel would do it.
std::size_t DpdkPort::look_at_link(std::span<Packet> out) {
  const bool has_sent = std::exchange(has_sent_, false);
  if (out.empty() || (link_is_up() && !is_stopped_)) return 0;
  if (connects_) connect_again();
  if (!has_sent || link_is_up()) return 0;
  out[0] = {.payload = {}, .from = peer_};
  return 1;
}

// With system calls, and memory from DPDK: there is no link that they could slow.
void DpdkPort::connect_again() {
  if (shared_->is_restarting()) return;
  is_stopped_ = !shared_->runs();
  if (link_is_up() || now_ns() < connect_next_ns_) return;  // the peer may be about to answer
  is_stopped_ = true;
  shared_->restart();
  connect_next_ns_ = now_ns() + connect_pause_ns;
}

bool DpdkPort::accept_frame(rte_mbuf* buffer, Packet& packet) {
  const auto refuse = [this](FrameFault fault) {
    ++faults_[static_cast<std::size_t>(fault)];
    ++counters_.receive_dropped;
    return false;
  };
  // Buffers hold a whole frame of this link's MTU, but some NICs (e1000e) fill no more of one than a power of two.
  if (buffer->nb_segs != 1 && rte_pktmbuf_linearize(buffer) != 0) return refuse(FrameFault::bad_length);
  if (!point_to_point_ && has_bad_checksum(*buffer)) return refuse(FrameFault::bad_checksum);
  const Bytes bytes(data_of(buffer), buffer->data_len);
  const auto frame = parse_frame(bytes, local_);
  if (!frame) return refuse(frame.error());
  if (!point_to_point_) learn(frame->from.address, frame->source);
  if (frame->kind == FrameKind::udp) [[likely]] {
    packet = {frame->payload, frame->from};
    return true;
  }
  const bool passed_on = buffer->port == RTE_MBUF_PORT_INVALID;
  if (frame->kind == FrameKind::arp_reply && inbox_ != nullptr && !passed_on) pass_on(buffer);
  answer(*frame, bytes);
  return false;
}

void DpdkPort::learn(std::uint32_t address, const Mac& mac) {
  const bool unicast = (mac[0] & 1) == 0;
  if (unicast && address != 0 && address != local_.address && on_link(address)) neighbours_.learn(address, mac);
}

void DpdkPort::answer(const Frame& frame, Bytes bytes) {
  if (frame.kind == FrameKind::arp_request) {
    send_frame(arp_frame_bytes,
               [&](MutableBytes out) { return write_arp_reply(out, mac_, local_.address, frame.source, frame.from.address); });
  } else if (frame.kind == FrameKind::echo_request) {
    send_frame(bytes.size(), [&](MutableBytes out) { return write_echo_reply(out, bytes, mac_); });
  }
}

void DpdkPort::pass_on(rte_mbuf* buffer) {
  buffer->port = RTE_MBUF_PORT_INVALID;
  for (rte_ring* const inbox : shared_->inboxes) {
    if (inbox == inbox_) continue;
    rte_pktmbuf_refcnt_update(buffer, 1);
    if (rte_ring_mp_enqueue(inbox, buffer) != 0) rte_pktmbuf_free(buffer);  // full: whoever needs it asks again
  }
}

void DpdkPort::ask_for(std::uint32_t address) {
  if (!neighbours_.may_ask(address, now_ns())) return;
  send_frame(arp_frame_bytes, [&](MutableBytes out) { return write_arp_request(out, mac_, local_.address, address); });
}

template <class Write>
void DpdkPort::send_frame(std::size_t bytes_max, Write write) {
  rte_mbuf* buffer = take_buffer(pool_);
  if (buffer == nullptr || rte_pktmbuf_tailroom(buffer) < bytes_max) {
    rte_pktmbuf_free(buffer);
    ++counters_.send_dropped;
    return;
  }
  const std::size_t bytes = write(MutableBytes(data_of(buffer), bytes_max));
  buffer->data_len = static_cast<std::uint16_t>(bytes);
  buffer->pkt_len = static_cast<std::uint32_t>(bytes);
  queue(buffer);
  flush();
}

MutableBytes DpdkPort::reserve() {
  if (reserved_ == nullptr) [[likely]] {
    reserved_ = take_buffer(pool_);
    if (reserved_ == nullptr) [[unlikely]] {
      ++counters_.send_dropped;
      return {};
    }
  }
  return {data_of(reserved_) + frame_header_bytes, payload_bytes_max_};
}

const Mac* DpdkPort::next_hop(std::uint32_t to) {
  if (point_to_point_) return &broadcast_mac;
  const std::uint32_t hop = on_link(to) ? to : gateway_;
  if (hop == 0) return nullptr;
  const Neighbours::Answer neighbour = neighbours_.find(hop);
  if (neighbour.doubtful) [[unlikely]]
    ask_for(hop);
  return neighbour.mac;
}

void DpdkPort::send(Endpoint to, std::size_t bytes) {
  CHECK(reserved_ != nullptr);
  CHECK_LE(bytes, payload_bytes_max_);
  const Mac* const destination = next_hop(to.address);
  if (destination == nullptr) [[unlikely]] {
    ++counters_.send_dropped;  // the buffer stays reserved for the next packet
    last_ = nullptr;
    return;
  }
  rte_mbuf* const buffer = take_reserved(*destination, to, bytes, {});
  last_ = buffer;
  queue(buffer);
}

bool DpdkPort::send_sharing(Endpoint to, std::size_t bytes) {
  CHECK(reserved_ != nullptr);
  const std::size_t own_bytes = frame_header_bytes + bytes;
  const auto can_share = [&] { return last_ != nullptr && last_->data_len >= own_bytes + shared_bytes_min; };
  if (!shares_bodies_ || !can_share() || bytes % 2 != 0) return false;
  const Mac* const destination = next_hop(to.address);
  if (destination == nullptr || !can_share()) return false;  // who asks for a neighbour flushes
  rte_mbuf* const shared = take_buffer(pool_);
  if (shared == nullptr) return false;
  rte_pktmbuf_attach(shared, last_);
  rte_pktmbuf_adj(shared, static_cast<std::uint16_t>(own_bytes));
  rte_mbuf* const buffer = take_reserved(*destination, to, bytes, {data_of(shared), shared->data_len});
  buffer->pkt_len += shared->data_len;
  buffer->nb_segs = 2;
  buffer->next = shared;
  queue(buffer);
  return true;
}

rte_mbuf* DpdkPort::take_reserved(const Mac& destination, Endpoint to, std::size_t bytes, Bytes tail) {
  if (hears_hangup_) {
    has_sent_ = true;
    peer_ = to;
  }
  rte_mbuf* const buffer = std::exchange(reserved_, nullptr);
  const std::size_t frame_bytes = frame_header_bytes + bytes;
  writer_.write(MutableBytes(data_of(buffer), frame_bytes), destination, to, tail);
  buffer->data_len = static_cast<std::uint16_t>(frame_bytes);
  buffer->pkt_len = static_cast<std::uint32_t>(frame_bytes);
  if (transmit_flags_ != 0) {
    buffer->ol_flags |= transmit_flags_;
    buffer->tx_offload = 0;
    buffer->l2_len = ethernet_header_bytes;
    buffer->l3_len = 20;
  }
  return buffer;
}

void DpdkPort::queue(rte_mbuf* buffer) {
  queued_[queued_count_++] = buffer;
  if (queued_count_ == burst_packets_max) flush();
}

void DpdkPort::flush() {
  if (queued_count_ == 0) return;
  const auto count = static_cast<std::uint16_t>(queued_count_);
  const std::uint16_t sent = is_stopped_ ? std::uint16_t{0} : rte_eth_tx_burst(ethdev_, queue_, queued_.data(), count);
  counters_.sent += sent;
  if (sent < count) [[unlikely]] {
    counters_.send_dropped += static_cast<std::size_t>(count - sent);
    give_back(std::span(queued_).subspan(sent, count - sent));
  }
  queued_count_ = 0;
  last_ = nullptr;
}

}  // namespace synod::dataplane
