// The main job of `./dev.sh run`: three replica processes on disk replicate a real PostgreSQL WAL segment, lose their leader in
// the middle, give everything back, and take the killed replica in again. Then two short benchmarks, and one summary.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "client/client.h"
#include "dataplane/clock.h"
#include "replica/local_cluster.h"

namespace synod::demo {
namespace {

constexpr std::size_t entry_bytes = 128;

struct Summary {
  std::uint64_t entries = 0;
  double append_seconds = 0;
  std::uint64_t failover_ms = 0;
  double read_seconds = 0;
  std::string sha256;
  double catch_up_seconds = 0;
};

double seconds_since(std::uint64_t start_us) {
  return static_cast<double>(dataplane::now_us() - start_us) / 1e6;
}

void step(const std::string& text) {
  fmt::print("  {}\n", text);
  std::fflush(stdout);
}

Result<std::string> output_of(const std::string& command) {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command.c_str(), "r"), [](FILE*) { return 0; });
  std::string text;
  std::array<char, 65536> piece{};
  for (std::size_t got = 0; pipe && (got = std::fread(piece.data(), 1, piece.size(), pipe.get())) > 0;)
    text.append(piece.data(), got);
  if (!pipe || ::pclose(pipe.get()) != 0) return fail(fmt::format("this command failed: {}", command));
  return text;
}

Result<std::string> sha256_of(const std::string& path) {
  auto line = output_of(fmt::format("sha256sum '{}'", path));
  if (!line) return line;
  return line->substr(0, 64);
}

class Demo {
 public:
  Demo(std::string binary, std::string wal, std::string directory)
      : binary_(std::move(binary)), wal_(std::move(wal)), directory_(std::move(directory)) {}

  Result<> run() {
    auto log = output_of(fmt::format("zstdcat '{}'", wal_));
    if (!log) return std::unexpected(log.error());
    auto cluster = replica::LocalCluster::make(
        {.binary = binary_, .directory = directory_, .capacity_bytes = 128ULL << 20, .say = [](const std::string& line) {
           step(line);
         }});
    if (!cluster) return std::unexpected(cluster.error());
    if (auto started = cluster->start_all(); !started) return started;
    auto client = client::Client::connect({.addresses = cluster->addresses(), .timeout_us = 20'000'000});
    if (!client) return std::unexpected(client.error());
    step(fmt::format("three replicas are up: --cluster {}", cluster->addresses()));
    std::size_t killed = 0;
    if (auto done = append_all(*cluster, **client, bytes_of(std::string_view(*log)), killed); !done) return done;
    if (auto done = read_all(**client, *log); !done) return done;
    return catch_up(*cluster, **client, killed);
  }

  [[nodiscard]] const Summary& summary() const { return summary_; }

