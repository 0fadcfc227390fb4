#include "bench/ladder.h"

#include <fmt/format.h>

#include <array>
#include <optional>

namespace synod::bench {

namespace {

constexpr std::array shares{0.10, 0.50, 0.80, 0.95};
constexpr double search_seconds = 2;
constexpr double step = 0.9;
constexpr int steps_max = 20;
constexpr std::uint64_t room_wait_us = 10'000'000;

class Climber {
 public:
  Climber(Loads& loads, const Options& options, Watch& watch, Report& report)
      : loads_(loads), options_(options), watch_(watch), report_(report) {}

  Result<> run() {
    if (auto found = find_peak(); !found) return found;
    if (!report_.peak) return {};
    for (const double share : shares) {
      watch_.set_part(fmt::format("{:.0f} % of the peak", share * 100));
      auto run = load(loads_.open(*report_.peak * share, options_.seconds));
      if (!run) return std::unexpected(run.error());
      report_.ladder.push_back({.share = share, .run = *std::move(run)});
      if (!report_.cut_short.empty()) break;
    }
    watch_.set_part("");
    return {};
  }

 private:
  Result<Run> load(const WorkloadOptions& workload) {
    auto run = loads_.run(workload);
    if (!run || !report_.cut_short.empty()) return run;
    if (auto trimmed = loads_.trim(room_wait_us); !trimmed) return std::unexpected(trimmed.error());
    return run;
  }

  Result<> find_peak() {
    watch_.set_part("the peak");
    const std::size_t crowd = client::entries_in_flight_limit / 4;
    const auto closed = load(loads_.closed(crowd, search_seconds));
    if (!closed) return std::unexpected(closed.error());
    double rate = closed->appends_per_second();
    for (int i = 0; i < steps_max && report_.cut_short.empty(); ++i) {
      if (i > 0) rate *= step;
      const auto keeps_up = try_rate(rate);
      if (!keeps_up) return std::unexpected(keeps_up.error());
      if (!*keeps_up) continue;
      report_.peak = rate;
      return {};
    }
    if (!report_.cut_short.empty()) return {};
    report_.peak = nearly_peak_.value_or(closed->appends_per_second());
    report_.notes.push_back(
        fmt::format("no rate down to {:.0f} a second went without a missed send or a 'busy': this machine is "
                    "too busy with other things; the ladder is of the {}",
                    rate, nearly_peak_ ? "highest rate of which at most 1 % was sent late" : "closed loop's rate"));
    return {};
  }

  // A short try first: most rates fail at once.
  Result<bool> try_rate(double rate) {
    for (const double seconds : {search_seconds, peak_seconds}) {
      const std::size_t notes = report_.notes.size();
      const auto run = load(loads_.open(rate, seconds));
      if (!run) return std::unexpected(run.error());
      report_.notes.resize(std::min(notes, report_.notes.size()));  // that a rate was too high is what the search is about
      if (run->nearly_keeps_up() && !nearly_peak_) nearly_peak_ = rate;
      if (!run->keeps_up()) return false;
    }
    return true;
  }

  Loads& loads_;
  const Options& options_;
  Watch& watch_;
  Report& report_;
  std::optional<double> nearly_peak_;
};

}  // namespace

Result<> climb(Loads& loads, const Options& options, Watch& watch, Report& report) {
  return Climber(loads, options, watch, report).run();
}

}  // namespace synod::bench
