// One replica as a value: its engine, its disk, and what the oracle remembers of it. The engine is production code, and its
// effects are carried out as consensus/effects.h says; each action below is one call of the engine, followed by pump until it
// rests.
//
// Time is not part of the state. An engine gets timeouts that make every resend due at any tick, and one microsecond of credit
// for a tick, so that "the leader is lost" is as many ticks as that takes; then the poll of the other replicas is answered as if
// they had lost it too, which a Suspect could always bring about.
//
// What a replica could send any moment without changing itself (a heartbeat, a fetch, what is chosen) counts as sent at once: on
// a network that may hold a message back for ever, to send early is to allow everything that sending late allows.
//
// Checked in every call: the engine's invariants, durable before visible, and that promises report what lies on the disk.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "consensus/engine.h"
#include "tests/explore/bounds.h"
#include "tests/explore/message.h"

namespace synod::consensus::explore {

// A record on a disk. Only what is durable survives a crash, and any prefix of the others may.
struct DiskRecord {
  wire::RecordKind kind{};
  Slot slot;
  Ballot ballot;
  Checksum checksum;
  std::uint32_t body_bytes = 0;
  // What the header of the block around it says.
  Slot commit;
  Ballot promised;
  Slot highest;

  auto operator<=>(const DiskRecord&) const = default;
};

struct Disk {
  // Whether a crash may lose durable records: only then is their order a part of the state.
  bool may_lose = false;
  // What recovery gives back of the durable records.
  Ballot promised;
  Slot commit;
  std::vector<DiskRecord> newest;  // by slot, from 1; kind 0: none
  // The durable votes and chosen records of all time, ascending.
  std::vector<DiskRecord> history;
  // Not durable yet, in the order of staging.
  std::vector<DiskRecord> staged;
  // The durable ones in their order, what is lost of them, and the votes that were lost without a bound.
  std::vector<DiskRecord> chain;
  Doubt doubt;
  std::vector<DiskRecord> lost;

  void make_durable();  // the first of `staged`
  // Faults. What recovery gives back is computed anew.
  [[nodiscard]] bool can_lose_middle(std::size_t index) const;
  void lose_middle(std::size_t index);
  void lose_tail(std::size_t records);
  // Without crashes nobody ever reads the commit watermarks.
  void fingerprint(Fingerprint& print, bool may_crash) const;

 private:
  void recover();
};

struct Sent {
  std::size_t to;
  wire::PeerMessage message;
  std::vector<wire::PromisedSlot> slots;
};

enum class ActionKind : std::uint8_t { deliver, durable, crash, campaign, propose };

struct Action {
  ActionKind kind{};
  std::uint8_t place = 0;
  // deliver: the message; durable: how many records; crash: how many staged ones survive, and what is lost (see Loss)
  std::uint32_t argument = 0;
};

// What a crash loses of the durable records, within the argument of its action.
struct Loss {
  static constexpr std::uint32_t none = 0;
  static constexpr std::uint32_t tails = 128;  // 1 .. 127: the record of that number, from 1; above 128: so many at the end
  static constexpr std::uint32_t shift = 8;
};

class Replica {
 public:
  Replica(const Bounds& bounds, std::size_t place);

  // Each does one thing, puts what is sent into `sent`, and says whether it was possible.
  bool deliver(const Message& message, std::vector<Sent>& sent);
  bool act(const Action& action, std::vector<Sent>& sent);
  // Every action but deliver that might be possible.
  [[nodiscard]] std::vector<Action> actions() const;
  // What its timer would send now, and what it would answer if it were asked what is chosen.
  void send_what_it_could(std::vector<Sent>& sent) const;

  [[nodiscard]] Fingerprint::Value fingerprint(const Fingerprint::Labels& labels) const;
  [[nodiscard]] const std::string& failure() const { return failure_; }
  [[nodiscard]] const Disk& disk() const { return disk_; }
  [[nodiscard]] const Engine& engine() const { return engine_; }
  [[nodiscard]] std::size_t place() const { return place_; }
  [[nodiscard]] std::uint32_t crashes() const { return open_count_; }
  // The values that this process says are committed, from slot 1.
  [[nodiscard]] const std::vector<Checksum>& committed() const { return committed_; }
  // The same of all its processes, where tails may be lost: what a disk loses was said all the same.
  [[nodiscard]] const std::vector<Checksum>& ever_committed() const { return ever_committed_; }

 private:
  template <class Call>
  void step(std::vector<Sent>& sent, Call&& call);
  void carry_out(std::vector<Sent>& sent);
  void transmit(const Send& send, std::vector<Sent>& sent);
  void serve_range(const Serve& range, std::vector<Sent>& sent);
  void flush();

  bool make_durable(std::size_t records, std::vector<Sent>& sent);
  bool crash(std::uint32_t argument, std::vector<Sent>& sent);
  void confirm();
  bool campaign(std::vector<Sent>& sent);
  bool propose(std::vector<Sent>& sent);
  void serve(std::size_t asker, std::vector<Sent>& sent);
  void tick(std::vector<Sent>& sent);
  void restore_slots();

  void check_durable_before_visible(const Send& send);
  void check_promise(const wire::Promise& promise, Slot commit);
  [[nodiscard]] bool may_campaign() const { return place_ < bounds_->proposers && campaigns_ < bounds_->campaigns; }
  void fail(const std::string& what);

  const Bounds* bounds_;
  std::size_t place_;
  std::uint32_t open_count_ = 0;
  std::uint32_t campaigns_ = 0;
  Disk disk_;
  Engine engine_;
  std::uint64_t durable_number_ = 0;                // of this process's records
  std::array<std::uint64_t, members_max> heard_{};  // the newest process of each member that the engine has heard
  std::vector<Checksum> committed_;
  std::vector<Checksum> ever_committed_;
  std::uint64_t now_us_ = 1'000'000;
  std::string failure_;
};

}  // namespace synod::consensus::explore