 private:
  static std::optional<std::size_t> leader(client::Client& client) {
    const auto replies = client.status(500'000);
    for (std::size_t place = 0; place < replies.size(); ++place) {
      if (replies[place].answer && replies[place].answer->role == wire::Role::leader) return place;
    }
    return std::nullopt;
  }

  Result<> append_all(replica::LocalCluster& cluster, client::Client& client, Bytes log, std::size_t& killed) {
    const std::uint64_t total = (log.size() + entry_bytes - 1) / entry_bytes;
    std::uint64_t answered = 0;
    std::uint64_t killed_us = 0;
    client.on_appended([&](Lsn) {
      // Answers that the dead leader had sent still come in: what counts is the first entry that was submitted after the kill.
      if (killed_us != 0 && summary_.failover_ms == 0 && answered >= total / 2) {
        summary_.failover_ms = std::max<std::uint64_t>((dataplane::now_us() - killed_us) / 1000, 1);
      }
      ++answered;
    });
    const std::uint64_t start_us = dataplane::now_us();
    for (std::uint64_t entry = 0; entry < total; ++entry) {
      if (entry == total / 2) {
        const auto victim = leader(client);
        if (!victim) return fail("no replica says that it leads, in the middle of the run");
        step(fmt::format("{} of {} entries appended; SIGKILL to replica {}, the leader", answered, total, *victim + 1));
        killed = *victim;
        cluster.kill(killed);
        killed_us = dataplane::now_us();
      }
      const std::size_t at = entry * entry_bytes;
      if (auto done = client.submit(log.subspan(at, std::min(entry_bytes, log.size() - at))); !done) return done;
    }
    if (auto done = client.wait_all(); !done) return done;
    summary_.entries = answered;
    summary_.append_seconds = seconds_since(start_us);
    step(fmt::format("{} entries acknowledged in {:.2f} s; a new append was committed {} ms after the kill", answered,
                     summary_.append_seconds, summary_.failover_ms));
    return {};
  }

  Result<> read_all(client::Client& client, const std::string& log) {
    const std::uint64_t start_us = dataplane::now_us();
    const auto tail = client.tail();
    if (!tail) return std::unexpected(tail.error());
    std::string back;
    Lsn next;
    while (next < *tail) {
      const auto end = client.read(next, *tail, [&](Lsn, Bytes payload) {
        back.append(reinterpret_cast<const char*>(payload.data()), payload.size());
        return true;
      });
      if (!end) return std::unexpected(end.error());
      next = *end;
    }
    summary_.read_seconds = seconds_since(start_us);
    const std::string sent_path = directory_ + "/sent";
    const std::string back_path = directory_ + "/back";
    std::ofstream(sent_path, std::ios::binary) << log;
    std::ofstream(back_path, std::ios::binary) << back;
    const auto sent = sha256_of(sent_path);
    const auto read = sha256_of(back_path);
    if (!sent || !read) return std::unexpected((sent ? read : sent).error());
    summary_.sha256 = *read;
    if (*sent != *read) return fail(fmt::format("the log differs from what was appended: sha256 {} and {}", *read, *sent));
    step(fmt::format("{} bytes read back in {:.2f} s: sha256 equal ({}…)", back.size(), summary_.read_seconds,
                     read->substr(0, 16)));
    return {};
  }

  Result<> catch_up(replica::LocalCluster& cluster, client::Client& client, std::size_t killed) {
    const auto tail = client.tail();
    if (!tail) return std::unexpected(tail.error());
    step(fmt::format("starting replica {} again", killed + 1));
    const std::uint64_t start_us = dataplane::now_us();
    if (auto started = cluster.start(killed); !started) return started;
    while (seconds_since(start_us) < 60) {
      const auto replies = client.status(200'000);
      const auto& answer = replies[killed].answer;
      if (answer && answer->tail == *tail && answer->durable == answer->commit) {
        summary_.catch_up_seconds = seconds_since(start_us);
        step(fmt::format("it has caught up, durably, after {:.2f} s", summary_.catch_up_seconds));
        return {};
      }
      if (!cluster.is_running(killed)) return fail(fmt::format("replica {} ended: {}", killed + 1, cluster.last_line(killed)));
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return fail(fmt::format("replica {} has not caught up within 60 s", killed + 1));
  }

  std::string binary_;
  std::string wal_;
  std::string directory_;
  Summary summary_;
};

Result<nlohmann::json> bench(const std::string& binary, const std::string& directory, const std::string& kind) {
  step(fmt::format("synod bench {} --box (a few seconds)", kind));
  auto text = output_of(fmt::format("'{}' bench {} --seconds 3 --format json --data '{}/bench-{}' 2>'{}/bench.log'", binary, kind,
                                    directory, kind, directory));
  if (!text) return std::unexpected(text.error());
  auto report = nlohmann::json::parse(*text, nullptr, false);
  if (report.is_discarded()) return fail(fmt::format("synod bench {} printed no JSON", kind));
  return report;
}

void print_summary(const Summary& summary, const nlohmann::json& latency, const nlohmann::json& throughput) {
  const auto number = [](const nlohmann::json& report, const char* group, const char* key) {
    return report[group][key].get<double>();
  };
  fmt::print("\nSynod: three replicas, durable on {}\n\n", latency["device"].get<std::string>());
  fmt::print(
      "  appended            {:>10} entries of {} bytes, a real PostgreSQL WAL segment, in {:.2f} s with a failover inside\n",
      summary.entries, entry_bytes, summary.append_seconds);
  fmt::print("  leader killed       {:>10} ms until a new append was committed\n", summary.failover_ms);
  fmt::print("  read back           {:>10} sha256 {}…\n", "equal", summary.sha256.substr(0, 16));
  fmt::print("  caught up           {:>10.2f} s after the killed replica was started again\n", summary.catch_up_seconds);
  fmt::print(
      "  latency             {:>10.1f} us p50, {:.1f} us p99, one append in flight: {:.2f} x the floor (wire {:.1f} us + device "
      "{:.1f} us)\n",
      number(latency, "latency_us", "p50"), number(latency, "latency_us", "p99"), latency["ratio_to_floor"].get<double>(),
      number(latency, "floor_us", "wire"), number(latency, "floor_us", "device"));
  fmt::print("  throughput          {:>10.0f} durable appends/s, {} in flight\n\n",
             throughput["appends_per_second"].get<double>(), throughput["in_flight"].get<int>());
}

int run(const std::string& binary, const std::string& wal) {
  const char* tmp = std::getenv("TMPDIR");
  std::string directory = std::string(tmp != nullptr ? tmp : "/var/tmp") + "/synod-run-XXXXXX";
  if (::mkdtemp(directory.data()) == nullptr) {
    fmt::print(stderr, "demo: cannot create a directory in {}: set TMPDIR to a disk with 1 GiB free\n", directory);
    return 1;
  }
  const auto finish = [&](const std::string& error) {
    std::error_code ignored;
    std::filesystem::remove_all(directory, ignored);
    if (error.empty()) return 0;
    fmt::print(stderr, "demo: {}\n", error);
    return 1;
  };
  Demo demo(binary, wal, directory);
  if (const auto done = demo.run(); !done) return finish(done.error().text);
  const auto latency = bench(binary, directory, "latency");
  if (!latency) return finish(latency.error().text);
  const auto throughput = bench(binary, directory, "throughput");
  if (!throughput) return finish(throughput.error().text);
  print_summary(demo.summary(), *latency, *throughput);
  return finish("");
}

}  // namespace
}  // namespace synod::demo

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: demo PATH_OF_SYNOD WAL.zst\n");
    return 2;
  }
  try {
    return synod::demo::run(argv[1], argv[2]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "demo: %s\n", error.what());
  } catch (...) {
    std::fprintf(stderr, "demo: an unknown exception\n");
  }
  return 1;
}
