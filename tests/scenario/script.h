// A scenario's file: a comment that explains it, then blocks. A block is one or more commands, a line `----`, and all that they
// print (or `ok`), up to an empty line. A line that begins with # is a comment; it belongs to the block below it.
//
// After the manner of etcd's raft, whose interaction tests are such files.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tests/scenario/commands.h"

namespace synod::scenario {

struct Block {
  std::vector<std::string> lines;  // commands and comments, as written
  std::string expected;
};

struct Script {
  std::string header;  // the comment
  std::vector<Block> blocks;
};

[[nodiscard]] Script parse_script(std::string_view text);

struct Played {
  std::string text;  // the whole file, with what its commands really print
  Commands commands;
  std::vector<std::size_t> ends;  // of each block: the number of events up to it
};

// The events of blocks first..last, counted from 1; 0: from the first or to the last.
[[nodiscard]] std::span<const Event> events_of(const Played& played, std::size_t first, std::size_t last);

[[nodiscard]] Played play(const Script& script);

// The first line where two texts differ, for a report; empty if they are equal.
[[nodiscard]] std::string first_difference(std::string_view expected, std::string_view actual);

}  // namespace synod::scenario
