#include "tests/explore/message_sets.h"

#include <algorithm>
#include <iterator>

namespace synod::consensus::explore {

SetId MessageSets::intern(std::vector<MessageId> ids) {
  std::ranges::sort(ids);
  const auto repeated = std::ranges::unique(ids);
  ids.erase(repeated.begin(), repeated.end());
  const auto [known, is_new] = by_content_.try_emplace(ids, static_cast<SetId>(sets_.size()));
  if (!is_new) return known->second;
  Set set;
  set.all = std::move(ids);
  set.prints.resize(symmetries_);
  for (const MessageId id : set.all) {
    set.to[(*messages_)[id].to].push_back(id);
    for (std::size_t i = 0; i < symmetries_; ++i) set.prints[i] += messages_->prints(id)[i];
  }
  sets_.push_back(std::move(set));
  return known->second;
}

SetId MessageSets::unite(SetId left, SetId right) {
  if (right == empty || left == right) return left;
  const auto [known, is_new] = unions_.try_emplace(std::uint64_t{left} << 32 | right);
  if (!is_new) return known->second;
  std::vector<MessageId> both;
  std::ranges::set_union(sets_[left].all, sets_[right].all, std::back_inserter(both));
  const SetId united = intern(std::move(both));
  unions_[std::uint64_t{left} << 32 | right] = united;
  return united;
}

}  // namespace synod::consensus::explore
