// What is true of the whole cluster, for all time, learned from the disks: which value was chosen for which slot, and so what
// the log is. The first thing that contradicts it is the run's failure, and ends it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "consensus/log_state.h"
#include "consensus/quorum.h"
#include "tests/sim/ledger.h"

namespace synod::sim {

struct Failure {
  std::string check;  // a short name, the same for the same kind of bug
  std::string text;
};

class Oracle {
 public:
  explicit Oracle(const consensus::Configuration& configuration) : configuration_(configuration) {}

  void fail(std::string_view check, std::string text) {
    if (!failure_) failure_ = Failure{std::string(check), std::move(text)};
  }
  [[nodiscard]] const std::optional<Failure>& failure() const { return failure_; }

  // From the disks.
  void value(Slot slot, Checksum checksum, Bytes body);
  void vote(std::size_t member, const Vote& vote);

  // A replica has applied everything up to `applied`.
  void replica_applied(std::size_t member, const consensus::LogState& log);

  // The log as far as it is chosen without a hole.
  [[nodiscard]] Slot chosen_up_to() const { return log_.applied(); }
  [[nodiscard]] std::optional<Checksum> chosen(Slot slot) const;
  [[nodiscard]] const std::vector<std::string>& entries() const { return entries_; }
  [[nodiscard]] Lsn tail() const { return Lsn(entries_.size()); }
  [[nodiscard]] Lsn trim() const { return log_.trim(); }
  [[nodiscard]] std::optional<Lsn> lsn_of(const std::string& payload) const;
  [[nodiscard]] Slot slot_of(Lsn lsn) const;
  // The values of slots that are not in the log yet which hold this entry of a session; nothing at all if it is in the log.
  [[nodiscard]] std::optional<std::vector<std::pair<Slot, Checksum>>> open_values_with(SessionId session,
                                                                                       Sequence sequence) const;
  // Behind everything up to `slot`, which is chosen.
  [[nodiscard]] Lsn lsn_behind(Slot slot) const { return slot == Slot{} ? Lsn{} : Lsn(lsn_after_[slot.value() - 1]); }
  [[nodiscard]] bool was_evicted(SessionId session) const;
  [[nodiscard]] std::size_t sessions() const { return log_.sessions().size(); }
  [[nodiscard]] std::uint64_t void_slots() const { return void_slots_; }

 private:
  struct Ballotted {
    Checksum checksum;
    consensus::MemberSet members;
  };

  void extend();
  void apply(Slot slot, Checksum checksum);

  consensus::Configuration configuration_;
  using Values = std::map<Checksum, std::vector<std::byte>>;
  static constexpr std::size_t settled_slots_max = 256;
  std::map<Slot, Values> values_;   // of slots that are not in the log yet
  std::map<Slot, Values> settled_;  // of the last ones that are: a deposed leader still proposes and answers there
  std::map<std::pair<Slot, Ballot>, Ballotted> votes_;
  std::map<Slot, Checksum> chosen_;
  consensus::LogState log_{true};         // for sessions; LSNs are counted here again
  std::vector<wire::Chain> chains_;       // by slot - 1
  std::vector<std::uint64_t> lsn_after_;  // by slot - 1
  std::vector<Lsn> trims_;                // by slot - 1
  std::vector<std::string> entries_;
  std::unordered_map<std::string, std::uint64_t> lsns_;
  std::uint64_t void_slots_ = 0;
  std::optional<Failure> failure_;
};

}  // namespace synod::sim
