#include "consensus/identity.h"

#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "base/prng.h"

namespace synod::consensus {

Identity::Identity(const Configuration& configuration, std::size_t self, const Incarnation& incarnation,
                   std::span<const wire::MemberUuid> recorded, std::uint64_t seed)
    : configuration_(configuration), recorded_(!recorded.empty()) {
  for (const wire::MemberUuid& member : recorded) {
    const std::size_t place = configuration_.place_of(member.replica);
    if (place != Configuration::not_a_member) uuids_[place] = member.uuid;
  }
  seed = splitmix64(seed) + incarnation.open_count;
  for (const std::byte byte : incarnation.disk.bytes) seed = (seed << 8 | seed >> 56) ^ static_cast<std::uint8_t>(byte);
  question_ = Probe(splitmix64(seed));
  if (!recorded_) uuids_[self] = incarnation.disk;
  // The caller compares its own disk with the record before it makes an engine, and refuses with a message.
  CHECK(uuids_[self] == incarnation.disk);
  CHECK(!recorded_ || all_known());
}

bool Identity::all_known() const {
  for (std::size_t member = 0; member < configuration_.size(); ++member) {
    if (!is_known(member)) return false;
  }
  return true;
}

bool Identity::hello(std::size_t member, const Incarnation& incarnation, bool is_answer, Probe probe) {
  if (incarnation.disk.is_none()) return false;
  if (recorded_ || all_known()) return admit(member, incarnation);
  if (is_answer) {
    if (probe != question_) return false;
    uuids_[member] = incarnation.disk;
    open_counts_[member] = incarnation.open_count;
  } else if (uuids_[member] != incarnation.disk) {
    // Until the record is made a member may come with another disk (a diskless process that started again): we ask it again.
    uuids_[member] = Uuid{};
  }
  return true;
}

bool Identity::admit(std::size_t member, const Incarnation& incarnation) {
  if (incarnation.disk.is_none()) return false;
  if (uuids_[member] != incarnation.disk) return mutant(Mutant::reformatted_votes);
  if (incarnation.open_count < open_counts_[member]) return false;
  open_counts_[member] = incarnation.open_count;
  return true;
}

void Identity::opened(std::size_t member, std::uint64_t open_count) {
  open_counts_[member] = std::max(open_counts_[member], open_count);
}

bool Identity::is_behind(std::size_t member, const Incarnation& incarnation) const {
  const bool is_known_disk = (recorded_ || all_known()) && uuids_[member] == incarnation.disk;
  return is_known_disk && incarnation.open_count < open_counts_[member];
}

void Identity::ask_again() {
  std::uint64_t seed = question_.value();
  question_ = Probe(splitmix64(seed));
}

FixedVector<wire::MemberUuid, members_max> Identity::uuids() const {
  FixedVector<wire::MemberUuid, members_max> result;
  for (std::size_t member = 0; member < configuration_.size(); ++member) {
    result.push_back({.replica = configuration_.member(member), .uuid = uuids_[member]});
  }
  return result;
}

}  // namespace synod::consensus
