// synod append: cuts its input into entries, appends them pipelined, prints the first and the last LSN.
#include <chrono>
#include <optional>

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/entry_source.h"

namespace synod::cli {

namespace {

using Clock = std::chrono::steady_clock;

// One line on a terminal, from the first second on.
class Progress {
 public:
  void show(std::uint64_t entries, const EntrySource& source) {
    if (!terminal_ || Clock::now() < next_) return;
    next_ = Clock::now() + std::chrono::milliseconds(200);
    shown_ = true;
    const double mib = static_cast<double>(source.bytes_read()) / (1 << 20);
    std::string share;
    if (source.bytes_total() > 0) {
      share =
          fmt::format(" {:3.0f}%", 100.0 * static_cast<double>(source.bytes_read()) / static_cast<double>(source.bytes_total()));
    }
    fmt::print(stderr, "\r{} entries appended, {:.1f} MiB read{}\x1b[K", entries, mib, share);
  }
  void clear() {
    if (shown_) fmt::print(stderr, "\r\x1b[K");
    shown_ = false;
  }

 private:
  bool terminal_ = ::isatty(STDERR_FILENO) == 1;
  bool shown_ = false;
  Clock::time_point next_ = Clock::now() + std::chrono::seconds(1);
};

class Append {
 public:
  ClusterOptions cluster;
  std::string path = "-";
  bool lines = false;
  std::optional<std::size_t> chunk_bytes;
  std::string ack = "quorum";

  int run() {
    cluster.ack = *wire::ack_level_of(ack);  // the option was checked
    auto client = cluster.connect();
    if (!client) return failed(client.error().text);
    auto source = EntrySource::open(path, cut(), chunk_bytes.value_or(0));
    if (!source) return failed(source.error().text);
    (*client)->on_appended([&](Lsn lsn) { note(lsn); });
    const auto done = append_all(**client, *source);
    progress_.clear();
    if (!done) {
      std::string text = done.error().text;
      if (first_) {
        text += fmt::format("; the first {} entries are appended, LSN {} to {}", appended_, first_->value(), last_.value());
      }
      return failed(text);
    }
    if (first_) fmt::print("{} {}\n", first_->value(), last_.value());
    if (first_ && wire::is_early(cluster.ack)) {
      fmt::print(stderr, "synod: answered early (--ack {}): a failover may lose or move these entries\n", ack);
    }
    return finish_output(exit_done);
  }

 private:
  [[nodiscard]] Cut cut() const {
    if (lines) return Cut::lines;
    return chunk_bytes ? Cut::chunks : Cut::whole;
  }

  void note(Lsn lsn) {
    if (!first_) first_ = lsn;
    last_ = lsn;
    ++appended_;
  }

  Result<> append_all(client::Client& client, EntrySource& source) {
    // While a pipe is silent, what is in flight goes on.
    const auto wait = [&](int descriptor) -> Result<> {
      while (true) {
        if (auto going = client.progress(descriptor, 100); !going) return going;
        pollfd input{.fd = descriptor, .events = POLLIN, .revents = 0};
        if (::poll(&input, 1, 0) != 0) return {};
        progress_.show(appended_, source);
      }
    };
    while (true) {
      auto entry = source.next(wait);
      if (!entry) {
        // What came before the bad entry is on its way already: finish it, so that the report is true.
        if (auto finished = client.wait_all(); !finished) return finished;
        return std::unexpected(entry.error());
      }
      const std::optional<Bytes>& payload = *entry;
      if (!payload) return client.wait_all();
      if (auto submitted = client.submit(*payload); !submitted) return submitted;
      progress_.show(appended_, source);
    }
  }

  Progress progress_;
  std::optional<Lsn> first_;
  Lsn last_;
  std::uint64_t appended_ = 0;
};

}  // namespace

void add_append(CLI::App& app, Body& body) {
  CLI::App* const command = app.add_subcommand("append", "append a file or stdin; prints the first and the last LSN");
  static Append options;  // lives as long as the application that refers to it
  options.cluster.add_to(*command);
  command->add_option("FILE", options.path, "what to append; - is stdin")->capture_default_str();
  CLI::Option* const by_lines = command->add_flag("--lines", options.lines, "one entry a line, without its line end");
  command->add_option("--chunk", options.chunk_bytes, "one entry each so many bytes; else the whole input is one entry")
      ->check(CLI::Range(std::size_t{1}, entry_bytes_max))
      ->excludes(by_lines);
  command->add_option("--ack", options.ack, "when an append is answered: memory, leader, one, quorum or all")
      ->capture_default_str()
      ->check([](const std::string& level) {
        if (wire::ack_level_of(level)) return std::string();
        return fmt::format("{} is no acknowledgement level: choose memory, leader, one, quorum or all", level);
      });
  command->final_callback([&body] { body = [] { return options.run(); }; });
}

}  // namespace synod::cli
