// What a scenario's script can say. One command a line:
//
//   cluster N [phase1 A phase2 B]      replicas athens, byzantium, cyrene ... (at most seven), each with its disk
//   members NAME...                    the same, with names of your own; their initials must differ
//   seed N                             before `cluster`: of the timers and of `run`
//   hide | show KIND...                messages of these kinds (`heartbeat` and `suspect` mean their answers, too)
//   hide sends                         show each message when it arrives, not when it leaves
//   disk prompt | manual               records are durable at once (the start), or when `durable` says so
//   durable NAME [COUNT]               its oldest records that are not durable yet, or all of them
//
//   campaign NAME...                   their timers run out first; their polls are delivered and answered
//   propose NAME ENTRY... [ack LEVEL]  a client asks it to append these entries, which become one batch; LEVEL is an early one
//   read NAME                          a client asks it for the log's tail
//
//   deliver | drop | repeat FILTER     messages on their way now: `all`, or any of `a->b`, `a->`, `->b`, KIND, `slot N`
//   discard FILTER                     drops what matters no more, without showing it
//   stabilize                          deliver until nothing is on its way
//   network                            show what is on its way
//   cut NAME | cut a->b                links that lose everything from now on
//   heal                               all links are good again
//
//   crash | restart | format NAME      a process stops, starts, gets a new disk while it is down
//   unreadable NAME N                  while it is down: the n-th record of its disk cannot be read any more
//   lose NAME COUNT                    while it is down: the last records of its disk are gone, and its superblock knows it
//   image | rollback NAME              an image of its disk is made, is put back while it is down
//   confirm auto | manual              who starts is confirmed by the others at once and unseen (the start), or by messages
//   pause | resume NAME                a process that does nothing for a while; its messages wait
//   tick [NAME] TIME                   the clock moves, a millisecond at a time; messages wait
//   delay MIN MAX                      of messages while time goes by itself
//   run TIME                           time goes by itself
//   run until leader TIME              the same, but no longer than until a replica leads
//   run until commit N TIME            the same, until all live ones have committed N slots
//   state                              what every replica holds
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/scenario/world.h"

namespace synod::scenario {

class Commands {
 public:
  // Carries one line out; returns what it prints. A line that makes no sense, or a world that broke, gives `error: ...`.
  [[nodiscard]] std::string run(const std::string& line);
  [[nodiscard]] bool has_world() const { return world_ != nullptr; }
  [[nodiscard]] const World& world() const { return *world_; }

 private:
  using Words = std::vector<std::string>;

  std::string carry_out(const std::string& command, const Words& words);
  bool set_up(const std::string& command, const Words& words);
  bool ask(const std::string& command, const Words& words);
  bool move_messages(const std::string& command, const Words& words);
  bool break_things(const std::string& command, const Words& words);
  bool pass_time(const std::string& command, const Words& words);

  void make_world(Words words, bool by_count);
  void hide(const Words& words, bool is_hidden);
  void stabilize();
  void cut(const std::string& where);
  void tick(const Words& words);
  void run_time(const Words& words);
  [[nodiscard]] std::size_t place(const std::string& name) const;
  [[nodiscard]] World::Filter filter(const Words& words) const;
  [[nodiscard]] std::pair<std::optional<std::size_t>, std::optional<std::size_t>> link(const std::string& word) const;

  std::uint64_t seed_ = 1;
  std::unique_ptr<World> world_;
};

}  // namespace synod::scenario
