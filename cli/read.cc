// synod read: committed entries in order.
#include <algorithm>
#include <cstdio>
#include <limits>
#include <optional>

#include <fmt/format.h>
#include <poll.h>

#include "cli/command.h"

namespace synod::cli {

namespace {

constexpr int follow_pause_ms = 20;

// Printable ASCII as it is; a backslash, a tab and everything else escaped, so that one line is one entry.
void append_escaped(std::string& line, Bytes payload) {
  for (const std::byte byte : payload) {
    const auto letter = static_cast<unsigned char>(byte);
    switch (letter) {
      case '\\': line += "\\\\"; break;
      case '\n': line += "\\n"; break;
      case '\r': line += "\\r"; break;
      case '\t': line += "\\t"; break;
      default:
        if (letter >= 0x20 && letter < 0x7F) {
          line += static_cast<char>(letter);
        } else {
          line += fmt::format("\\x{:02x}", letter);
        }
    }
  }
}

class Read {
 public:
  ClusterOptions cluster;
  std::uint64_t from = 0;
  std::optional<std::uint64_t> to;
  bool follow = false;
  bool raw = false;

  int run() {
    if (to && *to < from) return usage(fmt::format("--to {} lies before --from {}", *to, from));
    auto client = cluster.connect();
    if (!client) return failed(client.error().text);
    const auto reached = follow ? run_following(**client) : run_once(**client);
    if (!reached) {
      (void)std::fflush(stdout);
      return failed(reached.error().text);
    }
    return finish_output(exit_done);
  }

 private:
  // Prints [at, end) and returns how far it came.
  Result<Lsn> print(client::Client& client, Lsn at, Lsn end) {
    const auto reached = client.read(at, end, [&](Lsn lsn, Bytes payload) {
      read_to_ = lsn + 1;
      line_.clear();
      if (raw) {
        line_.assign(reinterpret_cast<const char*>(payload.data()), payload.size());
      } else {
        line_ = fmt::format("{}\t", lsn.value());
        append_escaped(line_, payload);
        line_ += '\n';
      }
      return std::fwrite(line_.data(), 1, line_.size(), stdout) == line_.size();
    });
    if (const auto first_kept = client.first_kept(); !reached && first_kept) {
      return fail(fmt::format("entries from LSN {} on are trimmed: the first that can be read is LSN {}",
                              std::max(read_to_, at).value(), first_kept->value()));
    }
    return reached;
  }

  Result<Lsn> run_once(client::Client& client) {
    const auto tail = client.tail();
    if (!tail) return tail;
    const Lsn end = std::min(to ? Lsn(*to) : *tail, *tail);
    if (Lsn(from) > *tail) return fail(fmt::format("the log ends at LSN {}, before --from {}", tail->value(), from));
    const auto reached = print(client, Lsn(from), end);
    if (!reached || std::ferror(stdout) != 0) return reached;
    if (*reached < end) return fail(fmt::format("entries from LSN {} on could not be read: try again", reached->value()));
    if (to && Lsn(*to) > *tail) return fail(fmt::format("the log ends at LSN {}, before --to {}", tail->value(), *to));
    return reached;
  }

  // Waits at the tail for more; a leader that is just being replaced is no reason to end.
  Result<Lsn> run_following(client::Client& client) {
    const Lsn end = to ? Lsn(*to) : Lsn(std::numeric_limits<std::uint64_t>::max());
    Lsn at(from);
    while (at < end) {
      const auto tail = client.tail();
      if (!tail) return tail;
      if (*tail > at) {
        const auto reached = print(client, at, std::min(end, *tail));
        if (!reached) return reached;
        at = *reached;
        if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) return at;
      } else {
        (void)::poll(nullptr, 0, follow_pause_ms);
      }
    }
    return at;
  }

  std::string line_;
  Lsn read_to_;  // behind the last entry printed
};

}  // namespace

void add_read(CLI::App& app, Body& body) {
  CLI::App* const command = app.add_subcommand("read", "print committed entries: LSN, tab, payload (with escapes)");
  static Read options;  // lives as long as the application that refers to it
  options.cluster.add_to(*command);
  command->add_option("--from", options.from, "the first LSN")->required()->check(check_lsn);
  command->add_option("--to", options.to, "stop before this LSN; without it read to the tail")->check(check_lsn);
  command->add_flag("--follow", options.follow, "at the tail wait for more");
  command->add_flag("--raw", options.raw, "print the payloads' bytes and nothing else");
  command->final_callback([&body] { body = [] { return options.run(); }; });
}

}  // namespace synod::cli
