// Sets of messages, each once: what a replica has sent since the beginning is a small number too.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <unordered_map>
#include <vector>

#include "tests/explore/message.h"

namespace synod::consensus::explore {

using SetId = std::uint32_t;

class MessageSets {
 public:
  static constexpr SetId empty = 0;

  MessageSets(const Messages& messages, std::size_t symmetries) : messages_(&messages), symmetries_(symmetries) {
    static_cast<void>(intern({}));
  }

  [[nodiscard]] SetId intern(std::vector<MessageId> ids);
  [[nodiscard]] SetId unite(SetId left, SetId right);
  [[nodiscard]] const std::vector<MessageId>& all(SetId set) const { return sets_[set].all; }
  [[nodiscard]] const std::vector<MessageId>& to(SetId set, std::size_t place) const { return sets_[set].to[place]; }
  [[nodiscard]] const std::vector<Fingerprint::Value>& prints(SetId set) const { return sets_[set].prints; }
  [[nodiscard]] std::size_t size() const { return sets_.size(); }

 private:
  struct Set {
    std::vector<MessageId> all;  // ascending
    std::array<std::vector<MessageId>, members_max> to;
    std::vector<Fingerprint::Value> prints;  // one for each symmetry
  };

  const Messages* messages_;
  std::size_t symmetries_;
  std::deque<Set> sets_;  // what stands in it stays where it is
  std::map<std::vector<MessageId>, SetId> by_content_;
  std::unordered_map<std::uint64_t, SetId> unions_;
};

}  // namespace synod::consensus::explore
