// What single replicas can do, computed once: a replica is deterministic, so "this replica in this state hears this message" has
// one result, however many global states it is a part of. The production engine runs once for each such step, and the exploration
// of global states looks results up.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/explore/message_sets.h"
#include "tests/explore/replica.h"

namespace synod::consensus::explore {

using CoreId = std::uint32_t;

struct Step {
  CoreId core = 0;
  SetId sent = MessageSets::empty;
};

struct ActionStep {
  Action action;
  Step step;
};

class Space {
 public:
  explicit Space(const Bounds& bounds);

  [[nodiscard]] const Bounds& bounds() const { return bounds_; }
  [[nodiscard]] CoreId initial(std::size_t place) { return initial_[place]; }
  [[nodiscard]] const Replica& replica(CoreId core) const { return *cores_[core].replica; }
  [[nodiscard]] const std::vector<Fingerprint::Value>& prints(CoreId core) const { return cores_[core].prints; }
  // Tells apart what the oracle looks at: durable votes and commits.
  [[nodiscard]] std::uint32_t facts(CoreId core) const { return cores_[core].facts; }
  [[nodiscard]] std::uint32_t crashes(CoreId core) const { return cores_[core].crashes; }

  // Null: nothing happens. Null with a failure: something is wrong with it.
  [[nodiscard]] const Step* deliver(CoreId core, MessageId message);
  [[nodiscard]] const std::vector<ActionStep>& actions(CoreId core);
  // The exploration stands on the fingerprint: replicas that look the same must act the same. Gives every step that was computed
  // for a state to its twins too, and counts how many of them end in another state or send something else.
  [[nodiscard]] std::uint64_t differing_twins();
  [[nodiscard]] std::size_t twins() const { return twins_.size(); }
  [[nodiscard]] const std::string& failure() const { return failure_; }
  // The action that is being computed or that failed.
  [[nodiscard]] const std::optional<Action>& running() const { return running_; }

  [[nodiscard]] const Messages& messages() const { return messages_; }
  [[nodiscard]] MessageSets& sets() { return sets_; }
  [[nodiscard]] const MessageSets& sets() const { return sets_; }
  [[nodiscard]] std::size_t symmetries() const { return symmetries_.size(); }
  [[nodiscard]] std::size_t cores() const { return cores_.size(); }
  [[nodiscard]] std::uint64_t calls() const { return calls_; }

 private:
  struct Core {
    std::unique_ptr<Replica> replica;
    std::vector<Fingerprint::Value> prints;  // one for each symmetry
    std::vector<std::uint32_t> heard;        // by the message's number at the receiver: 0 unknown, 1 nothing, else its step + 2
    std::optional<std::vector<ActionStep>> actions;
    std::uint32_t facts = 0;
    std::uint32_t crashes = 0;
  };

  struct Twin {
    CoreId core = 0;
    std::unique_ptr<Replica> replica;
  };

  [[nodiscard]] CoreId intern(Replica replica);
  void keep_twin(CoreId core, Replica replica);
  [[nodiscard]] bool acts_alike(const Twin& twin);
  [[nodiscard]] std::uint32_t facts_of(const Replica& replica);
  // Runs one action on a copy. Nothing if it is not possible.
  [[nodiscard]] std::optional<Step> run(CoreId core, const Replica& before, const Action& action);
  [[nodiscard]] SetId intern(std::size_t from, const std::vector<Sent>& sent);

  Bounds bounds_;
  std::vector<Fingerprint::Labels> symmetries_;
  Messages messages_;
  MessageSets sets_;
  std::deque<Core> cores_;  // what stands in these stays where it is
  std::deque<Step> steps_;
  std::map<Fingerprint::Value, CoreId> by_print_;
  std::map<Fingerprint::Value, std::uint32_t> facts_;
  std::vector<CoreId> initial_;
  std::optional<Action> running_;
  std::string failure_;
  std::uint64_t calls_ = 0;
  std::vector<Twin> twins_;
  std::uint64_t twins_met_ = 0;
};

}  // namespace synod::consensus::explore
