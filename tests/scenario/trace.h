// What happened in a scenario, in order: the lines of its expected output, and what its diagram draws.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/scenario/names.h"

namespace synod::scenario {

enum class What : std::uint8_t {
  sends,     // a message leaves; it arrives later, or never
  receives,  // a message arrives
  loses,     // a message is lost on its way
  refuses,   // a message of a disk that is not a member's
  writes,    // a record was handed to the disk
  durable,   // a record is on stable storage
  chosen,    // a quorum has a durable vote for one value in one ballot: a fact about the cluster, known to nobody yet
  commits,   // a replica knows the slot as chosen, and all before it
  changes,   // a role began or ended, a process stopped or started
  client,    // what a client asks for and gets
};

struct Event {
  What what{};
  std::size_t who = 0;
  std::string text;
  std::vector<std::size_t> others;  // whom a message goes to or comes from; whose votes chose a slot
  bool at_once = false;             // a record that was durable as soon as it was written
  bool hidden = false;              // the script does not want to see it
  std::uint64_t time_us = 0;
  bool timed = false;  // it happened while time went by itself
};

class Trace {
 public:
  // The same message sent to several replicas is one event, unless a mark lies between.
  void add(Event event);
  // A new stretch begins; how many events are before it.
  std::size_t mark() { return marked_ = events_.size(); }
  [[nodiscard]] const std::vector<Event>& events() const { return events_; }
  // The lines of all events from the given one on.
  [[nodiscard]] std::string lines(const Names& names, std::size_t from) const;

 private:
  std::vector<Event> events_;
  std::size_t marked_ = 0;
};

}  // namespace synod::scenario
