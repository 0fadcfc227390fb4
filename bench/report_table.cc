// A report for people.
#include <fmt/format.h>

#include <algorithm>

#include "bench/commit.h"
#include "bench/report.h"

namespace synod::bench {

namespace {

// 12345678 -> "12,345,678"
std::string grouped(double value) {
  const std::string digits = fmt::format("{:.0f}", value);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text.push_back(',');
    text.push_back(digits[i]);
  }
  return text;
}

std::string microseconds(double value) {
  return value < 100 ? fmt::format("{:.2f}", value) : fmt::format("{:.0f}", value);
}

std::string line(const char* label, const std::string& text) {
  return fmt::format("  {:<12}{}\n", label, text);
}

std::string floor_lines(const Floors& floors) {
  std::string text;
  const auto wire = floors.wire_us();
  text += line("wire floor",
               wire ? fmt::format("{} us ({})", microseconds(*wire), floors.wire.front().method) : "not measurable from here");
  const auto device = floors.device_us();
  std::string disk = "not measurable from here";
  if (floors.diskless) {
    disk = "0 us (diskless)";
  } else if (device) {
    disk = fmt::format("{} us", microseconds(*device));
  }
  text += line("disk floor", disk);
  // The best of both measurements of each method.
  std::vector<FloorTime> best;
  for (const FloorTime& time : floors.device) {
    const auto same = std::ranges::find(best, time.method, &FloorTime::method);
    if (same == best.end())
      best.push_back(time);
    else if (time.p50_us < same->p50_us)
      *same = time;
  }
  for (const FloorTime& time : best) text += fmt::format("  {:<12}  {:>9} us  {}\n", "", microseconds(time.p50_us), time.method);
  return text;
}

std::string run_lines(const Report& report) {
  const Latency latency = latency_us(report.run.result.latency_ns);
  const double rate = report.run.appends_per_second();
  std::string text = line("appends/s", fmt::format("{}  ({:.1f} MB/s)", grouped(rate),
                                                   rate * static_cast<double>(report.options.payload_bytes) / 1e6));
  text += line("latency us", fmt::format("p50 {}   p90 {}   p99 {}   p99.9 {}   p99.99 {}   max {}", microseconds(latency.p50),
                                         microseconds(latency.p90), microseconds(latency.p99), microseconds(latency.p999),
                                         microseconds(latency.p9999), microseconds(latency.max)));
  return text;
}

std::string stage_lines(const Report& report) {
  if (report.stages.empty()) return "";
  double whole = 0;
  for (const StageTime& stage : report.stages) whole += stage.mean_us;
  std::string text = line("stages", fmt::format("{} us on average, in a load of its own", microseconds(whole)));
  for (const StageTime& stage : report.stages) {
    text +=
        line("", fmt::format("{:>8} us  {:>3.0f} %  {}", microseconds(stage.mean_us), 100 * stage.mean_us / whole, stage.name));
  }
  return text;
}

std::string failure_lines(const Report& report) {
  if (!report.failure) return "";
  const Failure& failure = *report.failure;
  const std::string recovery = failure.recovered
                                   ? fmt::format("90 % of the rate again after {:.0f} ms", failure.recovery_seconds * 1000)
                                   : "not recovered";
  return line("failure", fmt::format("leader {} killed after {:.1f} s at {} appends/s: no answer for {:.0f} ms, {}, {} errors",
                                     failure.killed.value(), failure.at_seconds, grouped(failure.rate_before),
                                     failure.outage_seconds * 1000, recovery, failure.errors));
}

std::string ladder_lines(const Report& report) {
  if (!report.peak) return "";
  std::string text = line("peak", fmt::format("{} appends/s in an open loop", grouped(*report.peak)));
  for (const Rung& rung : report.ladder) {
    const Latency latency = latency_us(rung.run.result.latency_ns);
    text += line(
        "", fmt::format("{:>3.0f} %  {:>11}/s   p50 {:>7}   p99 {:>7}   p99.99 {:>7}   max {:>7}{}", rung.share * 100,
                        grouped(rung.run.rate), microseconds(latency.p50), microseconds(latency.p99), microseconds(latency.p9999),
                        microseconds(latency.max), rung.run.keeps_up() ? "" : "   (did not keep up)"));
  }
  return text;
}

std::string read_back_text(const Report& report) {
  if (!report.is_verified) return report.cut_short.empty() ? "not asked for" : "not done";
  const auto entries = static_cast<double>(report.verified.entries);
  if (*report.is_verified) return fmt::format("{} entries, each as it was written", grouped(entries));
  return fmt::format("FAILED: {} of {} entries are as they were written", grouped(entries),
                     grouped(static_cast<double>(report.verified.written)));
}

std::string load_text(const Report& report) {
  const Options& options = report.options;
  const std::string clients = options.clients == 1 ? "" : fmt::format("{} clients, each ", options.clients);
  const std::string rate =
      options.rate == 0 ? "" : fmt::format(", {} a second wanted ({})", grouped(report.run.rate), name(report.run.arrivals));
  return fmt::format("{}{} in flight, {} B each, {:.1f} entries a packet{}, {:.1f} s after {:.1f} s of warm-up", clients,
                     options.in_flight, options.payload_bytes, report.run.entries_per_packet(), rate, report.run.result.seconds,
                     report.run.result.warmup_seconds);
}

std::string detail_lines(const Report& report) {
  const Run& run = report.run;
  std::string text = line("load", load_text(report));
  text += line("errors", fmt::format("{}  (resent {}, busy {}, dropped {}, elections {}, late sends {}, unsent {})",
                                     run.result.errors, run.counters.resent, run.counters.busy, run.packets_dropped,
                                     run.elections, run.result.late_sends, run.result.unsent));
  text += line("read back", read_back_text(report));
  return text;
}

std::string against_lines(const Comparison& against) {
  std::string text = line("against", fmt::format("{} ({}, {})", against.path, against.commit, against.time_utc));
  for (const std::string& difference : against.differences) text += line("", "not comparable: " + difference);
  for (const Change& change : against.changes) {
    const auto ratio = change.ratio();
    text += line("", fmt::format("{:<20} {:>14.3f} -> {:>14.3f}   x {}", change.figure, change.before, change.now,
                                 ratio ? fmt::format("{:.3f}", *ratio) : "-"));
  }
  for (const std::string& caution : against.cautions) text += line("", "compare ratios, not times: " + caution);
  return text;
}

std::string machine_line(const Environment& environment) {
  const auto fact = [&](std::string_view key) { return value_of(environment, key); };
  return line("machine",
              fmt::format("{}, {} cores, {}, hypervisor {}, governor {}, isolated {}, {} build", fact("cpu"), fact("cores"),
                          fact("kernel"), fact("hypervisor"), fact("governor"), fact("isolated"), fact("build")));
}

std::string table_of(const Report& report) {
  const bool has_run = report.has_run();
  std::string text;
  if (!report.cut_short.empty()) text += fmt::format("PARTIAL: {}\n", report.cut_short);
  if (has_run) {
    const auto ratio = report.ratio_to_floor();
    text += ratio
                ? fmt::format("{:.2f} x the floor: append p50 {} us, wire + disk {} us\n", *ratio,
                              microseconds(latency_us(report.run.result.latency_ns).p50), microseconds(*report.floors.total_us()))
                : fmt::format("append p50 {} us (no floor to compare with)\n",
                              microseconds(latency_us(report.run.result.latency_ns).p50));
    text += run_lines(report) + stage_lines(report) + failure_lines(report) + ladder_lines(report);
  }
  text += floor_lines(report.floors);
  if (has_run) text += detail_lines(report);
  text += line("cluster", fmt::format("{} replicas, {}, ack {}, {}", report.replicas, name(report.options.where),
                                      report.options.ack, report.port));
  text += line("disk", fmt::format("{}{}", report.device, report.device_stable ? "" : " (NOT durable)"));
  text += line("cores", report.cpu_layout);
  text += machine_line(report.environment);
  text += line("commit", commit);
  for (const std::string& note : report.notes) text += line("note", note);
  if (report.against) text += against_lines(*report.against);
  return text;
}

// A sweep in one table.
std::string summary(std::span<const Report> reports) {
  std::size_t width = 0;
  for (const Report& report : reports) width = std::max(width, report.name.size());
  std::string text = fmt::format("\n{:<{}}  {:>9}  {:>9}  {:>9}  {:>9}  {:>12}  {:>6}\n", "", width, "x floor", "floor us",
                                 "p50 us", "p99 us", "appends/s", "errors");
  for (const Report& report : reports) {
    const Latency latency = latency_us(report.run.result.latency_ns);
    const auto ratio = report.ratio_to_floor();
    const auto floor = report.floors.total_us();
    text += fmt::format("{:<{}}  {:>9}  {:>9}  {:>9}  {:>9}  {:>12}  {:>6}{}\n", report.name, width,
                        ratio ? fmt::format("{:.2f}", *ratio) : "-", floor ? microseconds(*floor) : "-",
                        microseconds(latency.p50), microseconds(latency.p99), grouped(report.run.appends_per_second()),
                        report.run.result.errors, report.cut_short.empty() ? "" : "  PARTIAL");
  }
  return text;
}

}  // namespace

std::string to_table(std::span<const Report> reports) {
  std::string text;
  for (const Report& report : reports) text += (text.empty() ? "" : "\n") + table_of(report);
  return reports.size() > 1 ? text + summary(reports) : text;
}

}  // namespace synod::bench
